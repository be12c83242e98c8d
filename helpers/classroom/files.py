"""The files that a lesson practises on, written to a folder that goes when Python ends."""

import atexit
import shutil
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from helpers.datasets import Dataset, load_dataset

REGIONS = ("north", "south", "west")
HOLES = 0.05  # share of the wine table's measurements that are lost


def lesson_files(data: Dataset, seed: int = 0) -> Path:
    """Write files of several kinds, and return the folder.

    Parameters
    ----------
    data
        Images.
    seed
        Of the holes in the table.

    Returns
    -------
    Path
        A folder with ``images.npz`` (``x_train``, ``y_train``, ``x_test``, ``y_test``),
        ``drawings`` (three folders of ten images) and ``wine.csv`` (13 measurements with holes, a
        region, the grower).
    """
    folder = Path(tempfile.mkdtemp(prefix="lesson-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    arrays = {name: getattr(data, name) for name in ("x_train", "y_train", "x_test", "y_test")}
    np.savez(folder / "images.npz", **arrays)
    for label, name in enumerate(data.class_names[:3]):
        kind = folder / "drawings" / f"kind {name}"
        kind.mkdir(parents=True)
        for place in np.flatnonzero(data.y_train == label)[:10]:
            Image.fromarray(data.x_train[place].squeeze()).save(kind / f"{place:05}.png")
    _write_wine(folder / "wine.csv", seed)
    return folder


def _write_wine(path: Path, seed: int) -> None:
    import pandas as pd

    wine, rng = load_dataset("wine", seed=0), np.random.default_rng(seed)
    x, y = np.concatenate([wine.x_train, wine.x_test]), np.concatenate([wine.y_train, wine.y_test])
    table = pd.DataFrame(x, columns=wine.feature_names)
    table = table.mask(rng.random(table.shape) < HOLES)
    table["region"] = rng.choice(REGIONS, len(table))
    table["grower"] = [f"grower {number}" for number in y]
    table.sample(frac=1, random_state=seed).to_csv(path, index=False)
