"""Datasets that are tables: a ``.csv`` file or a pandas ``DataFrame``."""

import csv
import itertools
import warnings
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
            lines = list(itertools.islice(stream, 50))
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    text = "".join(lines)
    if not text.strip() or "\0" in text:
        found = "binary data" if text.strip() else "an empty file"
        raise DatasetError(f"{path.name}: found {found}; expected a table of comma-separated text")
    first = text.lstrip().splitlines()[0]
    delimiter = max("\t;,", key=first.count)  # the comma last: it may be a decimal
    rows = [row for row in csv.reader(lines, delimiter=delimiter) if row]
    try:
        with warnings.catch_warnings():
            # pandas drops what is beyond the header's columns, with a warning.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            frame = pd.read_csv(
                path,
                sep=delimiter,
                header="infer" if _has_header(rows) else None,
                encoding="utf-8-sig",
                skipinitialspace=True,
                index_col=False,
            )
    except UnicodeDecodeError as error:
        raise _not_utf8(path, error) from error
    except (pd.errors.ParserError, pd.errors.ParserWarning, ValueError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{path.name}: not a regular table ({reason}); expected rows of equal length"
        ) from error
    # A comma at the end of every line makes a column without name or values.
    empty = [c for c in frame if str(c).startswith("Unnamed:") and frame[c].isna().all()]
    frame = frame.drop(columns=empty)
    if len(rows) < 2:
        raise DatasetError(f"{path.name}: found {len(rows)} row; expected several samples")
    frame.columns = [
        f"column {name + 1}" if isinstance(name, int) else str(name) for name in frame.columns
    ]
    return frame


def _not_utf8(path: Path, error: UnicodeDecodeError) -> DatasetError:
    return DatasetError(
        f"{path.name}: byte {error.start} is not UTF-8; expected a text table: export it as CSV "
        "(UTF-8)"
    )


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
    frame = frame.rename(columns=str)
    target = str(frame.columns[-1] if target is None and len(frame.columns) else target)
    _check_table(frame, target, where)
    features = frame.drop(columns=target)
    x = features.to_numpy(np.float64)
    labels = frame[target]
    if labels.dtype.kind == "f" and (labels == labels.round()).all():
        labels = labels.astype(np.int64)  # a gap that was filled has made floats of integers
    y = labels.to_numpy() if labels.dtype.kind in "uif" else labels.astype(str).to_numpy("U")
    sizes = labels.value_counts()
    if sizes.min() < 2:
        hint = " (is it a class at all?)" if len(sizes) > len(labels) // 2 else ""
        raise DatasetError(
            f"{where}: label {_short(sizes.idxmin())} in column {target!r} occurs once{hint}; "
            "expected every class at least twice"
        )
    train, test = holdout(y, test_size, seed)
    return checked_dataset(
        name,
        {"x_train": x[train], "y_train": y[train], "x_test": x[test], "y_test": y[test]},
        source=source,
        where=where,
        feature_names=tuple(map(str, features.columns)),
    )


def _check_table(frame: "pd.DataFrame", target: str, where: str) -> None:
    """Raise a ``DatasetError`` if a table cannot be learned from."""
    if frame.shape[1] < 2:
        raise DatasetError(
            f"{where}: found {frame.shape[1]} column; expected at least one feature and the labels "
            "(is the delimiter a comma, semicolon or tab?)"
        )
    if frame.empty:
        raise DatasetError(f"{where}: found no rows; expected several samples")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DatasetError(f"{where}: column {twice!r} is there twice; expected different names")
    if target not in frame.columns:
        raise DatasetError(
            f"{where}: there is no column {target!r}; found {', '.join(frame.columns)}."
            + nearest(target, frame.columns)
        )
    for column in frame:
        missing = np.flatnonzero(frame[column].isna())
        if len(missing):
            raise DatasetError(
                f"{where}: column {column!r} lacks {len(missing)} values, the first in row "
                f"{missing[0] + 1}; expected none: drop or fill them first "
                "(helpers.preprocessing.drop_missing, fill_missing)"
            )
        values = frame[column]
        if column != target and values.dtype.kind not in "uifb":
            text = str(values[~values.map(lambda v: isinstance(v, int | float))].iloc[0])
            decimal = text.replace(",", "").replace("-", "").isdigit() and "," in text
            advice = "write decimals with a point" if decimal else "encode or drop it"
            raise DatasetError(
                f"{where}: feature column {column!r} holds text such as {_short(text)}; expected "
                f"numbers: {advice}, or is it the label (target={column!r})?"
            )


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:40] + "…")
