"""Weights come from a path, a shared folder, Keras's cache or a download; or it is said why not."""

import inspect
import shutil
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
from stand_in import write_weights

from helpers.datasets import FallbackWarning
from helpers.errors import CourseError
from helpers.vision import WeightsError, WeightsUnavailable, architectures, load_classifier
from helpers.vision import weights as weight_files

FILE = "mobilenet_2_5_224_tf.h5"  # what Keras calls MobileNet's with alpha=0.25


@pytest.fixture(scope="module")
def stand_in(tmp_path_factory):
    """Return a file of random weights for MobileNet with alpha=0.25."""
    model = keras.applications.MobileNet(weights=None, alpha=0.25)
    return write_weights(tmp_path_factory.mktemp("weights") / "mobilenet.h5", model)


@pytest.fixture
def downloads(server, stand_in, monkeypatch):
    """Serve the stand-in as the mirror of every file."""
    server.content = stand_in.read_bytes()
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    monkeypatch.delenv("COURSE_OFFLINE")
    return server


def small(weights="imagenet"):
    return load_classifier("MobileNet", weights, alpha=0.25)


def refusal(weights, error=WeightsError) -> str:
    with pytest.raises(error) as caught:
        small(weights)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 300
    return " ".join([message, *getattr(caught.value, "__notes__", [])])


def same(one, other) -> bool:
    pairs = zip(one.model.weights, other.model.weights, strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_a_path_is_read(stand_in):
    classifier = small(stand_in)
    assert classifier.weights
    assert classifier.weights == "mobilenet.h5"
    assert "trained (mobilenet.h5)" in repr(classifier)


def test_a_download_goes_on_where_it_broke(downloads, stand_in, tmp_path):
    downloads.drop_after = 700_000  # of 1.9 MB, each time
    classifier = small()
    assert classifier.weights == "imagenet"
    assert same(classifier, small(stand_in))
    first, *later = downloads.requests
    assert first == ""
    assert len(later) >= 2
    starts = [int(r.removeprefix("bytes=").rstrip("-")) for r in later]
    assert starts == sorted(set(starts))
    assert (tmp_path / "cache" / "models" / FILE).read_bytes() == stand_in.read_bytes()
    assert not list(tmp_path.rglob("*.part"))


def test_a_later_process_goes_on_where_a_download_stopped(downloads, tmp_path):
    part = tmp_path / "cache" / "models" / f"{FILE}.part"
    part.parent.mkdir(parents=True)
    part.write_bytes(downloads.content[:1_000_000])
    small()
    assert downloads.requests == ["bytes=1000000-"]


def test_a_download_happens_once(downloads):
    small()
    small()
    assert len(downloads.requests) == 1


def test_a_login_page_is_no_weights(downloads, tmp_path):
    downloads.content = b"<html>Please log in to this network</html>"
    message = refusal("imagenet", WeightsUnavailable)
    assert FILE in message
    assert "not the file expected" in message
    assert not (tmp_path / "cache" / "models" / FILE).exists()


def test_offline_names_the_file_and_the_folders():
    message = refusal("imagenet", WeightsUnavailable)
    assert message.startswith("The weights of MobileNet are not on this machine")
    for part in (FILE, "COURSE_CACHE", "KERAS_HOME", "COURSE_OFFLINE", "weights=PATH"):
        assert part in message, part


def test_a_server_that_fails_is_named(downloads):
    downloads.status = 404
    assert "HTTP 404" in refusal("imagenet", WeightsUnavailable)


@pytest.mark.parametrize("place", ["cache", "shared", "keras"])
def test_weights_on_disk_need_no_network(place, stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "shared"))
    folder = tmp_path / place / "models"
    folder.mkdir(parents=True)
    shutil.copy(stand_in, folder / FILE)
    assert same(small(), small(stand_in))


def test_a_damaged_copy_is_passed_over(stand_in, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "shared"))
    for place, content in (("shared", b"half"), ("keras", stand_in.read_bytes())):
        (tmp_path / place / "models").mkdir(parents=True)
        (tmp_path / place / "models" / FILE).write_bytes(content)
    assert small().weights


def test_only_a_damaged_copy_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path))
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / FILE).write_bytes(b"half")
    assert f"$COURSE_DATA/models/{FILE} is damaged" in refusal("imagenet")


def test_keras_is_left_as_it_was(downloads):
    module = sys.modules[keras.applications.MobileNet.__module__]
    before = module.file_utils.get_file
    small()
    assert module.file_utils.get_file is before


def test_every_network_of_keras_asks_us_for_its_file():
    """Keras 3.15 has no public way for it. If this fails, see ``weights._files_of_keras``."""
    for name in sorted(set(architectures()) - {"EfficientNetLite0"}):
        module = sys.modules[getattr(keras.applications, name).__module__]
        family = module.__name__.replace(".resnet_v2", ".resnet")  # which builds those, too
        assert "file_utils.get_file(" in inspect.getsource(sys.modules[family]), name
    with pytest.raises(WeightsUnavailable, match="The weights of ResNet50V2 are not on this"):
        load_classifier("ResNet50V2")


def test_another_keras_is_refused_in_one_line(stand_in, monkeypatch):
    module = sys.modules[keras.applications.MobileNet.__module__]
    renamed = SimpleNamespace(
        exists=module.file_utils.exists, get_file=lambda *_, **__: str(stand_in)
    )
    monkeypatch.setattr(module, "file_utils", renamed)
    message = refusal("imagenet", CourseError)
    assert f"Keras {keras.__version__} gets the weights of MobileNet in another way" in message


def test_bad_files_are_refused_in_one_line(stand_in, tmp_path):
    assert "no such file" in refusal(tmp_path / "mobilenet.h5")
    assert "a folder" in refusal(tmp_path)
    truncated = tmp_path / "truncated.h5"
    truncated.write_bytes(stand_in.read_bytes()[:-200_000])
    assert "truncated.h5: no weights of MobileNet, or damaged" in refusal(truncated)
    text = tmp_path / "text.h5"
    text.write_text("hello")
    assert "text.h5: no weights of MobileNet" in refusal(text)


def test_weights_of_another_network_are_refused(stand_in):
    for architecture, options in (("MobileNet", {"alpha": 0.5}), ("MobileNetV2", {})):
        with pytest.raises(WeightsError, match=f"no weights of {architecture}") as caught:
            load_classifier(architecture, stand_in, **options)
        assert "\n" not in str(caught.value)


def test_wrong_names_are_refused():
    with pytest.raises(CourseError, match=r"'VGG61'.*Did you mean 'VGG19'"):
        load_classifier("VGG61", None)
    with pytest.raises(CourseError, match="got the option 'beta'; expected one of alpha"):
        load_classifier("MobileNet", None, beta=1)
    with pytest.raises(CourseError, match="got the option 'include_top'"):
        load_classifier("MobileNet", None, include_top=False)
    with pytest.raises(CourseError, match="precision is 'float8'"):
        load_classifier("MobileNet", None, precision="float8", alpha=0.25)
    with pytest.raises(CourseError, match="MobileNet cannot be built"):
        load_classifier("MobileNet", None, alpha=-1)
    assert isinstance(weight_files.folders()[0][1], str)


def test_a_fallback_is_a_trained_network_and_said(monkeypatch):
    with pytest.warns(FallbackWarning, match="Using EfficientNetLite0 instead of MobileNet"):
        found = load_classifier("MobileNet", alpha=0.25, fallback="EfficientNetLite0")
    assert (found.architecture, found.weights) == ("EfficientNetLite0", "imagenet")
    monkeypatch.setenv("COURSE_FALLBACK", "0")  # as in a sweep, which compares what was asked for
    with pytest.raises(WeightsUnavailable):
        load_classifier("MobileNet", alpha=0.25, fallback="EfficientNetLite0")
