"""Every figure renders, says what it shows, and keeps the notebook's own settings."""

import base64
import io

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from helpers import plots
from helpers.datasets import DatasetError, load_dataset
from helpers.errors import CourseError


def colour():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (30, 8, 8, 3)).astype(np.uint8)
    return load_dataset("digits").replace(
        name="colour", x_train=x, y_train=np.arange(30) % 10, x_test=x, y_test=np.arange(30) % 10
    )


def figures():
    digits, iris = load_dataset("digits"), load_dataset("iris")
    images = digits.x_train[:30]
    yield "image_grid", lambda: plots.image_grid(images, digits.y_train[:30], title="Images")
    yield "one image", lambda: plots.image_grid(images[:1])
    yield "class_examples", lambda: plots.class_examples(digits)
    yield "heatmap", lambda: plots.correlation_heatmap(pd.DataFrame(iris.x_train))
    yield "pairs", lambda: plots.pair_plot(iris)
    yield "rows", lambda: plots.image_rows({"a": images[:5], "b": images[5:10]}, title="Rows")
    yield (
        "embedding",
        lambda: plots.embedding(
            images.reshape(30, -1)[:, 20:22], digits.y_train[:30], digits.class_names
        ),
    )
    yield "colour class_examples", lambda: plots.class_examples(colour())
    yield from of_photos()
    yield from of_sweeps()


def of_sweeps():
    table = pd.DataFrame(
        {
            "rate": [0.001, 0.01, 0.1] * 4,
            "units": [16, 32] * 6,
            "kind": ["a", "b", "b"] * 4,
            "accuracy": [*np.linspace(0.1, 0.9, 11), None],
        }
    )
    every = ["rate", "units", "kind"]
    yield "by parameter", lambda: plots.metric_by_parameter(table, "accuracy", every)
    yield "by one", lambda: plots.metric_by_parameter(table, "accuracy", ["kind"], title="T")
    yield "pairs of values", lambda: plots.metric_heat_map(table, "accuracy", "rate", "kind")
    yield "parallel", lambda: plots.parallel_coordinates(table, "accuracy", every)
    runs = {name: [pd.DataFrame({"loss": [2.0, 1.0]})] * 2 for name in "abc"}
    yield "overlaid", lambda: plots.overlaid_curves(runs, "loss")


def test_pictures_of_sweeps_refuse_what_is_not_there():
    table = pd.DataFrame({"rate": [1.0], "accuracy": [None]})
    with pytest.raises(CourseError, match="no column 'rte'"):
        plots.metric_by_parameter(table, "accuracy", ["rte"])
    with pytest.raises(CourseError, match="No run of the table has a value"):
        plots.parallel_coordinates(table, "accuracy", ["rate"])
    with pytest.raises(CourseError, match="None of the 1 settings"):
        plots.overlaid_curves({"a": [pd.DataFrame({"loss": [1.0]})]}, "accuracy")


def of_photos():
    photos = {f"photo_{n}.jpg": image for n, image in enumerate(colour().x_train[:4])}
    table = pd.DataFrame(
        {
            "file": np.repeat(list(photos), 2),
            "rank": [1, 2] * 4,
            "label": ["cat", "dog", "a_very_long_name_of_a_class_that_is_cut_somewhere", "x"] * 2,
            "probability": [0.7, 0.2, 0.5, 0.4] * 2,
        }
    )
    ramp = np.linspace(-1, 1, 49).reshape(7, 7)
    yield (
        "predictions",
        lambda: plots.photo_predictions(
            photos, table, truth={"photo_0.jpg": ("cat", "tabby")}, title="Said"
        ),
    )
    yield "one prediction", lambda: plots.photo_predictions(dict([*photos.items()][:1]), table)
    yield "heat maps", lambda: plots.heat_maps(photos["photo_0.jpg"], {"Grad-CAM": ramp})
    maps = {"block 1": np.random.default_rng(0).random((8, 8, 3)), "block 2": ramp[..., None]}
    yield "feature maps", lambda: plots.feature_map_grid(maps, title="Maps")


CASES = dict(figures())
PHOTOS = {"colour mean_images", "predictions", "one prediction", "heat maps"}


def test_photo_figures_say_what_they_show():
    said = CASES["predictions"]().alt
    assert "4 photos with their classes: cat (70%)" in said
    assert "1 of 1 first guesses are right" in said
    assert "Grad-CAM: highest at bottom right" in CASES["heat maps"]().alt
    assert "block 1 8×8×3, block 2 7×7×1" in CASES["feature maps"]().alt


@pytest.mark.parametrize("name", CASES)
def test_figure(name):
    before = dict(mpl.rcParams)
    figure = CASES[name]()
    data, metadata = figure._repr_mimebundle_()
    assert dict(mpl.rcParams) == before
    assert len(figure.alt) > 10
    (kind,) = set(data) - {"text/plain"}
    assert kind == ("image/jpeg" if name in PHOTOS else "image/png")
    assert data["text/plain"] == metadata[kind]["alt"] == figure.alt
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data[kind]))).convert("L"))
    assert picture.std() > 5  # something is drawn
    assert len(data[kind]) < 120_000


def test_the_palette_of_the_picture_keeps_every_class_colour():
    y = np.arange(2000) % 10
    points = np.random.default_rng(0).normal(size=(2000, 2))
    figure = plots.embedding(points, y, [str(number) for number in range(10)])
    data, _ = figure._repr_mimebundle_()
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(data["image/png"]))).convert("RGB"))
    pixels = np.unique(picture.reshape(-1, 3), axis=0).astype(int)
    for collection in figure.axes[0].collections[-10:]:
        wanted = collection.get_facecolors()[0, :3] * 255
        assert np.abs(pixels - wanted).max(axis=1).min() < 12


def test_axes_are_labelled():
    unlabelled = []
    for name in ("embedding", "by one", "pairs of values", "overlaid"):
        axes = CASES[name]().axes[0]
        if not axes.get_xlabel() or not axes.get_ylabel():
            unlabelled.append(name)
    assert unlabelled == []


def test_alt_text_tells_what_is_in_the_data():
    frame = pd.DataFrame({"a": [1, 2, 3], "b": [3, 2, 0.5], "c": [1, 0, 1]})
    assert "Strongest: a with b, -0.99." in plots.correlation_heatmap(frame).alt


def test_pair_plot_gives_each_class_the_colour_of_its_legend():
    iris = load_dataset("iris")
    twelve = iris.replace(y_train=np.arange(120) % 12, class_names=tuple("abcdefghijkl"))
    figure = plots.pair_plot(twelve, [0, 1])
    legend = [mpl.colors.to_hex(line.get_color()) for line in figure.legends[0].get_lines()]
    points = figure.axes[1].collections[0].get_facecolors()[:12]
    assert [mpl.colors.to_hex(point) for point in points] == legend


def test_nothing_to_draw():
    with pytest.raises(DatasetError, match="at least one"):
        plots.image_grid(np.zeros((0, 4, 4)))
    with pytest.raises(DatasetError, match="two numeric columns"):
        plots.correlation_heatmap(pd.DataFrame({"a": [1, 2], "b": [3, 3]}))


def test_wrong_kind_of_data():
    iris, digits = load_dataset("iris"), load_dataset("digits")
    for draw in (plots.class_examples,):
        with pytest.raises(DatasetError, match="iris holds table; this figure expects images"):
            draw(iris)
    for draw in (plots.pair_plot,):
        with pytest.raises(DatasetError, match="digits holds images"):
            draw(digits)


def test_figure_is_shown_once_in_a_notebook():
    from IPython.core.interactiveshell import InteractiveShell

    formatter = InteractiveShell.instance().display_formatter
    data, metadata = formatter.format(CASES["embedding"]())
    assert set(data) == {"image/png", "text/plain"}
    assert "in the plane" in metadata["image/png"]["alt"]
