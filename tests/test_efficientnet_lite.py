"""EfficientNet-Lite0 is trained in every clone, and computes what its published table says."""

import importlib.resources

import numpy as np
import pytest
from conftest import needs

from helpers.errors import WeightsError
from helpers.models import build_mlp
from helpers.vision import (
    block_layers,
    efficientnet_lite,
    grad_cam,
    load_classifier,
    occlusion_map,
    photo_labels,
    sample_photos,
    with_head,
)
from helpers.vision.efficientnet_lite import read_state_dict
from helpers.vision.networks import copy_in_precision

# By layer: kernel, stride, and whether what came in is added (Tan and Le, 2019, table 1).
STAGES = ((3, 1, 1), (3, 2, 2), (5, 2, 2), (3, 2, 3), (5, 1, 3), (5, 2, 4), (3, 1, 1))


@pytest.fixture(scope="module")
def network():
    return load_classifier("EfficientNetLite0", precision="float32")


@pytest.fixture(scope="module")
def pictures(network):
    """Return the photos that are installed, by file name, in the network's size."""
    return network.load_photos(sample_photos())


@pytest.fixture(scope="module")
def state():
    package = importlib.resources.files(efficientnet_lite.PACKAGE)
    with importlib.resources.as_file(package / efficientnet_lite.FILE) as path:
        return read_state_dict(path)


def convolve(x, kernel, stride=1):
    """Convolve (n, h, w, c) with PyTorch's (out, in, h, w), or each channel by itself (in = 1)."""
    size, depthwise = kernel.shape[2], kernel.shape[1] == 1
    out = [-(-n // stride) for n in x.shape[1:3]]
    missing = [max((o - 1) * stride + size - n, 0) for o, n in zip(out, x.shape[1:3], strict=True)]
    edges = [(m // 2, m - m // 2) for m in missing]
    padded = np.pad(x, ((0, 0), *edges, (0, 0)))
    total = 0
    for i in range(size):
        for j in range(size):
            part = padded[:, i : i + out[0] * stride : stride, j : j + out[1] * stride : stride]
            part = part[:, : out[0], : out[1]]
            weights = kernel[:, :, i, j]
            total = total + (part * weights[:, 0] if depthwise else part @ weights.T)
    return total


def forward(images, state):
    """Compute the logits in NumPy, from the arrays as PyTorch names them."""

    def normalized(x, name, active=True):
        mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
        x = (x - mean) / np.sqrt(variance + 1e-3) * state[f"{name}.weight"] + state[f"{name}.bias"]
        return np.clip(x, 0, 6) if active else x

    x = (images.astype(np.float32) - 127) / 128
    x = normalized(convolve(x, state["_conv_stem.weight"], 2), "_bn0")
    number = 0
    for kernel, stride, repetitions in STAGES:
        for repetition in range(repetitions):
            name, before = f"_blocks.{number}", x
            if number:
                x = normalized(convolve(x, state[f"{name}._expand_conv.weight"]), f"{name}._bn0")
            depthwise = state[f"{name}._depthwise_conv.weight"]
            assert depthwise.shape[2:] == (kernel, kernel)
            x = convolve(x, depthwise, 1 if repetition else stride)
            x = normalized(x, f"{name}._bn1")
            x = convolve(x, state[f"{name}._project_conv.weight"])
            x = normalized(x, f"{name}._bn2", active=False)
            x = x + before if repetition else x
            number += 1
    x = normalized(convolve(x, state["_conv_head.weight"]), "_bn1")
    return x.mean(axis=(1, 2)) @ state["_fc.weight"].T + state["_fc.bias"]


def test_forward_pass_is_the_published_one(network, state, pictures):
    images = np.stack([pictures[name] for name in ("china.jpg", "coffee.png")])
    found = network.model(network.preprocess(images), training=False).numpy()
    expected = forward(images, state)
    assert np.abs(found - expected).max() < 1e-3 * np.abs(expected).max()


def test_all_of_the_file_is_used(network, state):
    counted = [a for name, a in state.items() if not name.endswith("num_batches_tracked")]
    assert len(counted) == len(network.model.weights) == 247
    assert network.model.count_params() == sum(a.size for a in counted) == 4_694_024
    assert network.weights
    assert "trained (imagenet)" in repr(network)


def test_it_knows_the_photos_that_are_installed(network):
    """Five of nine; not the blurred clock, the silhouette of a horse, and the portraits."""
    photos = sample_photos()
    table, truth = network.predict(photos, top=1, progress=False), photo_labels(photos)
    right = {row.file for row in table.itertuples() if row.label in truth[row.file]}
    assert right == {"chelsea.png", "china.jpg", "coffee.png", "flower.jpg", "rocket.jpg"}
    assert dict(zip(table["file"], table["label"], strict=True))["coffee.png"] == "espresso"


def test_it_is_a_citizen(network, pictures):
    image = pictures["flower.jpg"]
    shapes = [layer.output.shape[1] for layer in block_layers(network.model).values()]
    assert shapes == [112, 56, 28, 14, 7]
    label, heat = grad_cam(network, image)
    assert (label, heat.shape) == ("daisy", (7, 7))
    assert heat[2:5, 2:5].mean() > 2 * heat.mean()  # the flower is in the middle
    assert occlusion_map(network, image, patch=96, stride=88)[0] == "daisy"
    features = network.features(image[None], progress=False)
    assert features.shape == (1, 1280)
    tuned = with_head(network, build_mlp((1280,), 2, hidden=()))
    assert tuned.output_shape == (None, 2)


@needs("mixed_bfloat16")
def test_half_precision_is_close(network, pictures):
    half = copy_in_precision(network.model, "mixed_bfloat16")
    ready = network.preprocess(pictures["flower.jpg"][None])
    exact, rounded = (np.asarray(m(ready, training=False))[0] for m in (network.model, half))
    assert exact.argmax() == rounded.argmax()
    assert np.abs(rounded - exact).mean() < 0.1 * exact.std()


def test_random_weights_and_those_of_a_file(network, tmp_path):
    assert not load_classifier("EfficientNetLite0", None).weights
    network.model.save_weights(tmp_path / "own.weights.h5")
    own = load_classifier("EfficientNetLite0", tmp_path / "own.weights.h5")
    assert own.weights == "own.weights.h5"
    first, second = (c.model.get_weights()[0] for c in (network, own))
    assert np.array_equal(first, second)


def test_a_damaged_package_is_told(tmp_path, monkeypatch):
    def broken(path):
        content = path.read_bytes()
        copy = tmp_path / path.name
        copy.write_bytes(content[: len(content) // 2])
        return read_state_dict(copy)

    monkeypatch.setattr(efficientnet_lite, "read_state_dict", broken)
    with pytest.raises(WeightsError, match=r"57934424\.pth is damaged: its SHA-256"):
        load_classifier("EfficientNetLite0")
