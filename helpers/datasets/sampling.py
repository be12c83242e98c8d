"""Stratified choice of samples: the one rule behind every split and subset of the course."""

from numbers import Real

import numpy as np

from helpers.errors import DatasetError


def stratified_sample(y: np.ndarray, n_samples: int, seed: int = 0) -> np.ndarray:
    """Choose ``n_samples`` positions so that each class keeps its share (Cochran, 1977, ch. 5).

    Every class is chosen at least once and, where it has two members, left out at least once as
    long as ``n_samples`` allows it, so that both sides of a split know every class.

    Parameters
    ----------
    y : ndarray of int or str, shape (n,)
        The class of each sample.
    n_samples : int
        How many to choose.
    seed : int
        Same seed, same choice.

    Returns
    -------
    ndarray of int64, shape (n_samples,)
        Positions in random order, none twice.

    Raises
    ------
    DatasetError
        If ``n_samples`` is smaller than the number of classes or larger than ``len(y)``.
    """
    classes, numbers = np.unique(y, return_inverse=True)
    if not len(classes) <= n_samples <= len(y):
        raise DatasetError(
            f"A stratified choice of {n_samples} from {len(y)} samples in {len(classes)} classes "
            f"is not possible; expected {len(classes)} to {len(y)}"
        )
    rng = np.random.default_rng(seed)
    sizes = np.bincount(numbers)
    members = np.split(np.argsort(numbers, kind="stable"), np.cumsum(sizes)[:-1])
    quotas = _quotas(sizes, n_samples)
    chosen = [rng.permutation(m)[:quota] for m, quota in zip(members, quotas, strict=True)]
    return rng.permutation(np.concatenate(chosen))


def _quotas(sizes: np.ndarray, n_samples: int) -> np.ndarray:
    """Apportion ``n_samples`` by largest remainder, within 1 … size-1 (or size) a class."""
    exact = sizes * n_samples / sizes.sum()
    spare = n_samples <= np.maximum(sizes - 1, 1).sum()
    limit = np.maximum(sizes - 1, 1) if spare else sizes
    quotas = np.clip(np.floor(exact).astype(int), 1, limit)
    while (missing := n_samples - quotas.sum()) != 0:
        step = 1 if missing > 0 else -1
        free = quotas < limit if missing > 0 else quotas > 1
        quotas[np.argmax(np.where(free, step * (exact - quotas), -np.inf))] += step
    return quotas


def holdout(
    y: np.ndarray, fraction: float, seed: int = 0, where: str = "the samples"
) -> tuple[np.ndarray, np.ndarray]:
    """Split positions into a kept part and a stratified held-out ``fraction``.

    Returns
    -------
    kept, held_out : ndarray of int64
        Positions in random order; together every sample once.

    Raises
    ------
    DatasetError
        If ``fraction`` is not between 0 and 1, or a class has a single member; it says ``where``.
    """
    if not (isinstance(fraction, Real) and 0 < fraction < 1):
        raise DatasetError(
            f"A held-out fraction of {fraction!r} is not possible; expected 0 < fraction < 1"
        )
    classes, sizes = np.unique(y, return_counts=True)
    if sizes.min() < 2:
        name = str(classes[sizes.argmin()])
        raise DatasetError(
            f"{where}: class {name[:40]!r} has 1 sample; expected at least 2, one for each side of "
            "the split: add samples or leave the class out"
        )
    n = min(max(round(fraction * len(y)), len(classes)), len(y) - len(classes))
    held_out = stratified_sample(y, n, seed)
    rest = np.setdiff1d(np.arange(len(y)), held_out)
    return np.random.default_rng(seed).permutation(rest), held_out
