"""Tables in memory: a pandas ``DataFrame`` becomes a ``Dataset``."""

import math
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.datasets.dataset import FEW, Dataset, assumptions, make_dataset
from helpers.errors import DatasetError, nearest

if TYPE_CHECKING:
    import pandas as pd

LABELS = frozenset(["label", "labels", "class", "target", "y", "category", "outcome"])
ID = re.compile(r"(?i:(^|[\s_.-])(id|idx|index|row|nr)$|^unnamed: \d+)|[a-z]I[dD]$")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)


def from_table(
    frame: "pd.DataFrame",
    *,
    target: str | None = None,
    index: str | int | Sequence[str | int] | bool | None = None,
    regression: bool | None = None,
    test_size: float = 0.2,
    seed: int = 0,
    name: str = "table",
    source: str = "a DataFrame",
) -> Dataset:
    """Make a ``Dataset`` of a table: numeric features, one column of labels.

    Parameters
    ----------
    frame
        One row a sample.
    target
        The column of labels. ``None``: the last one, or the only one with a name such as ``label``.
    index
        Columns that number the rows and are no features; ``False``: none. ``None``: those that
        certainly do.
    regression
        Whether the labels are numbers to predict. ``None``: if there are many different ones.
    test_size, seed
        The share held out for the test set (stratified by class), and the seed of that choice.
    name, source
        For ``Dataset.name`` and ``Dataset.source``.

    Returns
    -------
    Dataset
        ``x_…`` are float64 of shape (n, features). Classes are numbered in sorted order.

    Raises
    ------
    DatasetError
        If the target does not exist, a feature is not numeric, or a value is missing.
    """
    options = {"regression": regression, "test_size": test_size, "seed": seed}
    names = {"name": name, "source": source, "where": "the table"}
    with assumptions(names["where"]) as notes:
        return to_dataset(frame, notes, target=target, index=index, **names, **options)


def to_dataset(
    frame: "pd.DataFrame", notes: list[str], *, name: str, target: str | None, index: Any,
    where: str, **options: Any,
) -> Dataset:  # fmt: skip
    """Make a ``Dataset`` of a table as ``from_table`` does, and note what is assumed."""
    frame = frame.rename(columns=str)
    _check_shape(frame, where)
    label = _label_column(frame, target, notes, where)
    features = frame.drop(columns=[label, *numbering(frame, index, label, notes, where)])
    labels = frame[label]
    _check_values(features, labels, where)
    y = labels.to_numpy() if labels.dtype.kind in "uif" else labels.astype(str).to_numpy("U")
    arrays = {"x_train": features.to_numpy(np.float64), "y_train": y}
    return make_dataset(
        name, arrays, where=where, notes=notes, label=f"column {label!r}",
        feature_names=tuple(features.columns), **options,
    )  # fmt: skip


def numbering(
    frame: "pd.DataFrame", index: Any, label: str, notes: list[str], where: str
) -> list[str]:
    """Return the columns that number the rows, as given or, if it is certain, as found."""
    if index is False:
        return []
    if index is not None and index is not True:
        given = [index] if isinstance(index, str | int) else list(index)
        return [_column(frame, name, where) for name in given]
    distinct = [name for name in _distinct(frame) if name != label]
    named = [name for name in distinct if ID.search(name)]
    if frame.columns[0] == "Unnamed: 0" != label:  # as pandas and R write it
        named = ["Unnamed: 0", *(name for name in named if name != "Unnamed: 0")]
    others = [name for name in distinct if name not in named]
    found = named + [name for name in others if _numbers_rows(frame[name].to_numpy())]
    if len(found) == frame.shape[1] - 1:
        found = named  # the others are all that there is to learn from
    notes += [f"column {name!r} numbers the rows and is left out (index=False keeps it)"
              for name in found]  # fmt: skip
    for name in set(others) - set(found):
        # In a short table that is chance, if they do not follow each other.
        if len(frame) >= FEW or np.ptp(frame[name]) < len(frame):
            notes.append(
                f"column {name!r} has another whole number in every row and is kept "
                f"(index={name!r} leaves it out)"
            )
            break
    return found


def _column(frame: "pd.DataFrame", name: str | int, where: str) -> str:
    """Return the name of a column that was given by its name or place."""
    if isinstance(name, int) and -frame.shape[1] <= name < frame.shape[1]:
        return frame.columns[name]
    if str(name) in frame.columns:
        return str(name)
    shown = ", ".join(frame.columns[:20])
    raise DatasetError(
        f"{where}: there is no column {str(name)!r}; found {shown}."
        + nearest(str(name), frame.columns)
    )


def _distinct(frame: "pd.DataFrame") -> list[str]:
    """Return the columns of whole numbers from 0, none of them twice in its column."""
    numbers = frame.select_dtypes("number", exclude="timedelta")
    first = np.sort(numbers.iloc[:64].to_numpy(np.float64, na_value=np.nan), axis=0)
    likely = (first[1:] > first[:-1]).all(axis=0) & (first == np.round(first)).all(axis=0)
    return [
        name
        for name, values in numbers.loc[:, likely].items()
        if values.is_unique
        and (values == values.round()).all()
        and values.between(0, 1 << 53).all()
    ]


def _numbers_rows(values: np.ndarray) -> bool:
    """Tell whether distinct numbers fill the range from 0 as only counting does.

    They leave out less than half of it, and chance alone would give that, in this order if they are
    sorted, in less than one table in a thousand.
    """
    count, reach = len(values), int(values.max()) + 1
    if reach > 2 * count:
        return False
    chance = math.lgamma(reach + 1) - math.lgamma(reach - count + 1) - count * math.log(reach)
    if (np.diff(values.astype(np.int64)) > 0).all():
        chance -= math.lgamma(count + 1)
    return chance < math.log(1e-3)


def _label_column(frame: "pd.DataFrame", target: str | None, notes: list[str], where: str) -> str:
    """Return the column of labels: as given, the one whose name says so, or the last."""
    if target is not None:
        return _column(frame, str(target), where)
    last = frame.columns[-1]
    named = [name for name in frame.columns if name.strip().lower() in LABELS]
    if last in named:
        return last
    if len(named) == 1:
        notes.append(f"the label is column {named[0]!r} (target= names another)")
        return named[0]
    first, values = frame.iloc[:, 0], frame[last]
    if _distinct(frame[[last]]) and (ID.search(last) or _numbers_rows(values.to_numpy())):
        raise DatasetError(
            f"{where}: the last column, {last!r}, numbers the rows; expected the labels there: "
            "name their column with target="
        )
    first_may_be = first.dtype.kind in "uib" and 2 <= first.nunique() <= FEW
    if values.dtype.kind == "f" or (values.dtype.kind in "ui" and first_may_be):
        notes.append(f"the label is the last column, {last!r} (target= names another)")
    return last


def _check_shape(frame: "pd.DataFrame", where: str) -> None:
    if frame.shape[1] < 2:
        raise DatasetError(
            f"{where}: found {frame.shape[1]} column; expected at least one feature and the labels "
            "(sep= names what is between two cells)"
        )
    if frame.empty:
        raise DatasetError(f"{where}: found no rows; expected several samples")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise DatasetError(f"{where}: column {twice!r} is there twice; expected different names")


def _check_values(features: "pd.DataFrame", labels: "pd.Series", where: str) -> None:
    """Raise a ``DatasetError`` if a table cannot be learned from."""
    if not features.shape[1]:
        raise DatasetError(
            f"{where}: found no feature beside the labels and the numbers of the rows; expected "
            "at least one (index=False keeps the numbers)"
        )
    for column, values in [*features.loc[:, features.isna().any()].items(), (labels.name, labels)]:
        missing = np.flatnonzero(values.isna())
        if len(missing):
            raise DatasetError(
                f"{where}: column {column!r} lacks {len(missing)} values, the first in row "
                f"{missing[0] + 1}; expected none: drop or fill them first "
                "(pandas: dropna, fillna)"
            )
    for column, kind in features.dtypes.items():
        if kind.kind not in "uifb":
            values = features[column].astype(str)
            odd = values[~values.map(lambda cell: bool(NUMBER.fullmatch(cell)))]
            text = (odd if len(odd) else values).iloc[0][:40]
            advice = "encode it"
            if re.fullmatch(r"[+-]?[\d.,' ]*\d\s*%?", text):
                advice = "write it as a plain number, or is its comma decimal=','"
            raise DatasetError(
                f"{where}: feature column {column!r} holds text such as {text!r}; expected "
                f"numbers: {advice}, leave it out (index={column!r}), or is it the label "
                f"(target={column!r})?"
            )
