"""Statistics agree with NumPy's, groups are found where they are, nothing is copied whole."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from helpers import statistics as stats
from helpers.datasets import DatasetError, load_dataset


@pytest.fixture(scope="module")
def digits():
    return load_dataset("digits")


@pytest.fixture(scope="module")
def iris():
    return load_dataset("iris")


@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 30), st.integers(1, 30))))
def test_describe_bytes(x):
    found = stats.describe(x)
    assert found["count"] == x.size
    assert found["mean"] == pytest.approx(x.mean())
    assert found["std"] == pytest.approx(x.std(), abs=1e-9)
    assert (found["min"], found["max"]) == (x.min(), x.max())
    expected = np.quantile(x.astype(float), [0.25, 0.5, 0.75])
    assert [found["25%"], found["50%"], found["75%"]] == pytest.approx(expected)


@given(
    hnp.arrays(
        np.float64, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=st.floats(-1e6, 1e6)
    )
)
def test_describe_floats(x):
    found = stats.describe(x)
    assert found["mean"] == pytest.approx(x.mean(), rel=1e-9, abs=1e-6)
    assert found["std"] == pytest.approx(x.std(), rel=1e-6, abs=1e-3)
    assert found["50%"] == pytest.approx(np.median(x))


def test_statistics_never_copy_the_set():
    x = np.random.default_rng(0).integers(0, 256, (20_000, 28, 28)).astype(np.uint8)
    y = np.arange(len(x)) % 10
    data = load_dataset("digits").replace(x_train=x, y_train=y)
    tracemalloc.start()
    for function in (stats.describe, stats.find_duplicates, stats.value_counts):
        function(x)
    stats.class_means(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    as_float64 = x.size * 8
    assert peak < as_float64 / 3


def test_describe_features(iris):
    table = stats.describe_features(iris)
    assert list(table.index) == list(iris.feature_names)
    np.testing.assert_allclose(table["mean"], iris.x_train.mean(axis=0))
    np.testing.assert_allclose(table["std"], iris.x_train.std(axis=0))
    with pytest.raises(DatasetError, match="expects a table"):
        stats.describe_features(load_dataset("digits"))


def test_class_counts(digits):
    counts = stats.class_counts(digits)
    assert counts["train"].sum() == len(digits.y_train)
    assert counts["share"].sum() == pytest.approx(1)
    assert counts.loc["7", "test"] == (digits.y_test == 7).sum()


def test_class_means(digits):
    means = stats.class_means(digits)
    np.testing.assert_allclose(means[3], digits.x_train[digits.y_train == 3].mean(axis=0))


def test_texts_are_refused_with_a_reason():
    texts = np.array(["a", "b"], object)
    with pytest.raises(DatasetError, match="texts have no numbers"):
        stats.describe(texts)


@pytest.mark.parametrize("text", [False, True])
def test_find_duplicates(text):
    x = (
        np.array(list("abcad"), object)
        if text
        else np.array([[1, 2], [3, 4], [5, 6], [1, 2], [0, 0]])
    )
    groups = stats.find_duplicates(x)
    assert [group.tolist() for group in groups] == [[0, 3]]


def test_find_near_duplicates(digits):
    x = digits.x_train[:200].copy()
    x[50] = x[10]
    x[60] = x[20]
    x[60, 0, 0] ^= 1
    pairs = stats.find_near_duplicates(x, 3)
    assert pairs.loc[0, ["first", "second"]].tolist() == [20, 60]
    assert pairs.loc[0, "distance"] == pytest.approx(1 / 8)
    assert not ((pairs["first"] == 10) & (pairs["second"] == 50)).any()


def test_near_duplicates_among_copies():
    a, b = np.zeros(4), np.full(4, 0.01)
    x = np.array([a, a, a, b, b, b, np.full(4, 50), np.full(4, 70.0)]) + 1e3
    pairs = stats.find_near_duplicates(x, 2)
    assert pairs.loc[0, ["first", "second"]].tolist() == [0, 3]
    assert pairs.loc[0, "distance"] == pytest.approx(0.01, rel=0.02)


def test_small_integers_do_not_overflow():
    x = np.array([[-100, 100], [120, -128]], np.int8)
    assert stats.describe(x)["50%"] == 0


def test_pca_of_large_offsets():
    x = np.random.default_rng(0).normal(size=(2000, 3)) * [1, 2, 3] + 1e6
    assert stats.pca(x, 3).explained == pytest.approx([9 / 14, 4 / 14, 1 / 14], abs=0.03)


def test_moments_of_large_samples_in_blocks():
    x = np.random.default_rng(0).integers(0, 256, (300, 200, 200, 3)).astype(np.uint8)
    tracemalloc.start()
    mean, _ = stats.moments(x)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < x.size * 8 / 2
    assert mean[7, 7, 1] == pytest.approx(x[:, 7, 7, 1].mean())


def test_find_outliers(digits):
    x = digits.x_train[:300].copy()
    x[123] = np.random.default_rng(0).integers(0, 256, (8, 8))
    found = stats.find_outliers(x, 5)
    assert found.loc[0, "index"] == 123
    assert found["factor"].is_monotonic_decreasing


def blobs(n=300):
    rng = np.random.default_rng(0)
    y = np.arange(n) % 3
    return np.array([[0, 0], [10, 0], [0, 10]])[y] + rng.normal(0, 0.5, (n, 2)), y


def test_every_method_finds_clear_groups():
    x, y = blobs()
    scores = stats.compare_clusterings(x, y, 3)
    assert list(scores.index) == ["k-means", "hierarchical", "density"]
    assert (scores["clusters"] == 3).all()
    assert scores["adjusted_rand"].min() > 0.9
    assert scores["silhouette"].min() > 0.8


def test_noise_has_no_score_of_chance():
    x = np.random.default_rng(1).random((300, 2))
    scores = stats.compare_clusterings(x, np.arange(300) % 3, 3)
    assert scores["adjusted_rand"].abs().max() < 0.05


def test_cluster_refusals():
    with pytest.raises(DatasetError, match="'density'"):
        stats.cluster(np.zeros((10, 2)), "spectral", 2)
    with pytest.raises(DatasetError, match="take a sample first"):
        stats.cluster(np.zeros((20_001, 1)), "hierarchical", 2)


@given(st.integers(1, 500), st.data())
def test_samples(n_total, data):
    n = data.draw(st.integers(1, n_total))
    for sample in (stats.random_sample, stats.systematic_sample):
        chosen = sample(n_total, n, seed=1)
        assert len(set(chosen)) == n
        assert 0 <= chosen.min() <= chosen.max() < n_total
    gaps = np.diff(stats.systematic_sample(n_total, n))
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


@pytest.mark.parametrize("n", [0, 11])
def test_impossible_samples(n):
    with pytest.raises(DatasetError, match="expected 1 to 10"):
        stats.random_sample(10, n)


def test_pca_restores(digits):
    x = digits.x_train[:200]
    full = stats.pca(x, 64)
    np.testing.assert_allclose(full.restore(), x, atol=0.1)
    assert full.explained.sum() == pytest.approx(1, abs=1e-3)
    errors = [np.abs(stats.pca(x, k).restore() - x).mean() for k in (2, 8, 32)]
    assert errors == sorted(errors, reverse=True)
    assert stats.pca(x[:5], 50).components.shape == (5, 5)


def test_tsne_keeps_neighbours():
    x, y = blobs(90)
    place = stats.tsne(x)
    assert place.shape == (90, 2)
    nearest = ((place[:, None] - place) ** 2).sum(axis=2) + np.eye(90) * 1e9
    assert (y[nearest.argmin(axis=1)] == y).mean() > 0.95


def test_sparse_matrix(digits):
    sparse = stats.sparse_matrix(digits.x_train)
    assert sparse.dtype == np.uint8
    assert sparse.nnz == np.count_nonzero(digits.x_train)
    np.testing.assert_array_equal(sparse.toarray(), digits.x_train.reshape(-1, 64))


def test_sparse_code(digits):
    x = digits.x_train[:400]
    code = stats.sparse_code(x, n_atoms=64, n_nonzero=4)
    assert (code.codes != 0).sum(axis=1).max() <= 4
    assert code.restored.shape == x.shape
    few = np.sqrt(((code.restored - x) ** 2).mean())
    more = np.sqrt(((stats.sparse_code(x, 64, 12).restored - x) ** 2).mean())
    assert more < few < x.std()
