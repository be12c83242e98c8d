"""Tables of text: a file of rows becomes a pandas ``DataFrame``."""

import codecs
import contextlib
import csv
import io
import re
import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from helpers.datasets.dataset import FEW, Dataset, assumptions, check_option
from helpers.datasets.formats import contents
from helpers.datasets.frames import NUMBER, numbering, to_dataset
from helpers.errors import DatasetError

if TYPE_CHECKING:
    import pandas as pd

SUFFIXES = (".csv", ".tsv", ".tab", ".txt", ".data", ".dat")  # each also with .gz
SPACES = r"\s+"
MISSING = frozenset(
    ("?", "-", "--", ".", "*", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null", "None")
)
BLANKS = [*MISSING, ""]
NUMBERS = {".": NUMBER, ",": re.compile(NUMBER.pattern.replace(r"\.", ","), re.IGNORECASE)}
WHOLE = re.compile(r"[+-]?\d+")
COMMA = re.compile(r"[+-]?\d*,\d+([eE][+-]?\d+)?")
THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2}(,\d{3})+")
MOST_COLUMNS = 100_000
SAMPLE, SAMPLE_CHARACTERS = 500, 4_000_000  # lines that the layout is found in


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
    path = Path(path)
    with assumptions(path.name) as notes:
        layout = {"sep": sep, "decimal": decimal, "header": header, "missing": missing}
        frame = _read(path, notes, **layout, encoding=encoding)
        names = numbering(frame, index, frame.columns[-1], notes, path.name)
    return frame.set_index(names) if names else frame


def load_table(
    path: Path,
    *,
    target: Any,
    index: Any,
    regression: Any,
    test_size: Any,
    seed: Any,
    **layout: Any,
) -> Dataset:
    """Load a file as a ``Dataset``; see ``read_table`` and ``from_table``."""
    options = {"regression": regression, "test_size": test_size, "seed": seed}
    names = {"name": path.name.split(".")[0], "source": str(path), "where": path.name}
    with assumptions(path.name) as notes:
        frame = _read(path, notes, **layout)
        return to_dataset(frame, notes, target=target, index=index, **names, **options)


def _read(
    path: Path,
    notes: list[str],
    *,
    sep: Any,
    decimal: Any,
    header: Any,
    missing: Any,
    encoding: Any,
) -> "pd.DataFrame":
    """Read a file as it is laid out, and note what was assumed."""
    import pandas as pd

    fits = sep == SPACES or (isinstance(sep, str) and len(sep) == 1)
    check_option("sep", sep, fits, f"one character, or {SPACES!r} for any number of spaces")
    check_option("decimal", decimal, decimal in (".", ","), "'.' or ','")
    fits = isinstance(header, int) and header >= 0
    check_option("header", header, fits, "True, False or the number of a line")
    fits = all(isinstance(mark, str) for mark in missing or ())
    check_option("missing", missing, fits, "texts, such as ['?', '-']")
    content = contents(path)
    encoding = encoding or _encoding(content, path.name)
    try:
        lines = _first_lines(content, encoding, path.name)
        skip, layout = _layout(lines, sep, decimal, header, notes, path.name)

        def read(blanks: Any) -> "pd.DataFrame":
            with warnings.catch_warnings():
                # pandas drops what is beyond the header's columns, with a warning.
                warnings.simplefilter("error", pd.errors.ParserWarning)
                return pd.read_csv(
                    _lines(content, encoding, skip), na_values=blanks, keep_default_na=False,
                    skipinitialspace=True, index_col=False, low_memory=False, **layout,
                )  # fmt: skip

        frame = read(["", *([missing] if isinstance(missing, str) else missing or [])])
        if missing is None and (marked := _marked(frame, layout["decimal"], notes)):
            frame = read({name: ["", *MISSING] if name in marked else [""] for name in frame})
    except (UnicodeError, LookupError) as error:
        raise DatasetError(
            f"{path.name}: this is not UTF-8 or what encoding= names ({error}); expected a text "
            "table: export it as CSV (UTF-8), or name its encoding=, such as 'cp1252'"
        ) from None
    except (csv.Error, pd.errors.ParserError, pd.errors.ParserWarning) as error:
        reason = str(error).strip().splitlines()[-1]
        raise DatasetError(
            f"{path.name}: not a regular table ({reason}); expected rows of equal length, one "
            "character between cells (sep= names it), and every quote closed"
        ) from None
    # A delimiter at the end of every line makes a column without name or values.
    if frame.iloc[:, -1].isna().all() and frame.columns[-1].startswith(("Unnamed:", "column ")):
        frame = frame.iloc[:, :-1]
    return frame.copy()  # in one piece: thousands of columns are quicker so


def _encoding(content: bytes | bytearray, where: str) -> str:
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    if b"\0" in content:
        raise DatasetError(
            f"{where}: found binary data; expected a table of text: export it as CSV (UTF-8), or "
            "name its encoding=, such as 'utf-16-le'"
        )
    return "utf-8-sig"


def _lines(content: bytes | bytearray, encoding: str, skip: int = 0) -> io.TextIOWrapper:
    stream = io.TextIOWrapper(io.BytesIO(content), encoding, newline="")
    for _ in range(skip):
        stream.readline()
    return stream


def _first_lines(content: bytes | bytearray, encoding: str, where: str) -> list[str]:
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


def _layout(
    lines: list[str], sep: Any, decimal: Any, header: Any, notes: list[str], where: str
) -> tuple[int, dict[str, Any]]:
    """Return how many lines to skip, and the options by which pandas reads the others."""
    skip = next((n for n, line in enumerate(lines) if line.strip()), None)
    if skip is None:
        raise DatasetError(f"{where}: found an empty file; expected a table of text")
    if mark := re.fullmatch(r"sep=(.)\s*", lines[skip]):  # as Excel writes it
        sep, skip = sep or mark[1], skip + 1
    if header is not None and not isinstance(header, bool):
        skip, header = header, True
    assumed: list[str] = []
    sep = sep or _separator(lines[skip:], assumed)
    rows = _split(lines[skip:], sep)
    width = len(rows[0]) if rows else 0
    if odd := next((n for n, row in enumerate(rows) if len(row) != width), None):
        raise DatasetError(
            f"{where}: row {odd + 1} has {len(rows[odd])} cells and the first {width}; expected "
            f"rows of equal length, with {sep!r} between cells (sep= names another, header= the "
            "line of the names)"
        )
    if len(rows) < 2:
        raise DatasetError(f"{where}: found {len(rows)} row; expected several samples")
    cells = np.array([[cell.strip() for cell in row] for row in rows], object)
    decimal = decimal or _decimal(cells[1:], assumed)
    if header is None:
        header = _has_header(cells, decimal, assumed)
    if assumed:
        notes.append(f"assumed {', '.join(assumed)} (name another if this is wrong)")
    names = [f"column {n}" for n in range(1, width + 1)]
    if header:
        names = [name.lstrip("# ") or f"Unnamed: {n}" for n, name in enumerate(cells[0])]
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise DatasetError(
            f"{where}: column {twice[0]!r} is there twice; expected different names: rename one, "
            "or say header=False if this is a row of values"
        )
    return skip, {"sep": sep, "decimal": decimal, "header": 0 if header else None, "names": names}


def _split(lines: Sequence[str], sep: str) -> list[list[str]]:
    last = lines[-1]
    if sep == SPACES:
        lines, sep = [line.strip().replace("\t", " ") for line in lines], " "
    rows = [row for row in csv.reader(lines, delimiter=sep, skipinitialspace=True) if row]
    return rows if last == "" or len(rows) < 3 else rows[:-1]  # which may go on


def _separator(lines: list[str], assumed: list[str]) -> str:
    """Return the character at which every line falls into as many cells, most of them numbers."""
    text, scores = "".join(lines), {}
    for sep in ("\t", ";", "|", ",", SPACES):  # the comma may be a decimal, spaces may be text
        with contextlib.suppress(csv.Error):
            rows = _split(lines, sep)
            numbers = [sum(bool(NUMBER.fullmatch(cell.replace(",", "."))) for cell in row)
                       for row in rows]  # fmt: skip
            regular = len({len(row) for row in rows}) == 1 < len(rows[0])
            if regular and (sep != SPACES or (not scores and all(numbers))):
                scores[sep] = sum(numbers)
    if not scores:
        sep = max(",;\t|", key=text.count)
        assumed += [f"sep={sep!r}"] if sep in text else []
        return sep
    sep = max(scores, key=scores.__getitem__)
    is_best = sep == "\t" and [*scores.values()].count(scores[sep]) == 1
    if sep == SPACES or (len(scores) > 1 and not is_best):
        assumed.append(f"sep={sep!r}")
    return sep


def _matching(pattern: re.Pattern[str], cells: np.ndarray) -> np.ndarray:
    return np.vectorize(lambda cell: bool(pattern.fullmatch(cell)), otypes=[bool])(cells)


def _decimal(cells: np.ndarray, assumed: list[str]) -> str:
    """Return a comma if the numbers of a column have one, and it is not before each thousand."""
    comma, blank = _matching(COMMA, cells), np.isin(cells, BLANKS)
    numbers = comma.any(axis=0) & (comma | blank | _matching(WHOLE, cells)).all(axis=0)
    thousands = (_matching(THOUSANDS, cells) | ~comma).all(axis=0)
    decimal = "," if (numbers & ~thousands).any() else "."
    if numbers.any():
        assumed.append(f"decimal={decimal!r}")
    return decimal


def _has_header(cells: np.ndarray, decimal: str, assumed: list[str]) -> bool:
    """Tell whether the first row holds names, and note it unless that is certain.

    Names stand out where they are no numbers above numbers, or numbers above text. A name is not
    repeated, neither beside nor below; names that are numbers are counted: 0, 1, 2 …
    """
    blank, number = np.isin(cells, BLANKS), _matching(NUMBERS[decimal], cells)
    numeric = (number | blank)[1:].all(axis=0) & number[1:].any(axis=0)
    text = ~number[1:].any(axis=0) & ~blank[1:].all(axis=0)
    differs = (numeric & ~(number | blank)[0]) | (text & number[0])
    repeated = (text & (cells[1:] == cells[0]).any(axis=0)).any()
    if differs.any():
        header, certain = True, not number[0].any() and not repeated
    elif repeated or len(set(cells[0])) < cells.shape[1]:
        header, certain = False, True
    else:
        # Names that are numbers count by equal steps, as no row of numbers below does.
        fractions = numeric & number[0] & ~_matching(WHOLE, cells[1:]).any(axis=0)
        counted, *below = map(_steps, cells)
        counts = counted >= max(1, number[0].sum())
        header = not numeric.any() or (
            counts and (fractions.any() or (counted > 2 and max(below) <= 2))
        )
        header, certain = bool(header), False
    if not certain:
        assumed.append(f"header={header}")
    return header


def _steps(row: np.ndarray) -> int:
    """Return how many whole numbers a row holds if they differ by equal steps, or 0."""
    counted = [int(cell) for cell in row if cell.isdecimal()]
    steps = set(np.diff(counted))
    return len(counted) if len(steps) == 1 and 0 not in steps else 0


def _marked(frame: "pd.DataFrame", decimal: str, notes: list[str]) -> set[str]:
    """Return the columns of numbers among which there are marks of missing values."""
    is_number = NUMBERS[decimal].fullmatch
    marked, marks, texts = set(), set(), set()
    for name, values in frame.select_dtypes(exclude=["number", "bool"]).items():
        cells = {str(cell).strip() for cell in values.dropna().unique()}
        if (found := cells & MISSING) and cells > found and all(map(is_number, cells - found)):
            marked.add(name)
            marks |= found
        else:
            texts |= found
    for cells, meaning in ((marks, "missing"), (texts, "text, not missing")):
        if cells:
            shown = ", ".join(map(repr, sorted(cells)))
            notes.append(f"took {shown} as {meaning} (missing= names what is missing)")
    return marked
