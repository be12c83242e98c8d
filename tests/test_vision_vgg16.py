"""VGG16 is the published network: its weights, its layers, its numbers, in either precision."""

import h5py
import keras
import numpy as np
import pytest
from conftest import needs
from stand_in import write_weights

from helpers.vision import WeightsUnavailable, block_layers, load_classifier
from helpers.vision import weights as weight_files
from helpers.vision.networks import copy_in_precision

FILE = "vgg16_weights_tf_dim_ordering_tf_kernels.h5"
BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


@pytest.fixture(scope="module")
def vgg16():
    keras.utils.set_random_seed(0)
    return load_classifier("VGG16", None, precision="float32")


@pytest.fixture(scope="module")
def images():
    """Return two photos with structure at every scale, as uint8."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (2, 7, 7, 3)).repeat(32, 1).repeat(32, 2)
    return ((coarse + rng.integers(0, 256, (2, 224, 224, 3))) // 2).astype(np.uint8)


def forward(images: np.ndarray, weights: list[np.ndarray]) -> np.ndarray:
    """Compute VGG16's logits in NumPy, from the paper (Simonyan and Zisserman, 2014)."""
    remaining = iter(weights)
    x = images[..., ::-1].astype(np.float32)
    x -= np.array([103.939, 116.779, 123.68], np.float32)
    for block in BLOCKS:
        for _ in block:
            kernel, bias = next(remaining), next(remaining)
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            height, width = x.shape[1:3]
            x = sum(
                padded[:, row : row + height, column : column + width] @ kernel[row, column]
                for row in range(3)
                for column in range(3)
            )
            x = np.maximum(x + bias, 0)
        n, height, width, channels = x.shape
        x = x.reshape(n, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4))
    x = x.reshape(len(x), -1)
    for last in (False, False, True):
        x = x @ next(remaining) + next(remaining)
        x = x if last else np.maximum(x, 0)
    return x


def test_number_of_weights(vgg16):
    assert vgg16.model.count_params() == 138_357_544
    assert "138,357,544 weights, photos of 224×224 pixels" in repr(vgg16)


def test_forward_pass_is_the_published_one(vgg16, images):
    images = images[:1]  # NumPy takes five seconds for each
    expected = forward(images, vgg16.model.get_weights())
    found = vgg16.model(vgg16.preprocess(images), training=False).numpy()
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()
    shifted = np.exp(expected - expected.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    assert np.allclose(vgg16.probabilities(images), probabilities, atol=1e-3)


@needs("mixed_bfloat16")
def test_half_precision_is_close(vgg16, images):
    half = copy_in_precision(vgg16.model, "mixed_bfloat16")
    assert half.get_layer("block1_conv1").kernel.dtype == "bfloat16"
    assert half.get_layer("predictions").kernel.dtype == "float32"
    assert vgg16.model.get_layer("block1_conv1").kernel.dtype == "float32"
    ready = vgg16.preprocess(images)
    exact, rounded = (np.asarray(model(ready, training=False)) for model in (vgg16.model, half))
    assert rounded.dtype == np.float32
    assert not np.array_equal(exact, rounded)
    assert np.abs(rounded - exact).mean() < 0.05 * exact.std()
    # Another first class only where the two best are as close as that: the weights are random.
    said = np.take_along_axis(exact, rounded.argmax(axis=1)[:, None], axis=1)[:, 0]
    assert (exact.max(axis=1) - said < 0.2 * exact.std()).all()


def test_blocks_are_those_of_the_paper(vgg16):
    shapes = [layer.output.shape[1:] for layer in block_layers(vgg16.model).values()]
    assert shapes == [(224 >> n, 224 >> n, block[-1]) for n, block in enumerate(BLOCKS)]
    assert vgg16.features(np.zeros((1, 224, 224, 3), np.uint8), progress=False).shape == (1, 4096)


@pytest.mark.faults  # half a gigabyte, four times
def test_a_file_as_published_is_read_and_verified(vgg16, tmp_path, monkeypatch):
    path = write_weights(tmp_path / "vgg16.h5", vgg16.model)
    assert path.stat().st_size == pytest.approx(553_467_096, rel=1e-3)
    with h5py.File(path) as file:
        stored = file["block5_conv3"]["block5_conv3_W_1:0"][...]
    own = load_classifier("VGG16", path)
    assert own.weights == "vgg16.h5"
    assert own.model.count_params() == 138_357_544
    assert np.array_equal(own.model.get_layer("block5_conv3").kernel, stored)
    del own

    # Under the name of the published one it is refused: its content is another.
    (tmp_path / "models").mkdir()
    path = path.rename(tmp_path / "models" / FILE)
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    with pytest.raises(WeightsUnavailable) as caught:
        load_classifier("VGG16")
    assert f"$COURSE_DATA/models/{FILE} is damaged" in caught.value.__notes__[0]
    # Its digest apart, it takes the way of the published one, and of a download.
    checked = []
    monkeypatch.setattr(weight_files, "check_digest", lambda path, *rest: checked.append(rest))
    found = load_classifier("VGG16")
    assert found.weights == "imagenet"
    assert checked == [("md5:64373286793e3c8b2b4e3219cbf3544b", FILE)]
    assert np.array_equal(found.model.get_layer("block5_conv3").kernel, stored)
