"""Datasets that are tables: a ``.csv`` file or a pandas ``DataFrame``."""

import csv
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from helpers.datasets.dataset import Dataset, checked_dataset
from helpers.datasets.sampling import holdout
from helpers.errors import DatasetError, nearest

if TYPE_CHECKING:
    import pandas as pd


def read_csv(path: Path) -> "pd.DataFrame":
    """Read a table whose delimiter (comma, semicolon or tab) and header are detected.

    Missing values (empty cells, ``NA``, ``NaN`` …) become NaN; ``load_dataset`` refuses them, and
    ``helpers.preprocessing`` drops or fills them.

    Raises
    ------
    DatasetError
        If the file is empty, not UTF-8 text, or its rows differ in length.
    """
    import pandas as pd

    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            head = stream.read(1 << 16)
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"{path.name}: byte {error.start} is not UTF-8; expected a text table: export it as "
            "CSV (UTF-8)"
        ) from error
    if not head.strip() or "\0" in head:
        found = "binary data" if head.strip() else "an empty file"
        raise DatasetError(f"{path.name}: found {found}; expected a table of comma-separated text")
    first = head.lstrip().splitlines()[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.reader(head.splitlines()[:50], delimiter=delimiter))
    try:
        frame = pd.read_csv(
            path,
            sep=delimiter,
            header="infer" if _has_header(rows) else None,
            encoding="utf-8-sig",
            skipinitialspace=True,
            index_col=False,
        )
    except (pd.errors.ParserError, UnicodeDecodeError, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{path.name}: not a regular table ({reason}); expected rows of equal length"
        ) from error
    frame.columns = [
        f"column {name + 1}" if isinstance(name, int) else str(name) for name in frame.columns
    ]
    return frame


def _has_header(rows: list[list[str]]) -> bool:
    """A header is a first row without numbers above a column that has some."""
    below = [row for row in rows[1:] if row]
    return not any(map(_is_number, rows[0])) and any(_is_number(c) for row in below for c in row)


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def load_csv(path: Path, *, target: str | None, test_size: float, seed: int) -> Dataset:
    """Load a ``.csv`` file as a ``Dataset``; see ``from_table``."""
    return from_table(
        read_csv(path),
        target=target,
        test_size=test_size,
        seed=seed,
        name=path.stem,
        source=str(path),
        where=path.name,
    )


def from_table(
    frame: "pd.DataFrame",
    *,
    target: str | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    name: str = "table",
    source: str = "a DataFrame",
    where: str = "the table",
) -> Dataset:
    """Make a ``Dataset`` of a table: numeric features, one column of labels.

    Parameters
    ----------
    frame
        One row a sample.
    target
        The column of labels; the last one if ``None``.
    test_size, seed
        The stratified share held out for the test set, and the seed of that choice.
    name, source, where
        For ``Dataset.name``, ``Dataset.source`` and error messages.

    Returns
    -------
    Dataset
        ``x_…`` are float64 of shape (n, features).

    Raises
    ------
    DatasetError
        If the target does not exist, a feature is not numeric, or a value is missing.
    """
    if frame.shape[1] < 2:
        raise DatasetError(
            f"{where}: found {frame.shape[1]} column; expected at least one feature and the labels "
            "(is the delimiter a comma, semicolon or tab?)"
        )
    target = frame.columns[-1] if target is None else target
    if target not in frame.columns:
        raise DatasetError(
            f"{where}: there is no column {target!r}; found {', '.join(frame.columns)}."
            + nearest(target, frame.columns)
        )
    features = frame.drop(columns=target)
    for column in features:
        values = frame[column]
        if values.dtype.kind not in "uifb":
            raise DatasetError(
                f"{where}: feature column {column!r} holds text such as "
                f"{str(values.dropna().iloc[0])!r}; expected numbers: encode or drop it, or is it "
                f"the label (target={column!r})?"
            )
    for column in frame:
        missing = np.flatnonzero(frame[column].isna())
        if len(missing):
            raise DatasetError(
                f"{where}: column {column!r} lacks {len(missing)} values, the first in row "
                f"{missing[0] + 1}; expected none: drop or fill them first "
                "(helpers.preprocessing.drop_missing, fill_missing)"
            )
    x = features.to_numpy(np.float64)
    labels = frame[target]
    y = labels.to_numpy() if labels.dtype.kind in "uif" else labels.astype(str).to_numpy("U")
    sizes = labels.value_counts()
    if len(sizes) and sizes.min() < 2:
        hint = " (is it a class at all?)" if len(sizes) > len(labels) // 2 else ""
        raise DatasetError(
            f"{where}: label {sizes.idxmin()!r} in column {target!r} occurs once{hint}; expected "
            "every class at least twice"
        )
    train, test = holdout(y, test_size, seed)
    return checked_dataset(
        name,
        {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]},
        source=source,
        where=where,
        feature_names=tuple(map(str, features.columns)),
    )
