"""What the tests share: a place of their own, small real files, a server with faults."""

import contextlib
import gzip
import http.server
import os
import shutil
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from helpers.datasets import catalog
from helpers.hardware import detect
from helpers.training.planning import NEEDED
from helpers.warm_kernels import owner
from helpers.warm_kernels.owner import WarmUnavailable

COURSE_DATA = os.environ.get("COURSE_DATA")

# A shell's background job ignores Ctrl-C, and all that the tests start would do so too.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Give ``-n auto`` one process more than cores: many tests wait for other processes."""
    return min(detect().cores, 8) + 1


def needs(precision):
    """Skip a test where TensorFlow would crash in a precision (``plan`` refuses it)."""
    feature = NEEDED[precision]
    return pytest.mark.skipif(
        feature in detect().withheld,
        reason=f"ONEDNN_MAX_CPU_ISA withholds {feature}: TensorFlow crashes in {precision}",
    )


@pytest.fixture(autouse=True)
def own_place(tmp_path, monkeypatch):
    """Keep every test away from this machine's caches, shared data and network."""
    monkeypatch.setenv("COURSE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setenv("COURSE_OFFLINE", "1")
    monkeypatch.setenv("COURSE_WARM", "0")
    for name in ("COURSE_DATA", "COURSE_MIRROR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def processes():
    """Return a context that starts processes with TensorFlow loaded, and nothing computed.

    They are forked from one that has imported it: a second each instead of ten.
    """
    import multiprocessing

    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["helpers", "tensorflow", "keras", "pandas", "sklearn"])
    return context


@pytest.fixture(scope="session")
def preloaded():
    """Start the preloaded process of this worker; it ends with the worker."""
    with pytest.MonkeyPatch.context() as patch:
        use_warm_kernels(patch)
        with contextlib.suppress(WarmUnavailable):  # there they are cold kernels
            owner.begin(patient=True)


@pytest.fixture
def warm_kernels(preloaded, monkeypatch):
    """Let kernels be forked from the preloaded process of this worker."""
    use_warm_kernels(monkeypatch)


def use_warm_kernels(monkeypatch) -> None:
    monkeypatch.setenv("COURSE_WARM", "1")
    # A value of its own would need a process of its own.
    monkeypatch.delenv("KERAS_HOME", raising=False)


@pytest.fixture
def course_data(monkeypatch) -> Path:
    """Return the folder of real data, or skip and say so."""
    if not COURSE_DATA or not (Path(COURSE_DATA) / "mnist.npz").is_file():
        pytest.skip("COURSE_DATA names no folder with mnist.npz: real MNIST is not tested here")
    monkeypatch.setenv("COURSE_DATA", COURSE_DATA)
    return Path(COURSE_DATA)


@pytest.fixture
def manifest(monkeypatch) -> dict:
    """Return a manifest that a test may fill with datasets of its own."""
    content: dict = {}
    monkeypatch.setattr(catalog, "manifest", lambda: content)
    return content


@pytest.fixture
def image_folder(tmp_path) -> Path:
    """Make three classes of six grey 12×10 images; the grey level tells the class."""
    folder = tmp_path / "shapes"
    rng = np.random.default_rng(0)
    for number, name in enumerate(("circle", "line", "square")):
        (folder / name).mkdir(parents=True)
        for index in range(6):
            pixels = rng.integers(0, 20, (12, 10)) + 80 * number
            Image.fromarray(pixels.astype(np.uint8)).save(folder / name / f"{index}.png")
    return folder


@dataclass
class Server:
    """A real HTTP server on loopback, with a log and faults."""

    url: str = ""
    content: bytes = b""
    ranges: bool = True
    drop_after: int | None = None  # break the connection after this many bytes, each time
    status: int | None = None
    requests: list[str] = field(default_factory=list)
    started: threading.Event = field(default_factory=threading.Event)
    hold: threading.Event | None = None  # stop in the middle until this is set
    says_length: bool = True
    drip: float | None = None  # seconds before each byte
    packs: bool = False  # as gzip, unasked


@pytest.fixture
def server():
    """Serve ``server.content`` under every path."""
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            wanted = self.headers.get("Range")
            state.requests.append(wanted or "")
            if state.status:
                self.send_error(state.status)
                return
            start = int(wanted.removeprefix("bytes=").split("-")[0]) if wanted else 0
            start = start if state.ranges else 0
            if start >= len(state.content) > 0 and start:
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(state.content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            body = state.content[start:]
            self.send_response(206 if start else 200)
            if state.packs:
                body = gzip.compress(body)
                self.send_header("Content-Encoding", "gzip")
            if state.says_length:
                self.send_header("Content-Length", str(len(body)))
            if start:
                last = len(state.content) - 1
                self.send_header("Content-Range", f"bytes {start}-{last}/{last + 1}")
            self.end_headers()
            state.started.set()
            if state.hold is not None:
                self.wfile.write(body[: len(body) // 2])
                self.wfile.flush()
                state.hold.wait(30)
                return
            for byte in body if state.drip else b"":
                time.sleep(state.drip)
                self.wfile.write(bytes([byte]))
                self.wfile.flush()
            if state.drop_after is not None:
                body = body[: state.drop_after]
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    httpd = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    httpd.daemon_threads = True
    state.url = f"http://127.0.0.1:{httpd.server_address[1]}"
    thread = threading.Thread(target=httpd.serve_forever, daemon=True)
    thread.start()
    yield state
    if state.hold is not None:
        state.hold.set()
    httpd.shutdown()
    httpd.server_close()


@pytest.fixture
def browser(tmp_path):
    """A real browser; a test that needs one is skipped, with the reason, where there is none."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "google-chrome", "chrome"))), None)
    driver = shutil.which("chromedriver")
    if not (chromium and driver):
        pytest.skip("needs Chromium and ChromeDriver, and does not find them")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in (
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        "--window-size=1300,1600", f"--user-data-dir={tmp_path / 'profile'}",
    ):  # fmt: skip
        options.add_argument(argument)
    window = webdriver.Chrome(options=options, service=Service(driver))
    yield window
    window.quit()
