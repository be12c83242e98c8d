"""Tables: what pandas writes comes back; what is not certain is told, or refused in one line."""

import gzip
import os
import time
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from refusals import refusal

from helpers.datasets import AssumptionWarning, DatasetError, from_table, load_dataset, read_table

ROWS = [[i * 1.5, 10 - i, "ab"[i % 2]] for i in range(10)]


def told(function, *args, **options) -> tuple[object, str]:
    """Return what a function returns, and the one line in which it told its assumptions."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        result = function(*args, **options)
    lines = [str(w.message) for w in caught if w.category is AssumptionWarning]
    assert len(lines) == len(caught) <= 1
    assert "\n" not in "".join(lines)
    return result, "".join(lines)


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
        ([[i, "" if i == 4 else 1, "ab"[i % 2]] for i in range(10)],
         ["column 'column 2' lacks 1 values", "row 5", "fillna"]),
        ([[i, "" if i == 4 else "ab"[i % 2]] for i in range(10)], ["'column 2' lacks 1", "row 5"]),
        ([["inf" if i == 4 else i, "ab"[i % 2]] for i in range(10)], ["NaN or infinity"]),
        ([[i * 1.5, [1, "inf"][i % 2]] for i in range(10)], ["a label is NaN or infinite"]),
        ([["red", i, "ab"[i % 2]] for i in range(10)],
         ["'column 1' holds text", "'red'", "numbers", "index='column 1'", "target='column 1'"]),
        ([[f"{i} %", "ab"[i % 2]] for i in range(10)], ["'0 %'", "plain number"]),
        ([[f'"1,{i:03}"', "ab"[i % 2]] for i in range(10)], ["'1,000'", "decimal=','"]),
        ([[f"2020-01-{i + 1:02}", "ab"[i % 2]] for i in range(10)], ["'2020-01-01'", "index="]),
        ([[i] for i in range(10)], ["found 1 column", "sep="]),
        ([[1, "a"], [2, "a"], [3, "a"], [4, "b"]], ["class 'b' has 1 sample", "at least 2"]),
        ([[i * 1.5, i] for i in range(20)], ["the last column", "numbers the rows", "target="]),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore::helpers.datasets.AssumptionWarning")
def test_refusals(tmp_path, rows, parts):
    message = refusal(write(tmp_path / "bad.csv", rows))
    for part in ["bad.csv", *parts]:
        assert part in message


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "an empty file"),
        (b"\n\n", "an empty file"),
        (b"\x89PNG\0\0\0", "binary data"),
        ("a,b\n1,2\n".encode("utf-16-le"), "encoding="),
        (b"a,b\n1,caf\xe9\n", "encoding="),
        (b"1,2,a\n3,4,b\n5,6,7,8,9\n", "rows of equal length"),
        (b"f,g,l\n1,2,a,9\n3,4,b,9\n", "rows of equal length"),
        (b"f,g,l\n1,2,a\n3,4\n3,4,b\n", "rows of equal length"),
        (b"f,g,l\n" + b"1,2,a\n" * 800 + b"1,2,a,9\n", "rows of equal length"),
        (b"f,g,l\n", "found 1 row"),
        (b"f,f,l\n1,2,a\n", "column 'f' is there twice"),
        (b"label,x,label\n" + b"0,1.5,0\n1,2.5,1\n" * 4, "column 'label' is there twice"),
        (b"a,l\n1,x\n2," + b"y" * 140_000 + b"\n", "field larger than"),
        (b'a,l\n1,x\n2,"y\n3,z\n' * 20, "bad.csv"),
    ],
)
@pytest.mark.filterwarnings("ignore::helpers.datasets.AssumptionWarning")
def test_files_that_are_no_tables(tmp_path, content, part):
    (tmp_path / "bad.csv").write_bytes(content)
    message = refusal(tmp_path / "bad.csv")
    assert "bad.csv" in message
    assert part in message


@pytest.mark.parametrize(
    ("option", "value"),
    [("sep", ";;"), ("decimal", "x"), ("header", "yes"), ("header", -1), ("missing", [0])],
)
def test_wrong_arguments(tmp_path, option, value):
    path = write(tmp_path / "t.csv", ROWS)
    assert refusal(path, **{option: value}).startswith(f"{option}={value!r}; expected")


def test_table_arguments_elsewhere_are_refused(tmp_path):
    for option, value in (("sep", ";"), ("index", False), ("regression", True)):
        assert f"{option}={value!r} has no effect" in refusal(tmp_path, **{option: value})
    assert "sep=';' has no effect" in refusal("iris", sep=";")


@pytest.mark.parametrize(
    ("text", "names", "words"),
    [
        # Names are certain where they stand above numbers.
        ("w,h,k\n1.5,2,a\n2.5,2,b\n", ["w", "h", "k"], ""),
        ("1.5,2,a\n2.5,2,b\n1.5,3,a\n", ["column 1", "column 2", "column 3"], ""),
        ("hue,size,kind\nred,small,a\nblue,large,b\n", ["hue", "size", "kind"], "header=True"),
        ("red,small,a\nblue,large,b\nred,small,a\n", ["column 1", "column 2", "column 3"], ""),
        ("0,1,2,label\n7,9,4,0\n8,1,3,1\n", ["0", "1", "2", "label"], "header=True"),
        ("0,1,2,3\n7,9,4,0\n8,1,3,1\n", ["0", "1", "2", "3"], "header=True"),
        ("land,2019,2020\na,1.5,2.5\nb,3.5,4.5\n", ["land", "2019", "2020"], "header=True"),
        ("1990,1991,1992\n3.5,4.2,1.1\n2.5,4.1,1.3\n", ["1990", "1991", "1992"], "header=True"),
        ("3,9,4\n7,9,4\n8,1,3\n", ["column 1", "column 2", "column 3"], "header=False"),
        ("1,2,3\n2,3,4\n8,1,3\n", ["column 1", "column 2", "column 3"], "header=False"),
        ("7,7,4\n7,9,4\n8,1,3\n", ["column 1", "column 2", "column 3"], ""),
        # Separators.
        ("a;b, c\n1.5;x, y\n2.5;x, z\n", ["a", "b, c"], "sep=';'"),
        ('a;b\n1.5;"x, y"\n2.5;"u; z"\n', ["a", "b"], ""),
        ("a;b\n1,5;x\n2,5;z\n", ["a", "b"], "decimal=','"),
        ("a;b\n1,500;x\n2,500;z\n", ["a", "b"], "decimal='.'"),  # or thousands
        ("a|b\n1.5|x\n2.5|z\n", ["a", "b"], ""),
        ("a\tb\n1.5\tx, y\n2.5\tx, z\n", ["a", "b"], ""),
        ("1.5   2 a\n2.5  3 b\n 1.5  4 a\n", ["column 1", "column 2", "column 3"], "sep="),
        ('18.   8  "ford a"\n9.5  4  "a b"\n', ["column 1", "column 2", "column 3"], "sep="),
        ("sep=;\na;b\n1.5;x\n2.5;z\n", ["a", "b"], ""),
        ("# a,b\n1.5,x\n2.5,z\n", ["a", "b"], ""),
        ("\n\na,b\r\n1.5,x\r\n2.5,z\r\n", ["a", "b"], ""),
        ("a,b\r1.5,x\r2.5,z\r", ["a", "b"], ""),
    ],
)  # fmt: skip
def test_layout(tmp_path, text, names, words):
    (tmp_path / "t.csv").write_bytes(text.encode())
    frame, line = told(read_table, tmp_path / "t.csv", index=False)
    assert list(frame) == names
    assert bool(words) == bool(line)
    assert words in line
    if words.startswith(("header", "sep=;", "decimal")):  # and it can be said otherwise
        name, _, value = words.partition("=")
        given = {"True": True, "False": False}.get(value, value.strip("'"))
        again, line = told(read_table, tmp_path / "t.csv", index=False, **{name: given})
        pd.testing.assert_frame_equal(again, frame)
        assert words not in line


def test_header_in_another_line_and_no_header(tmp_path):
    (tmp_path / "t.csv").write_text("made by a device\n\na,b\n1.5,x\n2.5,z\n")
    assert list(read_table(tmp_path / "t.csv", header=2)) == ["a", "b"]
    (tmp_path / "u.csv").write_text("a,b\n1.5,x\n2.5,z\n")
    assert len(read_table(tmp_path / "u.csv", header=False)) == 3


@pytest.mark.parametrize(
    ("encoding", "option"), [("utf-8-sig", None), ("utf-16", None), ("cp1252", "cp1252")]
)
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".txt", ".data", ".csv.gz", ".CSV"])
def test_encodings_and_suffixes(tmp_path, encoding, option, suffix):
    content = ("größe,k\n" + "".join(f"{i * 1.5},{'éb'[i % 2]}\n" for i in range(9))).encode(
        encoding
    )
    (tmp_path / f"t{suffix}").write_bytes(gzip.compress(content) if "gz" in suffix else content)
    data, line = told(load_dataset, tmp_path / f"t{suffix}", encoding=option)
    assert (data.name, data.feature_names, data.class_names) == ("t", ("größe",), ("b", "é"))
    assert not line


# Columns that number the rows ---------------------------------------------------------------------


def numbered(name, numbers):
    rng = np.random.default_rng(0)
    columns = {name: numbers, "w": rng.random(len(numbers)), "k": np.arange(len(numbers)) % 2}
    return pd.DataFrame(columns).assign(k=lambda frame: frame["k"].map({0: "a", 1: "b"}))


SHUFFLED = np.random.default_rng(1).permutation(60)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("Unnamed: 0", range(60)),
        ("Unnamed: 0", [0, 1, 2, 3, 0, 1, 2, 3]),  # of frames that were put together
        ("id", range(60)),
        ("sample_id", range(892, 952)),
        ("PassengerId", SHUFFLED * 7),  # rows of a large table
        ("whatever", range(60)),
        ("whatever", range(1, 61)),
        ("whatever", range(5)),
        ("whatever", range(59, -1, -1)),
        ("whatever", SHUFFLED),
        ("whatever", SHUFFLED[:40]),
        ("whatever", np.sort(SHUFFLED[:40])),
        ("whatever", SHUFFLED + 1.0),
    ],
)
def test_row_numbers_are_no_feature(tmp_path, name, numbers):
    frame = numbered(name, numbers)
    frame.to_csv(tmp_path / "t.csv", index=False)
    for load, source in ((load_dataset, tmp_path / "t.csv"), (from_table, frame)):
        data, line = told(load, source)
        assert data.feature_names == ("w",)
        assert f"column {name!r} numbers the rows and is left out (index=False keeps it)" in line
        data, line = told(load, source, index=False)
        assert (data.feature_names, line) == ((name, "w"), "")
        assert told(load, source, index=name)[1] == ""
    read, line = told(read_table, tmp_path / "t.csv")
    assert list(read) == ["w", "k"]
    assert read.index.name == name


def test_index_that_pandas_writes(tmp_path):
    frame = numbered("w2", np.random.default_rng(2).random(60)).sample(frac=0.5, random_state=0)
    frame.to_csv(tmp_path / "t.csv")
    assert told(load_dataset, tmp_path / "t.csv")[0].feature_names == ("w2", "w")
    frame.set_axis([f"r{i}" for i in range(30)]).to_csv(tmp_path / "t.csv")
    assert told(load_dataset, tmp_path / "t.csv")[0].feature_names == ("w2", "w")


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        (range(1990, 2020), "is kept (index="),  # years
        (np.random.default_rng(0).choice(100_000, 30, replace=False), "is kept (index="),
        (np.arange(30) * 10, "is kept (index="),  # a dose
        (np.random.default_rng(0).integers(0, 60, 30), ""),
        (np.arange(30) - 15, ""),
        (np.arange(30) + 0.5, ""),
        ([3, 1, 2, 0], "is kept (index="),  # by chance, too
        ([3, 8, 2, 0], ""),
    ],
)
def test_numbers_that_are_measured_are_features(numbers, words):
    data, line = told(from_table, numbered("x", numbers))
    assert data.feature_names == ("x", "w")
    assert words in line
    assert bool(words) == bool(line)


def test_the_only_feature_is_kept():
    frame = pd.DataFrame({"x": range(20), "k": list("ab") * 10})
    data, line = told(from_table, frame)
    assert data.feature_names == ("x",)
    assert "'x' has another whole number in every row and is kept" in line
    with (
        pytest.warns(AssumptionWarning, match="'id' numbers the rows"),
        pytest.raises(DatasetError, match="no feature beside"),
    ):
        from_table(frame.rename(columns={"x": "id"}))


# Labels -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("labels", "names"),
    [
        ([5, 6, 7], ("5", "6", "7")),
        ([1, 2, 3], ("1", "2", "3")),
        ([10, 9, -1], ("-1", "9", "10")),
        ([1.0, 0.0, 2.0], ("0", "1", "2")),
        ([True, False, True], ("False", "True")),
        (["None", "NA", "null"], ("NA", "None", "null")),
        (["nan", "?", "x"], ("?", "nan", "x")),
        (["b", "a", "c, d"], ("a", "b", "c, d")),
    ],
)
def test_labels_become_class_numbers(tmp_path, labels, names):
    frame = pd.DataFrame({"x": np.arange(30) / 7, "kind": labels * 10})
    frame.to_csv(tmp_path / "t.csv", index=False)
    for data in (told(load_dataset, tmp_path / "t.csv")[0], told(from_table, frame)[0]):
        assert data.class_names == names
        for x, y in zip(data.x_train[:, 0], data.y_train, strict=True):
            assert names[y] == str(frame["kind"][round(x * 7)]).removesuffix(".0")


def test_a_class_that_looks_missing_is_told(tmp_path):
    rows = [[i / 7, ["None", "x"][i % 2]] for i in range(10)]
    path = write(tmp_path / "t.csv", rows, header=["size", "kind"])
    assert "took 'None' as text, not missing (missing=" in told(load_dataset, path)[1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "lacks 5 values" in refusal(path, missing="None")


@pytest.mark.parametrize(
    ("columns", "options", "target", "words"),
    [
        ({"label": [0, 1], "p0": [3.5, 4], "p1": [1, 2]}, {}, "label", "label is column 'label'"),
        ({"a": [3.5, 4], "kind": ["x", "y"], "b": [1, 2]}, {"target": "kind"}, "kind", ""),
        ({"p": [3.5, 4], "class": ["x", "y"]}, {}, "class", ""),
        ({"p": [3, 4], "b": [0, 1]}, {}, "b", "the label is the last column, 'b'"),
        ({"p": [3, 4], "b": [0, 1]}, {"target": "b"}, "b", ""),
    ],
)  # fmt: skip
def test_label_column(columns, options, target, words):
    frame = pd.DataFrame({name: values * 10 for name, values in columns.items()})
    data, line = told(from_table, frame, **options)
    assert data.feature_names == tuple(name for name in columns if name != target)
    assert words in line
    assert bool(words) == bool(line)


@pytest.mark.parametrize(
    ("target", "options", "numbers", "words"),
    [
        (np.arange(60) * 1.7 + 0.1, {}, True, "the label is the last column, 'price' (target="),
        (np.arange(60) * 1.7 + 0.1, {"target": "price"}, True, ""),
        (np.arange(60) % 40 * 17, {"target": "price"}, True, "holds numbers to predict"),
        (np.arange(60) % 40 * 17, {"regression": True}, True, ""),
        (np.arange(60) % 30 * 17, {"target": "price"}, False, ""),  # 30 classes, each twice
        (np.arange(60) % 3, {"regression": True}, True, ""),
        (
            np.arange(60) % 3 / 2,
            {},
            False,
            "holds classes, not numbers to predict (regression=True",
        ),
    ],
)
def test_regression(tmp_path, target, options, numbers, words):
    frame = pd.DataFrame({"x": np.arange(60) / 7, "price": target})
    frame.to_csv(tmp_path / "t.csv", index=False)
    data, line = told(load_dataset, tmp_path / "t.csv", **options)
    assert words in line
    assert bool(words) == bool(line)
    assert (data.class_names == ()) == numbers
    assert data.y_train.dtype == (np.float64 if numbers else np.int64)
    if numbers:
        assert "numbers to predict" in repr(data)
        assert len(data.subset(20).x_train) == 20
        for x, y in zip(data.x_test[:, 0], data.y_test, strict=True):
            assert y == target[round(x * 7)]


def test_a_network_learns_a_regression(tmp_path):
    import keras

    from helpers.evaluation import evaluate
    from helpers.training import train

    x = np.random.default_rng(0).random((400, 3))
    frame = pd.DataFrame(x, columns=["a", "b", "c"]).assign(y=x @ [1, 2, 3])
    frame.to_csv(tmp_path / "t.csv", index=False)
    data = load_dataset(tmp_path / "t.csv")
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(1)])
    train(model, data, epochs=40, learning_rate=0.1, seed=0)
    assert evaluate(model, data).r2 > 0.9


def test_marks_of_missing_values(tmp_path):
    rows = [[i * 1.5 if i != 4 else "?", i % 3 if i != 5 else "NA", "ab"[i % 2]] for i in range(10)]
    path = write(tmp_path / "t.csv", rows, header=["x", "z", "k"])
    frame, line = told(read_table, path)
    assert "took '?', 'NA' as missing (missing=" in line
    assert frame.isna().sum().tolist() == [1, 1, 0]
    with pytest.warns(AssumptionWarning, match="as missing"):
        assert "column 'x' lacks 1 values" in refusal(path)
    frame, line = told(read_table, path, missing=["?", "NA"])
    assert (line, frame.isna().sum().tolist()) == ("", [1, 1, 0])
    assert "column 'z' holds text such as 'NA'" in refusal(path, missing="?", index="x")
    comma = write(
        tmp_path / "c.csv", [[f"{i},5", "-" if i == 3 else f"{i},25"] for i in range(9)], ";"
    )
    assert told(read_table, comma)[0].iloc[:, 1].isna().sum() == 1


# Whatever pandas writes ---------------------------------------------------------------------------


NUMBERS = st.floats(-1e6, 1e6).map(lambda x: round(x, 3))
WORDS = st.text("abcdeé;,\t|. '\"\n", max_size=6).map(lambda text: f"w{text}w")


@st.composite
def tables(draw):
    """Draw a table, how pandas is to write it, and where the label is."""
    n = draw(st.integers(6, 12))
    column = st.one_of(
        st.lists(NUMBERS, min_size=n, max_size=n),
        st.lists(st.integers(-50, 300), min_size=n, max_size=n),
    )
    columns = [draw(column) for _ in range(draw(st.integers(1, 4)))]
    classes = draw(st.lists(WORDS, min_size=2, max_size=3, unique=True))
    place = draw(st.integers(0, len(columns)))
    columns.insert(place, [classes[i % len(classes)] for i in range(n)])
    names = draw(st.lists(WORDS, min_size=len(columns), max_size=len(columns), unique=True))
    frame = pd.DataFrame(dict(zip(names, columns, strict=True)))
    if draw(st.booleans()):
        frame.iloc[draw(st.integers(0, n - 1)), draw(st.integers(0, len(columns) - 1))] = None
    how = {
        "sep": draw(st.sampled_from(",;\t|")),
        "decimal": draw(st.sampled_from(".,")),
        "header": draw(st.booleans()),
        "index": draw(st.booleans()),
        "na_rep": draw(st.sampled_from(["", "?", "NA"])),
        "quoting": draw(st.sampled_from([0, 1, 2])),
        "encoding": draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "cp1252"])),
    }
    return frame, how, names[place], draw(st.booleans())


def two_separators(words):
    """Return a table of which Hypothesis found that it came back wrong in silence."""
    frame = pd.DataFrame({"ww": words, "w;w": 0.0})
    how = dict.fromkeys(("header", "index"), False) | {"sep": ",", "decimal": ".", "na_rep": "",
           "quoting": 0, "encoding": "utf-8"}  # fmt: skip
    return frame, how, "ww", False


@settings(deadline=None, max_examples=150)
@example(two_separators(["w;\nw", "ww"] * 6))
@example(two_separators(["w\tw", "w;\tw"] * 6))
@given(tables())
def test_what_pandas_writes_comes_back_or_is_refused(tmp_path_factory, drawn):
    frame, how, target, is_told = drawn
    path = tmp_path_factory.mktemp("table") / "t.csv"
    frame.to_csv(path, **how)
    given = {}
    if is_told:
        given = {"sep": how["sep"], "decimal": how["decimal"], "header": how["header"],
                 "index": 0 if how["index"] else False, "missing": how["na_rep"]}  # fmt: skip
    if is_told or how["encoding"] == "cp1252":
        given["encoding"] = how["encoding"]
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            read = read_table(path, **given)
    except DatasetError as error:
        assert not is_told or "quote" in str(error)
        assert "=" in str(error)  # it names the setting
        return
    line = " ".join(str(w.message) for w in caught)
    if how["header"] and is_told and not frame.isna().any(axis=None) and len(read.columns) > 1:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            data = load_dataset(path, target=target.strip(), **given)
        assert data.class_names == tuple(sorted(frame[target].unique()))
    if not how["header"]:
        frame = frame.set_axis(range(frame.shape[1]), axis=1)
        read = read.set_axis(range(read.shape[1]), axis=1) if read.shape == frame.shape else read
    same = read.shape == frame.shape and all(
        (mine == theirs or (pd.isna(mine) and pd.isna(theirs)))
        for mine, theirs in zip(read.to_numpy().flat, frame.to_numpy().flat, strict=True)
    )
    assert same or (line and not is_told), f"{how}: {read} {line}"


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
    frame = read_table(write(tmp_path / "t.csv", rows))
    assert frame.isna().sum().sum() == 1
    assert len(from_table(frame.fillna(0)).x_train) == 8


def test_from_table_keeps_the_frame(tmp_path):
    frame = pd.DataFrame(ROWS, columns=["a", "b", "kind"])
    before = frame.copy()
    data = from_table(frame, name="mine")
    pd.testing.assert_frame_equal(frame, before)
    assert data.name == "mine"
    assert data.x_train.dtype == np.float64


# Large and hostile files --------------------------------------------------------------------------


@pytest.mark.parametrize("cell", ["12", ""])
def test_too_many_columns_are_refused_at_once(tmp_path, cell):
    path = tmp_path / "wide.csv"
    path.write_text("\n".join(",".join([cell] * 3_000_000) for _ in range(3)))
    start = time.monotonic()
    assert "found 3,000,000 columns; expected at most 100,000" in refusal(path)
    assert time.monotonic() - start < 5


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_files_larger_than_the_limit(tmp_path, monkeypatch, suffix):
    content = b"a,b,k\n" + b"1.5,2,x\n2.5,3,y\n" * 1000
    path = tmp_path / f"t{suffix}"
    path.write_bytes(gzip.compress(content) if suffix.endswith("gz") else content)
    monkeypatch.setenv("COURSE_MAX_BYTES", "10e3")
    assert "set COURSE_MAX_BYTES to a higher number" in refusal(path)
    monkeypatch.setenv("COURSE_MAX_BYTES", str(len(content)))
    assert len(load_dataset(path).class_names) == 2
    monkeypatch.setenv("COURSE_MAX_BYTES", "plenty")
    assert "COURSE_MAX_BYTES is 'plenty'; expected a number" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes and devices")
@pytest.mark.parametrize("name", ["t.csv", "t.npz", "t.tsv.gz", "t.parquet"])
@pytest.mark.parametrize("kind", ["fifo", "zero"])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path, name, kind):
    os.mkfifo(tmp_path / name) if kind == "fifo" else (tmp_path / name).symlink_to("/dev/zero")
    assert f"{name}: found no regular file" in refusal(tmp_path / name)


def test_corrupt_gzip(tmp_path):
    content = gzip.compress(b"a,b\n1,x\n" * 1000)
    (tmp_path / "t.csv.gz").write_bytes(content[: len(content) // 2])
    assert "t.csv.gz: the archive is corrupt or truncated" in refusal(tmp_path / "t.csv.gz")
