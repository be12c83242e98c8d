"""Datasets by name: found where they lie, verified, downloaded once, never taken when damaged."""

import gzip
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from helpers.datasets import (
    DatasetError,
    DatasetUnavailable,
    FallbackWarning,
    catalog,
    formats,
    load_dataset,
)
from helpers.datasets.download import download
from helpers.files import ROOT


def arrays(seed=0):
    rng = np.random.default_rng(seed)
    return {
        "x_train": rng.integers(0, 256, (20, 4, 4)).astype(np.uint8),
        "y_train": np.arange(20) % 2,
        "x_test": rng.integers(0, 256, (10, 4, 4)).astype(np.uint8),
        "y_test": np.arange(10) % 2,
    }


@pytest.fixture
def tiny(manifest):
    """A dataset of one .npz file, verified by the content of its arrays."""
    manifest["tiny"] = {
        "format": "npz",
        "class_names": ["even", "odd"],
        "files": [{"path": "tiny.npz", "url": "http://nowhere.invalid/tiny.npz", "bytes": 1}],
        "arrays": {name: hashlib.sha256(a).hexdigest() for name, a in arrays().items()},
    }
    return manifest["tiny"]


def place(folder: Path, seed=0, save=np.savez) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    save(folder / "tiny.npz", **arrays(seed))
    return folder / "tiny.npz"


@pytest.mark.parametrize("name", catalog.EMBEDDED)
def test_embedded_sets(name):
    data = load_dataset(name)
    assert data.name == name
    assert data.source == ("Unicode CLDR, in Babel" if name == "languages" else "scikit-learn")
    assert set(data.y_train) == set(data.y_test) == set(range(data.class_count))


def test_languages_are_told_apart_by_every_name():
    data = load_dataset("languages")
    names = [*data.x_train, *data.x_test]
    assert len(set(names)) == len(names) > 8000
    label = dict(zip(data.x_train, data.y_train, strict=True)) | dict(
        zip(data.x_test, data.y_test, strict=True)
    )
    expected = {"Kanariansaaret": "Finnish", "Bouvetinsel": "German", "Nam Mỹ": "Vietnamese"}
    assert {name: data.class_names[label[name]] for name in expected} == expected


def test_relative_path_is_found_in_course_data(tmp_path, monkeypatch, image_folder):
    monkeypatch.setenv("COURSE_DATA", str(image_folder.parent))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_dataset(image_folder.name, progress=False).class_count == 3


def test_digits_are_bytes_like_other_images():
    data = load_dataset("digits", image_size=(28, 28))
    assert (data.input_shape, data.x_train.dtype) == ((28, 28), np.uint8)
    assert data.x_train.max() == 255


def kept(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "cache" / "unpacked" / "tiny"
    return [path for path in folder.iterdir() if path.name != ".lock"]


def test_a_set_is_unpacked_once(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "shared"))
    place(tmp_path / "shared", save=np.savez_compressed)
    first = load_dataset("tiny")
    monkeypatch.setattr(formats, "read_npz", lambda path: pytest.fail(f"{path} is read again"))
    second = load_dataset("tiny")
    assert (second.source, second.x_train.dtype) == (first.source, first.x_train.dtype)
    np.testing.assert_array_equal(second.x_train, arrays()["x_train"])
    np.testing.assert_array_equal(second.y_test, arrays()["y_test"])
    second.x_train[:] = 0  # which is nobody else's affair
    np.testing.assert_array_equal(load_dataset("tiny").x_train, arrays()["x_train"])


def test_files_that_have_changed_are_verified_again(tiny, tmp_path):
    file = place(tmp_path / "cache")
    load_dataset("tiny")
    (before,) = kept(tmp_path)
    (before.parent / ".half").mkdir()  # as a process leaves it that is killed while it writes
    place(tmp_path / "cache", seed=1)
    with (
        pytest.warns(UserWarning, match="x_train .* Looking for another copy"),
        pytest.raises(DatasetUnavailable),
    ):
        load_dataset("tiny")
    place(tmp_path / "cache")
    os.utime(file, ns=(1, 1))
    load_dataset("tiny")
    (after,) = kept(tmp_path)  # the earlier one has gone
    assert after != before


@pytest.mark.parametrize("damage", ["truncated", "missing", "empty"])
def test_damaged_arrays_are_unpacked_again(tiny, tmp_path, damage):
    place(tmp_path / "cache")
    load_dataset("tiny")
    (own,) = kept(tmp_path)
    file = own / "x_train.npy"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:200] if damage == "truncated" else b"")
    np.testing.assert_array_equal(load_dataset("tiny").x_train, arrays()["x_train"])
    assert file.stat().st_size == 128 + arrays()["x_train"].nbytes  # and kept again, whole


def test_many_may_unpack_at_once(tiny, tmp_path):
    place(tmp_path / "cache")
    with ThreadPoolExecutor(8) as pool:
        for data in pool.map(lambda _: load_dataset("tiny"), range(40)):
            np.testing.assert_array_equal(data.x_train, arrays()["x_train"])
    (own,) = kept(tmp_path)
    assert len(list(own.iterdir())) == 4


def test_a_folder_that_cannot_be_written_costs_time_only(tiny, tmp_path):
    place(tmp_path / "cache")
    (tmp_path / "cache" / "unpacked").write_text("in the way")
    np.testing.assert_array_equal(load_dataset("tiny").x_train, arrays()["x_train"])


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_look_up_order(tiny, tmp_path, monkeypatch, save):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "shared"))
    with pytest.raises(DatasetUnavailable):
        load_dataset("tiny")
    place(tmp_path / "keras" / "datasets", save=save)
    assert load_dataset("tiny").source == "$KERAS_HOME/datasets/tiny.npz"
    place(tmp_path / "shared", save=save)
    assert load_dataset("tiny").source == "$COURSE_DATA/tiny.npz"
    place(tmp_path / "cache", save=save)
    assert load_dataset("tiny").source == "$COURSE_CACHE/tiny.npz"


def test_damaged_copy_is_passed_over(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "shared"))
    damaged = place(tmp_path / "cache", seed=1)
    content = damaged.read_bytes()
    place(tmp_path / "shared")
    with pytest.warns(
        UserWarning, match=r"x_train is not what was published \(damaged\).*another copy"
    ):
        data = load_dataset("tiny")
    assert data.source == "$COURSE_DATA/tiny.npz"
    assert damaged.read_bytes() == content


def test_fallback_is_never_silent(tiny):
    with pytest.warns(FallbackWarning, match="Using 'digits' instead of 'tiny'"):
        data = load_dataset("tiny", fallback="digits")
    assert data.name == "digits"


def test_fallback_does_not_hide_a_misspelling(tiny):
    with pytest.raises(DatasetError, match="Did you mean 'tiny'"):
        load_dataset("tinny", fallback="digits")


def test_unavailable_says_where_it_looked_and_what_to_do(tiny, tmp_path, monkeypatch):
    monkeypatch.setenv("COURSE_DATA", str(tmp_path / "absent"))
    with pytest.raises(DatasetUnavailable) as caught:
        load_dataset("tiny")
    message = str(caught.value)
    for part in (
        "$COURSE_CACHE",
        "$COURSE_DATA (no such folder)",
        "COURSE_OFFLINE",
        "copy tiny.npz",
    ):
        assert part in message


def test_no_network_is_one_line(tiny, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    with pytest.raises(DatasetUnavailable, match="no network") as caught:
        load_dataset("tiny")
    assert caught.value.__cause__ is None


def test_mirror(tiny, server, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    server.content = place(tmp_path / "elsewhere").read_bytes()
    assert load_dataset("tiny", progress=False).source == "$COURSE_CACHE/tiny.npz"
    load_dataset("tiny")
    assert len(server.requests) == 1


def test_wrong_content_from_the_server_is_not_kept(tiny, server, tmp_path, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    server.content = place(tmp_path / "elsewhere", seed=1).read_bytes()
    with pytest.raises(DatasetError, match=r"x_train is not what was published \(damaged\)"):
        load_dataset("tiny", progress=False)
    assert [p.name for p in (tmp_path / "cache").iterdir() if not p.name.startswith(".")] == []


def test_login_page_instead_of_the_file(tiny, server, monkeypatch):
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    server.content = b"<html>Please log in</html>"
    with pytest.warns(FallbackWarning, match="is not the file expected"):
        assert load_dataset("tiny", fallback="digits", progress=False).name == "digits"


def test_idx_files_and_their_digests(manifest, tmp_path):
    def idx(array):
        return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + bytes(array)

    folder = tmp_path / "cache" / "four"
    folder.mkdir(parents=True)
    files = []
    for name, array in arrays().items():
        content = gzip.compress(idx(array.astype(np.uint8)))
        (folder / f"{name}.gz").write_bytes(content)
        digest = hashlib.md5(content).hexdigest()
        files.append({"path": f"four/{name}.gz", "digest": f"md5:{digest}", "url": "", "bytes": 1})
    manifest["four"] = {"format": "idx", "class_names": ["a", "b"], "files": files}
    np.testing.assert_array_equal(load_dataset("four").x_test, arrays()["x_test"])
    (folder / "x_test.gz").write_bytes(gzip.compress(idx(arrays(1)["x_test"])))
    with (
        pytest.warns(
            UserWarning, match=r"x_test\.gz is not what was published \(damaged, or packed anew\)"
        ),
        pytest.raises(DatasetUnavailable),
    ):
        load_dataset("four")


def test_idx_files_packed_anew_are_known_by_their_arrays(manifest, tmp_path, server, monkeypatch):
    def idx(array, level):
        header = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes()
        return gzip.compress(header + bytes(array), level)

    held = {name: array.astype(np.uint8) for name, array in arrays().items()}
    manifest["four"] = {
        "format": "idx", "class_names": ["a", "b"],
        "arrays": {name: hashlib.sha256(array).hexdigest() for name, array in held.items()},
        "files": [{"path": f"four/{name}.gz", "digest": "md5:of another packing", "bytes": 1,
                   "url": ""} for name in held],
    }  # fmt: skip
    folder = tmp_path / "cache" / "four"
    folder.mkdir(parents=True)
    for name, array in held.items():
        (folder / f"{name}.gz").write_bytes(idx(array, 1))
    np.testing.assert_array_equal(load_dataset("four").x_test, held["x_test"])
    (folder / "x_test.gz").unlink()  # and so is one that is downloaded
    server.content = idx(held["x_test"], 9)
    monkeypatch.delenv("COURSE_OFFLINE")
    monkeypatch.setenv("COURSE_MIRROR", server.url)
    np.testing.assert_array_equal(load_dataset("four", progress=False).x_test, held["x_test"])
    (folder / "x_test.gz").unlink()
    server.content = idx(held["x_train"], 9)
    with pytest.raises(DatasetUnavailable, match="x_test is not what was published"):
        load_dataset("four", progress=False)


def test_manifest_entries_are_complete():
    for entry in catalog.manifest().values():
        assert len(entry["class_names"]) == 10
        assert entry["format"] in {"npz", "idx", "cifar10"}
        for file in entry["files"]:
            assert file["url"].startswith("https://")
            assert file["url"].endswith(Path(file["path"]).name)
            assert "digest" in file or "arrays" in entry or "members" in entry


def test_real_mnist(course_data):
    data = load_dataset("mnist")
    assert (len(data.x_train), len(data.x_test), data.input_shape) == (60_000, 10_000, (28, 28))
    assert data.y_train[:5].tolist() == [5, 0, 4, 1, 9]


def test_one_changed_byte_of_real_mnist_is_noticed(course_data, tmp_path, monkeypatch):
    with np.load(course_data / "mnist.npz") as archive:
        content = dict(archive)
    content["x_train"][31_415, 9, 2] ^= 1
    (tmp_path / "cache").mkdir()
    np.savez(tmp_path / "cache" / "mnist.npz", **content)
    monkeypatch.delenv("COURSE_DATA")
    with (
        pytest.warns(UserWarning, match=r"x_train is not what was published \(damaged\)"),
        pytest.raises(DatasetUnavailable),
    ):
        load_dataset("mnist")


# The download itself -----------------------------------------------------------------------------


def expect(content: bytes):
    def check(path: Path) -> None:
        if path.read_bytes() != content:
            raise DatasetError("other content")

    return check


CONTENT = np.random.default_rng(0).integers(0, 256, 3_000_000).astype(np.uint8).tobytes()


def test_broken_connections_are_resumed(server, tmp_path):
    server.content, server.drop_after = CONTENT, 1_000_000
    target = tmp_path / "file"
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert target.read_bytes() == CONTENT
    assert server.requests[0] == ""
    starts = [int(request.removeprefix("bytes=").strip("-")) for request in server.requests[1:]]
    assert starts == sorted(set(starts))
    assert starts[0] > 900_000


def test_server_without_ranges(server, tmp_path):
    server.content, server.ranges = CONTENT, False
    target = tmp_path / "file"
    target.with_name("file.part").write_bytes(CONTENT[:1000])
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("stale", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
def test_part_of_another_version_is_started_anew(server, tmp_path, stale):
    server.content = CONTENT
    target = tmp_path / "file"
    target.with_name("file.part").write_bytes(stale)
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert target.read_bytes() == CONTENT
    assert not target.with_name("file.part").exists()


@pytest.mark.parametrize("status", [404, 403])
def test_refusal_by_the_server(server, tmp_path, status):
    server.status = status
    with pytest.raises(DatasetUnavailable, match=f"HTTP {status}"):
        download(f"{server.url}/file", tmp_path / "file", check=expect(b""), progress=False)
    assert len(server.requests) == 1


@pytest.mark.parametrize("url", ["ftp://example.invalid/f", "nonsense", "http://[bad/f"])
def test_wrong_addresses_are_not_tried_again(tmp_path, url):
    start = time.monotonic()
    with pytest.raises(DatasetUnavailable, match="cannot download"):
        download(url, tmp_path / "file", check=expect(b""), progress=False)
    assert time.monotonic() - start < 2


def test_server_that_does_not_stop(server, tmp_path):
    server.content = CONTENT
    with pytest.raises(DatasetUnavailable, match="does not stop sending"):
        download(f"{server.url}/f", tmp_path / "f", check=expect(b""), size=1000, progress=False)


def test_server_that_does_not_say_how_long_it_is(server, tmp_path, monkeypatch):
    server.content, server.says_length = CONTENT, False
    target = tmp_path / "file"
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    target.unlink()
    monkeypatch.setenv("COURSE_MAX_BYTES", "1e6")
    with pytest.raises(DatasetUnavailable, match="does not stop sending"):
        download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert list(tmp_path.iterdir()) == []


def test_server_that_packs_unasked(server, tmp_path, monkeypatch):
    server.content, server.packs = bytes(5_000_000), True
    target = tmp_path / "file"
    download(f"{server.url}/file", target, check=expect(server.content), progress=False)
    with pytest.raises(DatasetUnavailable, match="does not stop sending"):
        download(f"{server.url}/f", tmp_path / "f", check=expect(b""), size=9, progress=False)


def test_server_that_drips(server, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.datasets.download.PATIENCE", 1)
    server.content, server.drip = CONTENT, 0.02  # a byte at a time
    start = time.monotonic()
    with pytest.raises(DatasetUnavailable, match="fewer than 1000 bytes a second"):
        download(f"{server.url}/file", tmp_path / "file", check=expect(CONTENT), progress=False)
    assert time.monotonic() - start < 10


def test_passwords_are_not_shown(server, tmp_path, monkeypatch, tiny):
    monkeypatch.delenv("COURSE_OFFLINE")
    host = server.url.removeprefix("http://")
    for status, content in ((403, b""), (None, b"a login page")):
        server.status, server.content = status, content
        monkeypatch.setenv("COURSE_MIRROR", f"http://teacher:secret@{host}/data?key=hidden")
        with pytest.raises(DatasetUnavailable) as caught:
            load_dataset("tiny", progress=False)
        assert host in str(caught.value)
        for word in ("teacher", "secret", "hidden"):
            assert word not in str(caught.value)


@pytest.mark.skipif(sys.platform == "win32", reason="links")
@pytest.mark.parametrize("dangling", [True, False])
def test_links_are_not_followed_when_writing(server, tmp_path, dangling):
    server.content = CONTENT
    precious = tmp_path / "precious"
    if not dangling:
        precious.write_bytes(b"mine")
    for name in ("file.part", "file"):
        (tmp_path / "cache").mkdir(exist_ok=True)
        (tmp_path / "cache" / name).symlink_to(precious)
    target = tmp_path / "cache" / "file"
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert target.read_bytes() == CONTENT
    assert not target.is_symlink()
    assert precious.exists() != dangling
    assert dangling or precious.read_bytes() == b"mine"


@pytest.fixture
def secure(server, tmp_path, monkeypatch):
    """Serve over https what ``server`` serves over http, or lead there."""
    import http.server
    import ssl
    import threading

    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    subprocess.run(command, check=True, capture_output=True)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            leads = f"{server.url}/file" if self.path == "/down" else "/file"
            self.send_response(200 if self.path == "/file" else 302)
            self.send_header("Location", leads)
            self.send_header("Content-Length", str(len(CONTENT) if self.path == "/file" else 0))
            self.end_headers()
            self.wfile.write(CONTENT if self.path == "/file" else b"")

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    httpd.socket = context.wrap_socket(httpd.socket, server_side=True)
    threading.Thread(target=httpd.serve_forever, daemon=True).start()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    yield f"https://127.0.0.1:{httpd.server_address[1]}"
    httpd.shutdown()
    httpd.server_close()


def test_https_does_not_lead_to_http(server, secure, tmp_path):
    server.content = CONTENT
    download(f"{secure}/around", tmp_path / "a", check=expect(CONTENT), progress=False)
    with pytest.raises(DatasetUnavailable, match="leads from https to http"):
        download(f"{secure}/down", tmp_path / "b", check=expect(CONTENT), progress=False)
    assert server.requests == []
    assert not (tmp_path / "b").exists()


@pytest.mark.parametrize("content", [CONTENT, b"a login page"])
def test_no_lock_stays(tiny, server, tmp_path, monkeypatch, content):
    monkeypatch.delenv("COURSE_OFFLINE")
    for url in (server.url, "http://127.0.0.1:9"):
        monkeypatch.setenv("COURSE_MIRROR", url)
        server.content = content
        with pytest.raises(DatasetUnavailable):
            load_dataset("tiny", progress=False)
        assert list((tmp_path / "cache").iterdir()) == []


def test_refused_range_without_a_part(server, tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.datasets.download.time.sleep", lambda _: None)
    server.status = 416
    with pytest.raises(DatasetUnavailable, match="HTTP 416"):
        download(f"{server.url}/f", tmp_path / "f", check=expect(b""), progress=False)


def test_connection_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("helpers.datasets.download.time.sleep", lambda _: None)
    with pytest.raises(DatasetUnavailable, match="connection refused"):
        download("http://127.0.0.1:9/file", tmp_path / "file", check=expect(b""), progress=False)


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write anywhere")
def test_read_only_cache(server, tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(DatasetUnavailable, match="COURSE_CACHE"):
        download(f"{server.url}/file", tmp_path / "file", check=expect(b""), progress=False)


def test_cache_that_is_a_file(server, tmp_path):
    (tmp_path / "cache").write_text("in the way")
    with pytest.raises(DatasetUnavailable, match="COURSE_CACHE"):
        download(f"{server.url}/f", tmp_path / "cache" / "f", check=expect(b""), progress=False)


CLIENT = """
import sys
from pathlib import Path
from helpers.datasets import DatasetError
from helpers.datasets.download import download
url, target, size = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
def check(path):
    if path.stat().st_size != size:
        raise DatasetError("incomplete")
download(url, target, check=check, progress=False)
assert target.stat().st_size == size
"""


def client(server, target):
    command = [sys.executable, "-c", CLIENT, f"{server.url}/file", str(target), str(len(CONTENT))]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=ROOT)


def test_thirty_processes_cause_one_download(server, tmp_path):
    server.content = CONTENT
    target = tmp_path / "shared" / "file"
    clients = [client(server, target) for _ in range(30)]
    errors = [process.communicate(timeout=120)[1] for process in clients]
    assert [process.returncode for process in clients] == [0] * 30, errors
    assert len(server.requests) == 1
    assert target.read_bytes() == CONTENT
    assert [p.name for p in target.parent.iterdir() if not p.name.startswith(".")] == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_killed_download_leaves_nothing_that_counts(server, tmp_path):
    import threading

    server.content, server.hold = CONTENT, threading.Event()
    target = tmp_path / "file"
    process = client(server, target)
    assert server.started.wait(60)
    part = target.with_name("file.part")
    deadline = time.monotonic() + 30
    while not (part.exists() and part.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stderr.close()
    assert not target.exists()
    received = part.stat().st_size
    assert 0 < received < len(CONTENT)
    server.hold.set()
    server.hold = None
    download(f"{server.url}/file", target, check=expect(CONTENT), progress=False)
    assert server.requests[-1] == f"bytes={received}-"
    assert target.read_bytes() == CONTENT
