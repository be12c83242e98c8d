"""Look at a dataset in numbers: describe, compare, find the odd ones, group, sample, reduce.

Functions take arrays ``x`` of shape (n, ...); a sample of any shape counts as one row of features.
scikit-learn does the computing.
"""

import hashlib
import time
import warnings
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np

from helpers.datasets import Dataset
from helpers.datasets.sampling import stratified_sample
from helpers.errors import DatasetError
from helpers.preprocessing import blocks, moments

if TYPE_CHECKING:
    import pandas as pd
    import scipy.sparse

__all__ = [
    "class_counts",
    "class_means",
    "cluster",
    "compare_clusterings",
    "describe",
    "describe_features",
    "find_duplicates",
    "find_near_duplicates",
    "find_outliers",
    "pca",
    "random_sample",
    "sparse_code",
    "sparse_matrix",
    "stratified_sample",
    "systematic_sample",
    "tsne",
    "value_counts",
]

QUANTILES = (0.25, 0.5, 0.75)
MAX_PAIRWISE = 20_000  # samples; methods that compare all pairs need n² memory or time


def _rows(x: np.ndarray) -> np.ndarray:
    if x.dtype == object:
        raise DatasetError("texts have no numbers to compute with; expected images or a table")
    return x.reshape(len(x), -1)


def value_counts(x: np.ndarray) -> np.ndarray:
    """Count how often each byte value 0 … 255 occurs; int64, shape (256,).

    Raises
    ------
    DatasetError
        If ``x`` is not uint8.
    """
    if x.dtype != np.uint8:
        raise DatasetError(f"value_counts received {x.dtype}; expected uint8 images")
    counts = np.zeros(256, np.int64)
    flat = x.reshape(-1)
    block = 1 << 20  # bincount widens its input to 8 bytes a value: a block fits in the cache
    for start in range(0, flat.size, block):
        counts += np.bincount(flat[start : start + block], minlength=256)
    return counts


def describe(x: np.ndarray) -> dict[str, float]:
    """Summarise all values of a set: count, mean, std, min, quartiles, max.

    Exact for bytes, from their 256 counts, without any copy of the data. The standard deviation is
    the population's (divided by n); quantiles are interpolated as NumPy does.

    Raises
    ------
    DatasetError
        If ``x`` is empty or holds texts.
    """
    if not x.size:
        raise DatasetError(f"describe received an empty array of shape {x.shape}")
    if x.dtype == np.uint8:
        counts = value_counts(x)
        values = np.arange(256)
        n = counts.sum()
        mean = (counts * values).sum() / n
        quartiles = [_quantile(counts.cumsum(), q * (n - 1)) for q in QUANTILES]
        present = np.flatnonzero(counts)
        std = np.sqrt((counts * (values - mean) ** 2).sum() / n)
        low, high = present[0], present[-1]
    else:
        rows = _rows(x)
        n, low, high = rows.size, rows.min(), rows.max()
        means, stds = moments(rows)
        mean = means.mean()
        std = np.sqrt((stds**2).mean() + means.var())
        # NumPy interpolates in the array's own type, where small integers overflow.
        quartiles = np.quantile(rows if rows.dtype.kind == "f" else rows.astype(float), QUANTILES)
    return {
        "count": int(n),
        "mean": float(mean),
        "std": float(std),
        "min": float(low),
        **{f"{q:.0%}": float(value) for q, value in zip(QUANTILES, quartiles, strict=True)},
        "max": float(high),
    }


def _quantile(cumulated: np.ndarray, position: float) -> float:
    """Interpolate between the two sorted values around a position, from cumulated counts."""
    low, high = np.searchsorted(cumulated, [np.floor(position), np.ceil(position)], side="right")
    return float(low + (high - low) * (position % 1))


def describe_features(data: Dataset) -> "pd.DataFrame":
    """Summarise each column of a table (training set): mean, std, min, quartiles, max.

    Raises
    ------
    DatasetError
        If the set is not a table.
    """
    import pandas as pd

    if data.kind != "table":
        raise DatasetError(f"{data.name} holds {data.kind}; describe_features expects a table")
    names = data.feature_names or [f"feature {i}" for i in range(data.x_train.shape[1])]
    rows = {name: describe(data.x_train[:, i]) for i, name in enumerate(names)}
    return pd.DataFrame(rows).T.drop(columns="count")


def class_counts(data: Dataset) -> "pd.DataFrame":
    """Count the samples of each class: columns ``train``, ``test`` and ``share`` (of training)."""
    import pandas as pd

    train = np.bincount(data.y_train, minlength=data.class_count)
    test = np.bincount(data.y_test, minlength=data.class_count)
    index = pd.Index(data.class_names, name="class")
    return pd.DataFrame({"train": train, "test": test, "share": train / train.sum()}, index=index)


def class_means(data: Dataset) -> np.ndarray:
    """Return the mean training sample of each class, float64 of shape (classes, ...)."""
    return np.stack([moments(data.x_train[data.y_train == k])[0] for k in range(data.class_count)])


def find_duplicates(x: np.ndarray) -> list[np.ndarray]:
    """Find samples that are the same to the last bit.

    Returns
    -------
    list of ndarray of int
        The positions in each group of equal samples, in order of first appearance. To look for
        test samples in a training set, pass both, concatenated.
    """
    groups: dict[bytes, list[int]] = defaultdict(list)
    for index, row in enumerate(x):
        content = str(row).encode() if x.dtype == object else np.ascontiguousarray(row)
        groups[hashlib.blake2b(content, digest_size=16).digest()].append(index)
    return [np.array(group) for group in groups.values() if len(group) > 1]


def find_near_duplicates(x: np.ndarray, n_pairs: int = 10) -> "pd.DataFrame":
    """Find the pairs of samples that are most alike without being equal.

    Each sample is paired with its nearest other one; of exact copies only the first takes part.

    Returns
    -------
    DataFrame
        Columns ``first``, ``second`` (positions) and ``distance`` (root mean squared difference of
        a feature), nearest first.

    Raises
    ------
    DatasetError
        If there are more than 20,000 samples: every sample is compared with every other.
    """
    import pandas as pd
    from sklearn.neighbors import NearestNeighbors

    _limited(x)
    copies = [index for group in find_duplicates(x) for index in group[1:]]
    position = np.setdiff1d(np.arange(len(x)), copies)
    rows = _rows(x)[position].astype(np.float32)
    if len(rows) < 2:
        return pd.DataFrame({"first": [], "second": [], "distance": []})
    neighbours = NearestNeighbors(n_neighbors=1).fit(rows).kneighbors(return_distance=False)[:, 0]
    # The search's own distances are rounded by cancellation; those of the pairs are not.
    distances = np.sqrt(np.mean((rows - rows[neighbours]) ** 2, axis=1))
    pairs = pd.DataFrame(
        {
            "first": np.minimum(position, position[neighbours]),
            "second": np.maximum(position, position[neighbours]),
            "distance": distances,
        }
    )
    nearest = pairs.drop_duplicates(["first", "second"]).nsmallest(n_pairs, "distance")
    return nearest.reset_index(drop=True)


def find_outliers(x: np.ndarray, n_outliers: int = 10, *, seed: int = 0) -> "pd.DataFrame":
    """Find the samples that lie in sparser regions than their neighbours do.

    The local outlier factor (Breunig, Kriegel, Ng and Sander, 2000) on the leading principal
    components: about 1 for an ordinary sample, larger for an odd one.

    Returns
    -------
    DataFrame
        Columns ``index`` (position) and ``factor``, oddest first.

    Raises
    ------
    DatasetError
        If there are more than 20,000 samples.
    """
    import pandas as pd
    from sklearn.neighbors import LocalOutlierFactor

    components = pca(_limited(x), 30, seed=seed).components
    model = LocalOutlierFactor(n_neighbors=min(20, len(x) - 1)).fit(components)
    factor = -model.negative_outlier_factor_
    worst = np.argsort(-factor, kind="stable")[:n_outliers]
    return pd.DataFrame({"index": worst, "factor": factor[worst]})


def _limited(x: np.ndarray) -> np.ndarray:
    """Return rows for a method that compares all pairs, if they are not too many."""
    if len(x) > MAX_PAIRWISE:
        raise DatasetError(
            f"received {len(x):,} samples; expected at most {MAX_PAIRWISE:,}, because all pairs "
            "are compared: take a sample first (stratified_sample)"
        )
    return _rows(x)


def cluster(
    x: np.ndarray,
    method: Literal["k-means", "hierarchical", "density"],
    n_clusters: int,
    *,
    seed: int = 0,
) -> np.ndarray:
    """Group samples without their labels; -1 marks noise (density-based only).

    Parameters
    ----------
    x
        Samples, best reduced to some tens of features first (``pca``).
    method
        ``"k-means"`` (Lloyd, 1982), ``"hierarchical"`` (Ward, 1963) or ``"density"`` (HDBSCAN,
        Campello, Moulavi and Sander, 2013), which finds the number of clusters by itself.
    n_clusters
        The number of clusters, for the first two.
    seed
        For k-means' starting points.

    Returns
    -------
    ndarray of int64, shape (n,)
    """
    from sklearn import cluster as sk

    rows = _rows(x) if method == "k-means" else _limited(x)
    match method:
        case "k-means":
            model: Any = sk.KMeans(n_clusters, n_init=3, random_state=seed)
        case "hierarchical":
            model = sk.AgglomerativeClustering(n_clusters)
        case "density":
            model = sk.HDBSCAN(min_cluster_size=max(5, len(rows) // 100), min_samples=5, copy=True)
        case _:
            raise DatasetError(
                f"method={method!r}; expected 'k-means', 'hierarchical' or 'density'"
            )
    return model.fit_predict(rows).astype(np.int64)


def compare_clusterings(
    x: np.ndarray, y: np.ndarray, n_clusters: int, *, seed: int = 0
) -> "pd.DataFrame":
    """Group samples by each of the three methods and score the groups against the labels.

    Returns
    -------
    DataFrame
        A row a method: ``clusters``, ``noise`` (share of samples left out), ``adjusted_rand``
        (Hubert and Arabie, 1985: 1 for the labels' own groups, 0 for chance; noise counts as one
        more cluster) and ``silhouette``
        (Rousseeuw, 1987: how apart the groups lie, without looking at the labels), ``seconds``.
    """
    import pandas as pd
    from sklearn import metrics

    rows = []
    for method in ("k-means", "hierarchical", "density"):
        start = time.perf_counter()
        found = cluster(x, method, n_clusters, seed=seed)
        seconds = time.perf_counter() - start
        kept = found >= 0
        several = len(np.unique(found[kept])) > 1
        silhouette = metrics.silhouette_score(_rows(x)[kept], found[kept]) if several else np.nan
        rows.append(
            {
                "method": method,
                "clusters": len(np.unique(found[kept])),
                "noise": float(1 - kept.mean()),
                "adjusted_rand": metrics.adjusted_rand_score(y, found),
                "silhouette": silhouette,
                "seconds": seconds,
            }
        )
    return pd.DataFrame(rows).set_index("method")


def random_sample(n_total: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Choose ``n_samples`` of ``n_total`` positions, each with the same chance, none twice."""
    _check_sample(n_total, n_samples)
    return np.random.default_rng(seed).choice(n_total, n_samples, replace=False)


def systematic_sample(n_total: int, n_samples: int, seed: int = 0) -> np.ndarray:
    """Choose every k-th position from a random start (Madow and Madow, 1944).

    Simple and evenly spread, and wrong where the data has a period that k divides.
    """
    _check_sample(n_total, n_samples)
    step = n_total / n_samples
    start = np.random.default_rng(seed).uniform(0, step)
    return np.minimum((start + step * np.arange(n_samples)).astype(np.int64), n_total - 1)


def _check_sample(n_total: int, n_samples: int) -> None:
    if not 0 < n_samples <= n_total:
        raise DatasetError(f"n_samples={n_samples}; expected 1 to {n_total}")


class PCAResult(NamedTuple):
    """Samples in the coordinates of their principal components."""

    components: np.ndarray  # (n, k) float32: the samples, reduced
    explained: np.ndarray  # (k,) share of the total variance
    axes: np.ndarray  # (k, ...) each component in the samples' own shape
    mean: np.ndarray  # (...) the mean sample

    def restore(self) -> np.ndarray:
        """Rebuild the samples from their k numbers each; float32, shape (n, ...)."""
        return np.tensordot(self.components, self.axes, axes=1) + self.mean


def pca(x: np.ndarray, n_components: int, *, seed: int = 0) -> PCAResult:
    """Reduce samples to the directions in which they vary most (Pearson, 1901; Hotelling, 1933).

    At most as many components are given as there are features or samples.
    """
    from sklearn.decomposition import PCA

    # Centred before it is rounded to float32, or a large offset would swallow the differences.
    mean, _ = moments(_rows(x))
    rows = np.concatenate([(block - mean).astype(np.float32) for block in blocks(_rows(x))])
    n_components = min(n_components, *rows.shape)
    model = PCA(n_components, random_state=seed)
    components = model.fit_transform(rows)
    return PCAResult(
        components=components,
        explained=model.explained_variance_ratio_,
        axes=model.components_.reshape(n_components, *x.shape[1:]),
        mean=mean.reshape(x.shape[1:]),
    )


def tsne(x: np.ndarray, *, perplexity: float = 30.0, seed: int = 0) -> np.ndarray:
    """Place samples in the plane so that neighbours stay neighbours (van der Maaten, Hinton, 2008).

    Parameters
    ----------
    x
        Samples; reduced to 30 principal components first, as the authors advise.
    perplexity
        About how many neighbours each sample looks at; lowered for small sets.
    seed
        For the optimisation's start.

    Returns
    -------
    ndarray of float32, shape (n, 2)
        Only neighbourhoods mean something; distances between groups and axes do not.
    """
    from sklearn.manifold import TSNE

    components = pca(_limited(x), 30, seed=seed).components
    perplexity = min(perplexity, (len(x) - 1) / 3)
    return TSNE(perplexity=perplexity, init="pca", random_state=seed, n_jobs=-1).fit_transform(
        components
    )


def sparse_matrix(x: np.ndarray) -> "scipy.sparse.csr_array":
    """Store only what is not zero, in compressed rows: the same data in less memory."""
    from scipy import sparse

    # In blocks, because a whole set's intermediate coordinates would take 16 bytes a value.
    return sparse.vstack([sparse.csr_array(block) for block in blocks(_rows(x))], "csr")


class SparseCode(NamedTuple):
    """Samples written as sums of a few dictionary atoms."""

    codes: np.ndarray  # (n, atoms), mostly zero
    atoms: np.ndarray  # (atoms, ...) in the samples' own shape
    restored: np.ndarray  # (n, ...) the sums


def sparse_code(
    x: np.ndarray, n_atoms: int = 128, n_nonzero: int = 8, *, seed: int = 0
) -> SparseCode:
    """Write each sample as the mean sample plus at most ``n_nonzero`` atoms of a dictionary.

    The atoms are k-means centres of the samples, which serve as well as dictionaries learned at
    far greater cost (Coates and Ng, 2011); the coefficients come from orthogonal matching pursuit
    (Pati, Rezaiifar and Krishnaprasad, 1993).
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import sparse_encode

    rows = _rows(x).astype(np.float32)
    mean = rows.mean(axis=0)
    rows -= mean
    n_atoms = min(n_atoms, len(rows))
    centres = KMeans(n_atoms, n_init=1, max_iter=20, random_state=seed).fit(rows)
    lengths = np.linalg.norm(centres.cluster_centers_, axis=1, keepdims=True)
    atoms = centres.cluster_centers_ / np.maximum(lengths, 1e-6)
    n_nonzero = min(n_nonzero, n_atoms, rows.shape[1])
    with warnings.catch_warnings():
        # A sample that a few atoms restore exactly needs no more of them: nothing is wrong.
        warnings.filterwarnings("ignore", message="Orthogonal matching pursuit ended prematurely")
        codes = sparse_encode(rows, atoms, algorithm="omp", n_nonzero_coefs=n_nonzero)
    shape = x.shape[1:]
    return SparseCode(codes, atoms.reshape(-1, *shape), (codes @ atoms + mean).reshape(x.shape))
