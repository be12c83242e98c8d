"""Tables: the delimiter and header are found, and what cannot be learned from is refused."""

import numpy as np
import pandas as pd
import pytest
from refusals import refusal

from helpers.datasets import DatasetError, from_table, load_dataset, read_csv

ROWS = [[i * 1.5, 10 - i, "ab"[i % 2]] for i in range(10)]


def write(path, rows, delimiter=",", header=None):
    lines = [delimiter.join(map(str, row)) for row in ([header] if header else []) + rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("header", [None, ["width", "height", "kind"]])
def test_delimiter_and_header_are_detected(tmp_path, delimiter, header):
    data = load_dataset(write(tmp_path / "t.csv", ROWS, delimiter, header))
    assert (data.kind, data.class_names) == ("table", ("a", "b"))
    assert data.feature_names == (("width", "height") if header else ("column 1", "column 2"))
    assert len(data.x_train) + len(data.x_test) == 10
    rows = {
        (x[0], x[1]): data.class_names[y] for x, y in zip(data.x_train, data.y_train, strict=True)
    }
    for width, height, kind in ROWS:
        assert rows.get((width, height), kind) == kind


def test_quotes_and_byte_order_mark(tmp_path):
    path = tmp_path / "q.csv"
    rows = "".join(f'{i},"{"x, y" if i % 2 else "z"}"\n' for i in range(10))
    path.write_text("\ufeffsize,kind\n" + rows, encoding="utf-8")
    data = load_dataset(path)
    assert data.feature_names == ("size",)
    assert data.class_names == ("x, y", "z")


def test_target_in_another_column(tmp_path):
    path = write(tmp_path / "t.csv", [[r[2], r[0], r[1]] for r in ROWS], header=["kind", "a", "b"])
    assert load_dataset(path, target="kind").feature_names == ("a", "b")
    message = refusal(path, target="kin")
    assert "no column 'kin'" in message
    assert "Did you mean 'kind'?" in message


def test_integer_labels(tmp_path):
    data = load_dataset(write(tmp_path / "t.csv", [[i / 3, i % 3] for i in range(12)]))
    assert data.class_names == ("0", "1", "2")


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        ([[i / 3, i % 3 + 1] for i in range(12)], ["labels are 1, 2, 3", "0 … 2"]),
        ([[i / 3, i / 7] for i in range(12)], ["'column 2'", "occurs once", "class at all"]),
        ([[i, "" if i == 4 else 1, "ab"[i % 2]] for i in range(10)],
         ["column 'column 2' lacks 1 values", "row 5", "fill_missing"]),
        ([[i, "" if i == 4 else "ab"[i % 2]] for i in range(10)], ["'column 2' lacks 1", "row 5"]),
        ([["inf" if i == 4 else i, "ab"[i % 2]] for i in range(10)], ["NaN or infinity"]),
        ([["red", i, "ab"[i % 2]] for i in range(10)],
         ["'column 1' holds text", "'red'", "numbers"]),
        ([[i] for i in range(10)], ["found 1 column"]),
        ([[1, "a"], [2, "a"], [3, "a"], [4, "b"]], ["'b'", "occurs once"]),
    ],
)  # fmt: skip
def test_refusals(tmp_path, rows, parts):
    message = refusal(write(tmp_path / "bad.csv", rows))
    for part in ["bad.csv", *parts]:
        assert part in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        (b"\x89PNG\0\0\0", "expected"),
        (b"a,b\n1,caf\xe9\n", "not UTF-8"),
        (b"1,2,a\n3,4,b\n5,6,7,8,9\n", "rows of equal length"),
        (b"f,g,l\n1,2,a,9\n3,4,b,9\n", "rows of equal length"),
        (b"f,g,l\n", "found 1 row"),
        (b"f,f,l\n1,2,a\n", "occurs once"),
        (b"1,5;2,1;a\n1,6;2,2;b\n", "decimals with a point"),
    ],
)
def test_files_that_are_no_tables(tmp_path, content, part):
    (tmp_path / "bad.csv").write_bytes(content)
    message = refusal(tmp_path / "bad.csv")
    assert "bad.csv" in message
    assert part in message


def test_commas_at_the_end_and_wide_headers(tmp_path):
    (tmp_path / "c.csv").write_text("f,l,\n" + "".join(f"{i},{'ab'[i % 2]},\n" for i in range(8)))
    assert load_dataset(tmp_path / "c.csv").feature_names == ("f",)
    names = [f"measurement number {i}" for i in range(5000)]
    rows = [[*range(5000), "ab"[i % 2]] for i in range(6)]
    assert (
        len(load_dataset(write(tmp_path / "w.csv", rows, header=[*names, "kind"])).feature_names)
        == 5000
    )


def test_frames_that_cannot_be_learned_from():
    good = pd.DataFrame({"a": [1, 2, 3, 4], "l": list("xyxy")})
    for frame, options, part in (
        (good[:0], {}, "no rows"),
        (good.set_axis(["l", "l"], axis=1), {}, "column 'l' is there twice"),
        (good.set_axis([1, 2], axis=1), {"target": 9}, "no column '9'"),
        (good.assign(a=None), {}, "lacks 4 values"),
        (good.assign(l="x"), {}, "every label is x"),
    ):
        with pytest.raises(DatasetError, match=part):
            from_table(frame, **options)


def test_labels_whose_gap_was_filled():
    frame = pd.DataFrame({"a": [1.0, 2, 3, 4], "l": [0, 1, 0, None]}).fillna(1)
    assert from_table(frame).class_names == ("0", "1")


def test_missing_values_reach_the_user_who_fills_them(tmp_path):
    rows = [[i, "" if i == 4 else 1.0, "ab"[i % 2]] for i in range(10)]
    frame = read_csv(write(tmp_path / "t.csv", rows))
    assert frame.isna().sum().sum() == 1
    assert len(from_table(frame.fillna(0)).x_train) == 8


def test_from_table_keeps_the_frame(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["a", "b", "kind"])
    before = frame.copy()
    data = from_table(frame, name="mine")
    pd.testing.assert_frame_equal(frame, before)
    assert data.name == "mine"
    assert data.x_train.dtype == np.float64
