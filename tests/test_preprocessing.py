"""Preprocessing computes what its names say, and learns from the training set alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers import preprocessing as prep
from helpers.datasets import Dataset, DatasetError, load_dataset
from helpers.datasets.sampling import holdout, stratified_sample


@pytest.fixture
def iris():
    return load_dataset("iris")


@pytest.fixture
def digits():
    return load_dataset("digits")


def colour(n=50, seed=0):
    rng = np.random.default_rng(seed)
    x = (rng.random((n, 6, 5, 3)) * [50, 100, 250]).astype(np.uint8)
    return Dataset("c", x, np.arange(n) % 2, x[:10], np.arange(10) % 2, ("a", "b"), "test")


def test_scale_bytes(digits):
    scaled = prep.scale(digits)
    assert scaled.x_train.dtype == np.float32
    np.testing.assert_allclose(scaled.x_train, digits.x_train / 255, rtol=1e-6)


def test_scale_table_by_its_training_set(iris):
    scaled = prep.scale(iris)
    np.testing.assert_allclose(scaled.x_train.min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(scaled.x_train.max(axis=0), 1, atol=1e-6)
    low, high = iris.x_train.min(axis=0), iris.x_train.max(axis=0)
    np.testing.assert_allclose(scaled.x_test, (iris.x_test - low) / (high - low), rtol=1e-5)


def test_standardize_table(iris):
    standard = prep.standardize(iris)
    mean, std = iris.x_train.mean(axis=0), iris.x_train.std(axis=0)
    np.testing.assert_allclose(standard.x_test, (iris.x_test - mean) / std, rtol=1e-4, atol=1e-5)


def test_standardize_colour_images_by_channel():
    standard = prep.standardize(colour())
    np.testing.assert_allclose(standard.x_train.mean(axis=(0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(standard.x_train.std(axis=(0, 1, 2)), 1, atol=1e-5)


def test_standardize_channels_that_come_first():
    data = colour().convert(lambda x: np.moveaxis(x, -1, 1))
    standard = prep.standardize(data)
    np.testing.assert_allclose(
        standard.x_train, np.moveaxis(prep.standardize(colour()).x_train, -1, 1), atol=1e-5
    )


def test_standardize_sensors_each_at_all_steps():
    rng = np.random.default_rng(0)
    x = (rng.random((40, 50, 3)) + np.arange(50)[:, None]) * [1, 100, 1e4]
    data = Dataset("s", x, np.arange(40) % 2, x[:9], np.arange(9) % 2, ("a", "b"), "test")
    assert data.kind == "sequences"
    expected = (x - x.mean(axis=(0, 1))) / x.std(axis=(0, 1))
    np.testing.assert_allclose(prep.standardize(data).x_train, expected, atol=1e-4)


def test_standardize_keeps_the_contrast_between_pixels(digits):
    standard = prep.standardize(digits)
    expected = (digits.x_train - digits.x_train.mean()) / digits.x_train.std()
    np.testing.assert_allclose(standard.x_train, expected, atol=1e-4)


def test_constant_channels_stay_finite():
    data = colour()
    data.x_train[..., 2] = 7
    assert np.isfinite(prep.standardize(data).x_train).all()


def test_float_images_share_one_scale(digits):
    floats = digits.replace(
        x_train=digits.x_train / 255 * 4 - 1, x_test=digits.x_test / 255 * 4 - 1
    )
    np.testing.assert_allclose(prep.scale(floats).x_test, digits.x_test / 255, atol=1e-6)


def test_texts_cannot_be_scaled():
    texts = np.array(["a", "b"], object)
    data = Dataset("t", texts, np.arange(2), texts, np.arange(2), ("a", "b"), "test")
    with pytest.raises(DatasetError, match="t holds texts"):
        prep.scale(data)


def test_large_offsets_cost_no_precision_where_a_set_is_read_in_blocks(monkeypatch):
    monkeypatch.setattr(prep, "BLOCK", 1000)
    x = np.random.default_rng(0).random((300, 4)) + 1_000_000
    data = load_dataset("iris").replace(x_train=x, x_test=x[:9])
    expected = (x - x.mean(axis=0)) / x.std(axis=0)
    np.testing.assert_allclose(prep.standardize(data).x_train, expected, atol=1e-5)


labels = st.lists(st.integers(0, 4), min_size=12, max_size=200).map(np.array)


@given(labels, st.floats(0.05, 0.9), st.integers(0, 10))
def test_stratified_sample(y, fraction, seed):
    classes, sizes = np.unique(y, return_counts=True)
    n = max(len(classes), round(fraction * len(y)))
    chosen = stratified_sample(y, n, seed)
    assert len(chosen) == len(set(chosen)) == n
    np.testing.assert_array_equal(chosen, stratified_sample(y, n, seed))
    counts = np.array([(y[chosen] == k).sum() for k in classes])
    assert counts.min() >= 1
    # Within one of the exact share, but for classes that are too small to have it.
    exact = sizes * n / len(y)
    free = (exact >= 1) & (exact <= sizes - 1)
    if free.all():
        assert np.abs(counts - exact).max() <= 1


@given(labels, st.floats(0.05, 0.9), st.integers(0, 10))
def test_holdout(y, fraction, seed):
    if np.unique(y, return_counts=True)[1].min() < 2:
        with pytest.raises(DatasetError, match="has 1 sample"):
            holdout(y, fraction, seed)
        return
    kept, held_out = holdout(y, fraction, seed)
    assert sorted([*kept, *held_out]) == list(range(len(y)))
    assert set(y[kept]) == set(y[held_out]) == set(y)


@pytest.mark.parametrize("fraction", [0, 1, -0.5, 1.5])
def test_impossible_fractions(fraction):
    with pytest.raises(DatasetError, match="0 < fraction < 1"):
        holdout(np.arange(10) % 2, fraction)


def test_subset(digits):
    part = digits.subset(100, seed=3)
    assert (len(part.x_train), len(part.x_test)) == (100, 25)
    assert digits.subset(None) is digits
    assert digits.subset(10_000) is digits
    with pytest.raises(DatasetError, match="10 classes"):
        digits.subset(5)


def test_augmentation_has_the_classic_parameters():
    layers = {type(layer).__name__: layer.get_config() for layer in prep.augmentation().layers}
    assert layers["RandomFlip"]["mode"] == "horizontal"
    assert layers["RandomRotation"]["factor"] == pytest.approx((-20 / 360, 20 / 360))
    assert layers["RandomTranslation"]["height_factor"] == 0.2
    assert layers["RandomTranslation"]["width_factor"] == 0.2
    assert layers["RandomShear"]["x_factor"] == (-0.2, 0.2)
    assert layers["RandomZoom"]["height_factor"] == 0.2
    borders = {config.get("fill_mode") for name, config in layers.items() if name != "RandomFlip"}
    assert borders == {"nearest"}
    names = {type(layer).__name__ for layer in prep.augmentation(horizontal_flip=False).layers}
    assert "RandomFlip" not in names


def test_augmentation_works_in_training_only(digits):
    images = prep.scale(digits).x_train[:6, ..., None]
    first, again = prep.augmentation(seed=1), prep.augmentation(seed=1)
    np.testing.assert_array_equal(first(images, training=False), images)
    changed = np.asarray(first(images, training=True))
    assert not np.allclose(changed, images)
    assert changed.shape == images.shape
    np.testing.assert_array_equal(changed, again(images, training=True))


def test_scale_of_numbers_over_a_type_s_whole_range():
    """The spread of int16 does not fit into int16."""
    x = np.array([-32768, 0, 32767], np.int16).reshape(3, 1, 1).repeat(4, 1).repeat(4, 2)
    data = load_dataset("digits").replace(
        x_train=x, x_test=x, y_train=np.arange(3), y_test=np.arange(3)
    )
    scaled = prep.scale(data).x_train[:, 0, 0]
    np.testing.assert_allclose(scaled, [0, 32768 / 65535, 1], rtol=1e-6)


def test_sequences_are_no_images():
    steps = load_dataset("digits").replace(feature_names=tuple("abcdefgh"))  # a name each column
    assert steps.kind == "sequences"
    assert load_dataset("digits").kind == "images"
    assert load_dataset("iris").kind == "table"


def test_the_validation_part_is_converted_like_the_others():
    data = load_dataset("digits")
    with_val = data.replace(x_val=data.x_test, y_val=data.y_test)
    found = prep.scale(with_val)
    np.testing.assert_array_equal(found.x_val, found.x_test)
    assert found.x_val.dtype == np.float32
