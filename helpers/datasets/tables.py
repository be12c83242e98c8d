"""Datasets that are tables: a file of rows, or a pandas ``DataFrame``."""

import codecs
import contextlib
import csv
import io
import itertools
import math
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from helpers.datasets.dataset import (
    FEW,
    Dataset,
    are_numbers,
    assumed_of_labels,
    checked_dataset,
    split_arrays,
    tell,
)
from helpers.datasets.formats import contents
from helpers.errors import DatasetError, nearest

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")  # each also with .gz
SPACES = r"\s+"
MISSING = frozenset(
    ("?", "-", "--", ".", "*", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None")
)
LABELS = frozenset(["label", "labels", "class", "target", "y", "category", "outcome"])
ID = re.compile(r"(?i:(^|[\s_.-])(id|idx|index|row|nr)$|^unnamed: \d+)|[a-z]I[dD]$")
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?inf(inity)?", re.IGNORECASE)
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
MOST_COLUMNS = 100_000
SAMPLE, SAMPLE_CHARACTERS = 500, 4_000_000  # lines that the layout is found in


class Layout(NamedTuple):
    """How a table is laid out, as ``read_table`` takes it; what is None is found in the file."""

    sep: str | None = None
    decimal: str | None = None
    header: bool | int | None = None
    missing: str | Sequence[str] | None = None
    encoding: str | None = None

    def check(self) -> None:
        """Refuse what no table can have."""
        sep, decimal, header, missing, _ = self
        for fits, expected in (
            (sep in (None, SPACES) or (isinstance(sep, str) and len(sep) == 1),
             f"sep={sep!r}; expected one character, or {SPACES!r} for any number of spaces"),
            (decimal in (None, ".", ","), f"decimal={decimal!r}; expected '.' or ','"),
            (header is None or (isinstance(header, int) and header >= 0),
             f"header={header!r}; expected True, False or the number of a line"),
            (missing is None or all(isinstance(mark, str) for mark in missing),
             f"missing={missing!r}; expected texts, such as ['?', '-']"),
        ):  # fmt: skip
            if not fits:
                raise DatasetError(expected)


def read_table(
    path: str | Path,
    *,
    sep: str | None = None,
    decimal: str | None = None,
    header: bool | int | None = None,
    index: str | int | Sequence[str | int] | bool | None = None,
    missing: str | Sequence[str] | None = None,
    encoding: str | None = None,
) -> "pd.DataFrame":
    """Read a table of text, such as a ``.csv`` file, plain or gzipped.

    What is not given is found in the file. What is found but not certain is told in one
    ``AssumptionWarning``.

    Parameters
    ----------
    path
        The file.
    sep
        What stands between two cells: a character, or ``r"\\s+"`` for any number of spaces.
    decimal
        The decimal sign, ``"."`` or ``","``.
    header
        Whether the first row holds the names of the columns, or the number of the line that does,
        from 0.
    index
        The column, or columns, that number the rows, by name or by place from 0; they become the
        frame's index. ``False``: there is none.
    missing
        What stands for a missing value, beside an empty cell. ``None``: marks such as ``?`` and
        ``NA`` where the rest of a column are numbers. In a column of text they are text.
    encoding
        UTF-8 if ``None``, or UTF-16 if the file begins with its mark.

    Raises
    ------
    DatasetError
        If the file is no table, or no table of equally long rows.
    """
    notes: list[str] = []
    path = Path(path)
    frame = _read(path, Layout(sep, decimal, header, missing, encoding), notes)
    numbering = _numbering(frame, index, frame.columns[-1], notes, path.name)
    tell(path.name, notes)
    return frame.set_index(numbering) if numbering else frame


def load_table(path: Path, layout: Layout, **options: Any) -> Dataset:
    """Load a file as a ``Dataset``; see ``read_table`` and ``from_table``."""
    notes: list[str] = []
    frame = _read(path, layout, notes)
    names = {"name": path.name.split(".")[0], "source": str(path), "where": path.name}
    return from_table(frame, notes=notes, **names, **options)


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
    where: str = "the table",
    notes: Sequence[str] = (),
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
    name, source, where
        For ``Dataset.name``, ``Dataset.source`` and messages.
    notes
        What has been assumed of the table before, to be told in the same line.

    Returns
    -------
    Dataset
        ``x_…`` are float64 of shape (n, features). Classes are numbered in sorted order.

    Raises
    ------
    DatasetError
        If the target does not exist, a feature is not numeric, or a value is missing.
    """
    frame, notes = frame.rename(columns=str), list(notes)
    _check_shape(frame, where)
    try:
        target, named = _label_column(frame, target, notes, where)
        features = frame.drop(columns=[target, *_numbering(frame, index, target, notes, where)])
        labels = frame[target]
        _check_values(features, labels, where)
        y = labels.to_numpy() if labels.dtype.kind in "uif" else labels.astype(str).to_numpy("U")
        numbers = are_numbers(y, regression)
        notes += assumed_of_labels(y, regression, f"column {target!r}", named=named)
        values, counts = np.unique(y, return_counts=True)
        if not numbers and counts.min() < 2:
            hint = " (is it a class at all?)" if len(values) > len(y) // 2 else ""
            raise DatasetError(
                f"{where}: label {_short(values[counts.argmin()])} in column {target!r} occurs "
                f"once{hint}; expected every class at least twice"
            )
    finally:
        tell(where, notes)
    x = features.to_numpy(np.float64)
    return checked_dataset(
        name,
        split_arrays(x, y, test_size=test_size, seed=seed, regression=numbers),
        source=source,
        where=where,
        regression=numbers,
        feature_names=tuple(features.columns),
    )


def _read(path: Path, given: Layout, notes: list[str]) -> "pd.DataFrame":
    """Read a file as it is laid out, and note what was assumed."""
    import pandas as pd

    given.check()
    content = contents(path)
    encoding = given.encoding or _encoding(content, path.name)
    try:
        lines = _first_lines(content, encoding, path.name)
        skip, options = _layout(lines, given, notes, path.name)

        def read(blanks: Any) -> "pd.DataFrame":
            with warnings.catch_warnings():
                # pandas drops what is beyond the header's columns, with a warning.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    _lines(content, encoding, skip), na_values=blanks, keep_default_na=False,
                    skipinitialspace=True, index_col=False, low_memory=False,
                    **options,
                )  # fmt: skip

        if given.missing is not None:
            marks = [given.missing] if isinstance(given.missing, str) else given.missing
            frame = read(["", *marks])
        else:
            frame = read([""])
            if marked := _marked(frame, options["decimal"], notes):
                frame = read({n: ["", *MISSING] if n in marked else [""] for n in frame})
    except (UnicodeError, LookupError) as error:
        raise DatasetError(
            f"{path.name}: this is not UTF-8 or what encoding= names ({error}); expected a text "
            "table: export it as CSV (UTF-8), or name its encoding=, such as 'cp1252'"
        ) from None
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{path.name}: not a regular table ({reason}); expected rows of equal length, with "
            f"{options['sep']!r} between cells (sep= names another)"
        ) from None
    # A delimiter at the end of every line makes a column without name or values.
    if frame.iloc[:, -1].isna().all() and frame.columns[-1].startswith(("Unnamed:", "column ")):
        frame = frame.iloc[:, :-1]
    return frame.copy()  # in one piece: thousands of columns are quicker so


def _encoding(content: bytes, where: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in content:
        raise DatasetError(
            f"{where}: found binary data; expected a table of text: export it as CSV (UTF-8), or "
            "name its encoding=, such as 'utf-16-le'"
        )
    return "utf-8-sig"


def _lines(content: bytes, encoding: str, skip: int = 0) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    for _ in range(skip):
        stream.readline()
    return stream


def _first_lines(content: bytes, encoding: str, where: str) -> list[str]:
    """Return enough lines to see how the file is laid out; an empty one ends the whole file."""
    lines: list[str] = []
    length = 0
    for line in _lines(content, encoding):
        if (width := max(map(line.count, "\t;|, ")) + 1) > MOST_COLUMNS:
            raise DatasetError(
                f"{where}: found {width:,} columns; expected at most {MOST_COLUMNS:,}: keep a "
                "table of this width as an .npz file"
            )
        lines.append(line)
        length += len(line)
        if len(lines) >= SAMPLE or (length > SAMPLE_CHARACTERS and len(lines) > FEW):
            return lines
    return [*lines, ""]


def _split(lines: Sequence[str], sep: str) -> list[list[str]]:
    last = lines[-1]
    if sep == SPACES:
        lines, sep = [line.strip().replace("\t", " ") for line in lines], " "
    rows = [row for row in csv.reader(lines, delimiter=sep, skipinitialspace=True) if row]
    return rows if last == "" or len(rows) < 3 else rows[:-1]  # which may go on


def _layout(
    lines: list[str], given: Layout, notes: list[str], where: str
) -> tuple[int, dict[str, Any]]:
    """Return how many lines to skip, and the options by which pandas reads the others."""
    sep, decimal, header, *_ = given
    skip = next((n for n, line in enumerate(lines) if line.strip()), None)
    if skip is None:
        raise DatasetError(f"{where}: found an empty file; expected a table of text")
    if told := re.fullmatch(r"sep=(.)\s*", lines[skip]):  # Excel's own mark
        sep, skip = sep or told[1], skip + 1
    comments = len(list(itertools.takewhile(lambda line: line.startswith("#"), lines[skip:])))
    if header is not None and not isinstance(header, bool):
        skip, comments, header = header, 0, True
    assumed: list[str] = []
    skip += comments
    try:
        sep = sep or _separator(lines[skip:], assumed)
        rows = _split(lines[skip:], sep)
        titles = _split([lines[skip - 1].lstrip("# ")], sep) if comments else []
    except csv.Error as error:
        raise DatasetError(
            f"{where}: cannot be split at sep={sep!r} ({error}); expected one character between "
            "cells, and every quote closed"
        ) from None
    if titles and rows and len(titles[0]) == len(rows[0]):
        comments, skip, rows, header = comments - 1, skip - 1, titles + rows, header is not False
    _check_rows(rows, where, sep)
    decimal = decimal or _decimal(rows[1:], assumed)
    if header is None:
        header, certain = _has_header(rows, decimal)
        assumed += [] if certain else [f"header={header}"]
    if assumed:
        notes.append(f"assumed {', '.join(assumed)} (name another if this is wrong)")
    if comments:
        notes.append(f"left out {comments} lines that begin with # (header=0 keeps them)")
    first = rows[0] if header else [f"column {n}" for n in range(1, len(rows[0]) + 1)]
    names = [cell.strip() or f"Unnamed: {n}" for n, cell in enumerate(first)]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(
            f"{where}: column {twice[0]!r} is there twice; expected different names: rename one, "
            "or say header=False if this is a row of values"
        )
    return skip, {"sep": sep, "decimal": decimal, "header": 0 if header else None, "names": names}


def _check_rows(rows: list[list[str]], where: str, sep: str) -> None:
    width = len(rows[0]) if rows else 0
    if odd := next((n for n, row in enumerate(rows) if len(row) != width), None):
        raise DatasetError(
            f"{where}: row {odd + 1} has {len(rows[odd])} cells and the first {width}; expected "
            f"rows of equal length, with {sep!r} between cells (sep= names another, header= the "
            "line of the names)"
        )
    if len(rows) < 2:
        raise DatasetError(f"{where}: found {len(rows)} row; expected several samples")


def _separator(lines: list[str], assumed: list[str]) -> str:
    """Return the character at which every line falls into as many cells, more than one."""
    first = lines[0] if lines else ""
    fitting = []
    for sep in filter(first.__contains__, "\t;|,"):  # the comma last: it may be a decimal
        with contextlib.suppress(csv.Error):
            rows = _split(lines, sep)
            if len({len(row) for row in rows}) == 1 < len(rows[0]):
                fitting.append(sep)
    if fitting:
        assumed += [f"sep={fitting[0]!r}"] if len(fitting) > 1 and fitting[0] != "\t" else []
        return fitting[0]
    rows = _split(lines, SPACES)
    numeric = all(any(map(NUMBER.fullmatch, row)) for row in rows)
    if len({len(row) for row in rows}) == 1 < len(rows[0]) and numeric:
        assumed.append(f"sep={SPACES!r}")
        return SPACES
    return max(",;\t|", key=first.count)


def _decimal(rows: list[list[str]], assumed: list[str]) -> str:
    """Return a comma if the numbers of a column have one, and it is not before each thousand."""
    unsure = False
    if not any("," in cell for row in rows for cell in row):
        return "."
    for column in zip(*rows, strict=True):
        cells = [cell.strip() for cell in column if cell.strip() not in MISSING | {""}]
        commas = [cell for cell in cells if COMMA.fullmatch(cell)]
        whole = sum(cell.lstrip("+-").isdecimal() for cell in cells)
        if commas and len(commas) + whole == len(cells):
            if not all(map(THOUSANDS.fullmatch, commas)):
                assumed.append("decimal=','")
                return ","
            unsure = True
    assumed += ["decimal='.'"] if unsure else []
    return "."


def _has_header(rows: list[list[str]], decimal: str) -> tuple[bool, bool]:
    """Tell whether the first row holds names, and whether that is certain.

    Names stand out where they are no numbers above numbers, or numbers above text. A name is not
    repeated, neither beside nor below; names that are numbers are counted: 0, 1, 2 …
    """
    titles = [cell.strip() for cell in rows[0]]
    numbers = [bool(NUMBER.fullmatch(title.replace(decimal, "."))) for title in titles]
    differs = repeated = fractions = some_numeric = False
    for title, number, column in zip(titles, numbers, zip(*rows[1:], strict=True), strict=True):
        cells = {cell.strip() for cell in column} - MISSING - {""}
        numeric = {bool(NUMBER.fullmatch(cell.replace(decimal, "."))) for cell in cells}
        if numeric == {True}:
            some_numeric = True
            differs |= not number and title not in MISSING | {""}
            fractions |= number and not any(map(str.isdecimal, cells))
        elif numeric == {False}:
            differs |= number
            repeated |= title in cells
    if differs:
        return True, not any(numbers) and not repeated
    if repeated or len(set(titles)) < len(titles):
        return False, True
    counted = [int(title) for title in titles if title.isdecimal()]
    steps = set(np.diff(counted))
    counts = len(counted) >= sum(numbers) and len(steps) == 1 and 0 not in steps
    if counts and (fractions or (len(counted) > 2 and not _counts(rows[1:]))):
        return True, False
    return not some_numeric, False


def _counts(rows: list[list[str]]) -> bool:
    """Tell whether one of some rows counts by equal steps, as a header of numbers does."""
    counted = ([int(cell) for cell in row if cell.strip().isdecimal()] for row in rows)
    return any(len(row) > 2 and set(np.diff(row)) == {row[1] - row[0]} != {0} for row in counted)


def _marked(frame: "pd.DataFrame", decimal: str, notes: list[str]) -> set[str]:
    """Return the columns of numbers among which there are marks of missing values."""
    marked, marks, texts = set(), set(), set()
    for name, values in frame.select_dtypes(exclude=["number", "bool"]).items():
        cells = {str(cell).strip() for cell in values.dropna().unique()}
        if not (found := cells & MISSING):
            continue
        if cells > found and all(NUMBER.fullmatch(c.replace(decimal, ".")) for c in cells - found):
            marked.add(name)
            marks |= found
        else:
            texts |= found
    for cells, meaning in ((marks, "missing"), (texts, "text, not missing")):
        if cells:
            shown = ", ".join(map(repr, sorted(cells)))
            notes.append(f"took {shown} as {meaning} (missing= names what is missing)")
    return marked


def _numbering(
    frame: "pd.DataFrame", index: Any, target: str, notes: list[str], where: str
) -> list[str]:
    """Return the columns that number the rows, as given or, if it is certain, as found."""
    if index is False:
        return []
    if index is not None and index is not True:
        given = [index] if isinstance(index, str | int) else list(index)
        return [_column(frame, name, where) for name in given]
    distinct = [name for name in _distinct(frame) if name != target]
    numbering = [name for name in distinct if ID.search(name)]
    if frame.columns[0] == "Unnamed: 0" != target:  # as pandas and R write it
        numbering = ["Unnamed: 0", *(name for name in numbering if name != "Unnamed: 0")]
    distinct = [name for name in distinct if name not in numbering]
    unnamed = [name for name in distinct if _numbers_rows(frame[name].to_numpy())]
    if len(unnamed) + len(numbering) == frame.shape[1] - 1:
        unnamed = []  # it is all that there is to learn from
    for name in numbering + unnamed:
        notes.append(f"column {name!r} numbers the rows and is left out (index=False keeps it)")
    for name in distinct:  # in a short table that is chance, if they do not follow each other
        if name not in unnamed and (len(frame) >= FEW or np.ptp(frame[name]) < len(frame)):
            notes.append(
                f"column {name!r} has another whole number in every row and is kept "
                f"(index={name!r} leaves it out)"
            )
            break
    return numbering + unnamed


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
    likely = (first[1:] > first[:-1]).all(axis=0) & (first[0] >= 0)
    likely &= (first == np.round(first)).all(axis=0)
    return [
        name
        for name, values in numbers.loc[:, likely].items()
        if values.is_unique
        and (values == values.round()).all()
        and values.min() >= 0
        and values.max() < 1 << 53
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


def _label_column(
    frame: "pd.DataFrame", target: str | None, notes: list[str], where: str
) -> tuple[str, bool]:
    """Return the column of labels, and whether its name says so."""
    if target is not None:
        return _column(frame, str(target), where), True
    last = frame.columns[-1]
    named = [name for name in frame.columns if name.strip().lower() in LABELS]
    if last in named or len(named) == 1:
        if last not in named:
            notes.append(f"the label is column {named[0]!r} (target= names another)")
        return (last if last in named else named[0]), True
    first, values = frame.iloc[:, 0], frame[last]
    if _distinct(frame[[last]]) and (ID.search(last) or _numbers_rows(values.to_numpy())):
        raise DatasetError(
            f"{where}: the last column, {last!r}, numbers the rows; expected the labels there: "
            "name their column with target="
        )
    if values.dtype.kind in "uif" and first.dtype.kind in "uib" and 2 <= first.nunique() <= FEW:
        notes.append(f"the label is the last column, {last!r} (target= names another)")
    return last, False


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
            text = (odd if len(odd) else values).iloc[0]
            advice = "encode it"
            if re.fullmatch(r"[+-]?[\d.,' ]*\d\s*%?", text):
                advice = "write it as a plain number, or is its comma decimal=','"
            raise DatasetError(
                f"{where}: feature column {column!r} holds text such as {_short(text)}; expected "
                f"numbers: {advice}, leave it out (index={column!r}), or is it the label "
                f"(target={column!r})?"
            )


def _short(value: object) -> str:
    text = str(value)
    return repr(text if len(text) <= 40 else text[:40] + "…")
