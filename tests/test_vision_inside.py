"""Maps point at what matters, features are computed once, a head learns and the base stays."""

import keras
import numpy as np
import pytest
from PIL import Image
from stand_in import write_weights

from helpers import vision
from helpers.datasets import Dataset, DatasetError
from helpers.errors import CourseError
from helpers.evaluation import evaluate, predict
from helpers.files import ROOT
from helpers.training import plan, train
from helpers.vision import Classifier, load_classifier, photo_classes, samples
from helpers.vision.classifier import class_index

SIZE = (64, 64)


@pytest.fixture(scope="module")
def red_or_blue():
    """Return a classifier that knows: class 0 is red, class 1 is blue. Its weights are by hand."""
    inputs = keras.Input((*SIZE, 3))
    fine = keras.layers.Conv2D(2, 3, padding="same", activation="relu", name="colours")(inputs)
    pooled = keras.layers.MaxPooling2D(4)(fine)
    coarse = keras.layers.Conv2D(2, 1, activation="relu", name="places")(pooled)
    flat = keras.layers.GlobalAveragePooling2D()(coarse)
    model = keras.Model(inputs, keras.layers.Dense(2, name="last")(flat), name="red_or_blue")
    kernel = np.zeros((3, 3, 3, 2), np.float32)
    kernel[1, 1] = [[1, -1], [-1, -1], [-1, 1]]
    one = np.eye(2, dtype=np.float32)
    model.get_layer("colours").set_weights([kernel, np.full(2, -1, np.float32)])
    model.get_layer("places").set_weights([one[None, None], np.zeros(2, np.float32)])
    model.get_layer("last").set_weights([20 * one, np.zeros(2, np.float32)])
    return Classifier("MobileNet", model, "by hand", plan(model, xla="none"))


@pytest.fixture
def photo():
    """Return grey with red at the top right and blue at the bottom left."""
    pixels = np.full((*SIZE, 3), 128, np.uint8)
    pixels[4:20, 44:60] = (255, 0, 0)
    pixels[44:60, 4:20] = (0, 0, 255)
    return pixels


def peak(heat: np.ndarray) -> tuple[float, float]:
    row, column = np.unravel_index(heat.argmax(), heat.shape)
    return row / len(heat), column / len(heat[0])


@pytest.mark.parametrize(("label", "top"), [("class 0", True), ("class 1", False)])
def test_maps_point_at_the_class(red_or_blue, photo, label, top):
    said, cam = vision.grad_cam(red_or_blue, photo, label)
    assert said == label
    assert cam.shape == (16, 16)
    assert cam.min() == 0
    assert cam.max() == pytest.approx(1)
    _, loss = vision.occlusion_map(red_or_blue, photo, label, patch=16, stride=8, progress=False)
    assert loss.shape == (64, 64)
    assert loss.max() > 0.1
    for heat in (cam, loss):
        row, column = peak(heat)
        assert (row < 0.5, column > 0.5) == (top, top)


def test_maps_take_the_most_probable_class(red_or_blue, photo):
    photo[44:60, 4:20] = 128
    assert vision.grad_cam(red_or_blue, photo)[0] == "class 0"
    assert vision.occlusion_map(red_or_blue, photo, patch=32, progress=False)[0] == "class 0"


def test_unknown_classes_and_patches_are_refused(red_or_blue, photo):
    with pytest.raises(CourseError, match=r"There is no class 'class 7'.*Did you mean"):
        vision.grad_cam(red_or_blue, photo, "class 7")
    for patch, stride in ((65, 8), (0, 8), (8, 0), (8, 9)):
        with pytest.raises(CourseError, match="expected a patch of 1 to 64"):
            vision.occlusion_map(red_or_blue, photo, patch=patch, stride=stride)


def test_feature_maps_are_the_blocks(red_or_blue, photo):
    maps = vision.feature_maps(red_or_blue, photo)
    assert {name: values.shape for name, values in maps.items()} == {
        "block 1": (64, 64, 2),
        "block 2": (16, 16, 2),
    }
    assert maps["block 1"][10, 50, 0] == pytest.approx(2)  # 1 · red − blue − green − 1
    assert maps["block 1"][30, 30].max() == 0


@pytest.mark.parametrize("architecture", ["MobileNet", "EfficientNetB0", "ResNet50", "DenseNet121"])
def test_blocks_halve(architecture):
    model = getattr(keras.applications, architecture)(weights=None)
    sizes = [layer.output.shape[1] for layer in vision.block_layers(model).values()]
    assert sizes == [112, 56, 28, 14, 7]


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    model = keras.applications.MobileNet(weights=None, alpha=0.25)
    path = write_weights(tmp_path_factory.mktemp("weights") / "mobilenet.h5", model)
    return load_classifier("MobileNet", path, alpha=0.25)


def two_classes(size, n=12, seed=0) -> Dataset:
    """Make bright and dark photos."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.integers(0, 90, (n, *size, 3)) + 160 * y[:, None, None, None]
    x = x.astype(np.uint8)
    return Dataset("light", x, y, x[::-1].copy(), y[::-1].copy(), ("dark", "bright"), "made")


def test_features_are_computed_once_for_a_content(network, monkeypatch, tmp_path):
    data = two_classes(network.image_size)
    first = vision.extract_features(network, data, progress=False)
    assert first.x_train.shape == (12, 256)
    assert first.x_train.dtype == np.float32
    assert np.array_equal(first.y_train, data.y_train)
    assert len(list((tmp_path / "cache" / "features").glob("*.npy"))) == 2

    def refuse(*_, **__):
        raise AssertionError("computed again")

    monkeypatch.setattr(Classifier, "features", refuse)
    second = vision.extract_features(network, data, progress=False)
    assert np.array_equal(first.x_train, second.x_train)
    other = data.replace(x_train=255 - data.x_train)
    with pytest.raises(AssertionError, match="computed again"):
        vision.extract_features(network, other, progress=False)
    # The same photos, but another network of the same shape.
    stranger = load_classifier("MobileNet", None, alpha=0.25)
    with pytest.raises(AssertionError, match="computed again"):
        vision.extract_features(stranger, data, progress=False)


@pytest.mark.parametrize("damage", [b"", b"no numbers", None])
def test_damaged_features_are_computed_again(network, tmp_path, damage):
    data = two_classes(network.image_size)
    first = vision.extract_features(network, data, progress=False)
    for path in (tmp_path / "cache" / "features").glob("*.npy"):
        path.write_bytes(path.read_bytes()[:-5] if damage is None else damage)
    again = vision.extract_features(network, data, progress=False)
    assert np.array_equal(first.x_train, again.x_train)
    assert np.array_equal(first.x_test, again.x_test)


def test_features_that_cannot_be_kept_are_given(network, tmp_path):
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "features").write_text("in the way")
    with pytest.warns(UserWarning, match="Features are not kept"):
        found = vision.extract_features(network, two_classes(network.image_size), progress=False)
    assert found.x_train.shape == (12, 256)


def test_photos_of_another_size_are_refused(network):
    with pytest.raises(CourseError, match=r"\(64, 64, 3\); expected bytes of \(224, 224, 3\)"):
        vision.extract_features(network, two_classes((64, 64)))


def patches(n=16, seed=0) -> Dataset:
    """Make photos of grey with a patch of red or of blue anywhere."""
    rng = np.random.default_rng(seed)
    x, y = np.full((n, *SIZE, 3), 128, np.uint8), np.arange(n) % 2
    for image, colour in zip(x, y, strict=True):
        row, column = rng.integers(0, 48, 2)
        image[row : row + 16, column : column + 16] = (0, 0, 255) if colour else (255, 0, 0)
    return Dataset("patches", x, y, x[::-1].copy(), y[::-1].copy(), ("red", "blue"), "made")


def test_a_head_is_trained_then_the_top_block(red_or_blue):
    data = patches()
    features = vision.extract_features(red_or_blue, data, progress=False)
    keras.utils.set_random_seed(0)
    head = keras.Sequential(
        [keras.Input(features.input_shape), keras.layers.Dense(2, activation="softmax")]
    )
    quiet = {"batch_size": 4, "validation_split": 0, "progress": False}
    train(head, features, epochs=20, learning_rate=0.5, **quiet)
    assert evaluate(head, features).accuracy == 1

    tuned = vision.with_head(red_or_blue, head)
    # Before it learns, it says what head and features say.
    expected = predict(head, features.x_test)
    assert np.allclose(predict(tuned, data.x_test.astype("float32")), expected, atol=1e-3)
    given = [*red_or_blue.model.get_weights(), *head.get_weights()]
    result = train(tuned, data, epochs=2, learning_rate=1e-3, **quiet)
    assert np.isfinite(result.history["loss"]).all()
    base = tuned.get_layer("base")
    for name, moves in (("colours", False), ("places", True)):
        own = red_or_blue.model.get_layer(name).get_weights()
        pairs = zip(own, base.get_layer(name).get_weights(), strict=True)
        assert any(not np.array_equal(a, b) for a, b in pairs) == moves, name
    assert evaluate(tuned, data).accuracy == 1
    left = [*red_or_blue.model.get_weights(), *head.get_weights()]
    assert all(np.array_equal(a, b) for a, b in zip(given, left, strict=True))


def test_only_the_top_block_may_move(network):
    head = keras.Sequential([keras.Input((256,)), keras.layers.Dense(2)])
    base = vision.with_head(network, head).get_layer("base")
    moving = {layer.name for layer in base.layers if layer.trainable_weights}
    assert moving == {"conv_dw_12", "conv_pw_12", "conv_dw_13", "conv_pw_13"}
    assert all(layer.trainable for layer in network.model.layers)


def test_a_head_of_another_size_is_refused(network):
    head = keras.Sequential([keras.Input((100,)), keras.layers.Dense(2)])
    with pytest.raises(CourseError, match=r"The head takes \(100,\); expected \(256,\)"):
        vision.with_head(network, head)


def save_photos(folder, count=4, size=(90, 120)):
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for number in range(count):
        image = np.full((*size, 3), 25 * number, np.uint8)
        image += rng.integers(0, 30, image.shape, np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    return folder


def test_folders_are_classes(tmp_path):
    for name in ("cat", "dog"):
        save_photos(tmp_path / "own" / name)
    (tmp_path / "own" / "cat" / "broken.png").write_bytes(b"no photo")
    with pytest.warns(UserWarning, match=r"broken\.png"):
        data = photo_classes(tmp_path / "own", SIZE)
    assert data.class_names == ("cat", "dog")
    assert len(data.y_train) + len(data.y_test) == 8
    assert set(data.y_train) == set(data.y_test) == {0, 1}
    assert data.x_train.shape[1:] == (*SIZE, 3)


def test_pieces_of_photos_share_no_pixel(tmp_path):
    """Two halves of a photo have two colours, so that a piece tells where it comes from."""
    halves = np.zeros((2, 200, 240, 3), np.uint8)
    for number, photo in enumerate(halves):
        photo[:, :120, number], photo[:, 120:, 2] = 100, 100
        Image.fromarray(photo).save(tmp_path / f"{'ab'[number]}.png")
    data = photo_classes([tmp_path / "a.png", tmp_path / "b.png"], (28, 28), seed=3)
    assert data.class_names == ("a", "b")
    assert np.bincount(data.y_train).tolist() == [8, 8]
    assert np.bincount(data.y_test).tolist() == [34, 34]
    assert not data.x_train[..., 2].any()
    assert not data.x_test[..., :2].any()
    for own, y in zip(data.x_train, data.y_train, strict=True):
        assert own[..., y].min() >= 49  # at half the brightness or more
    other = photo_classes([tmp_path / "a.png", tmp_path / "b.png"], (28, 28), seed=4)
    assert not np.array_equal(data.x_train, other.x_train)


def test_photos_that_make_no_classes_are_refused(tmp_path):
    folder = save_photos(tmp_path, 1)
    with pytest.raises(DatasetError, match="There is one photo; expected at least two"):
        photo_classes(folder, SIZE)


def test_labels_of_photos_are_found(tmp_path):
    folder = save_photos(tmp_path / "photos", 2)
    assert vision.photo_labels(folder) == {}
    (folder / "labels.csv").write_text("file,label\n0.png,cat\n")
    assert vision.photo_labels(folder) == {"0.png": ("cat",)}
    (folder / "labels.csv").write_text("file,name\n0.png,x\n")
    with pytest.raises(DatasetError, match="there is no column 'label'"):
        vision.photo_labels(folder)


def test_sample_photos_are_installed_and_labelled(monkeypatch):
    """Each has labels of ImageNet, and a row in data/README.md."""
    found = vision.sample_photos()
    labels = vision.photo_labels(found)
    known = {label for _, label in class_index()}
    table = (ROOT / "data" / "README.md").read_text(encoding="utf-8")
    assert len(found) == len(labels) == 9
    for path in found:
        assert set(labels[path.name]) <= known
        assert f"`{path.name}`" in table
    for path in vision.sample_materials():
        assert path.is_file()
        assert f"`{path.name}`" in table
    monkeypatch.setattr(samples, "FOLDERS", ())
    with pytest.raises(CourseError, match=r"astronaut\.png is missing, which comes with"):
        vision.sample_photos()
