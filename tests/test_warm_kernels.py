"""Forked kernels start quickly, behave like ordinary ones, and leave nothing behind."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import nbformat
import papermill
import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import LocalProvisioner

from helpers.runs.execute import run_notebook
from helpers.runs.notebook import read_notebook
from helpers.runs.results import Run
from helpers.warm_kernels import install, owner
from helpers.warm_kernels.provisioner import ForkedProcess, WarmProvisioner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only")


@pytest.fixture(autouse=True)
def warm(warm_kernels):
    """Undo what keeps the other tests' kernels cold."""


@pytest.fixture
def start():
    """Start kernels; end them after the test."""
    kernels = []

    def start(**options) -> Kernel:
        kernels.append(Kernel(**options))
        return kernels[-1]

    yield start
    for kernel in kernels:
        kernel.close()


class Kernel:
    """A kernel and its client."""

    def __init__(self, **options) -> None:
        self.manager = KernelManager(kernel_name="python3")
        self.manager.start_kernel(**options)
        self.connect()

    def connect(self) -> None:
        self.client = self.manager.client()
        self.client.start_channels(hb=False)  # as in helpers.runs.kernels
        self.client.wait_for_ready(timeout=120)

    @property
    def process(self):
        return self.manager.provisioner.process

    def run(self, code: str, timeout: float = 60) -> str:
        """Return what code prints, or the name of its error."""
        said = []

        def note(message) -> None:
            content = message["content"]
            said.append(content.get("text", "") or content.get("ename", ""))

        self.client.execute_interactive(code, output_hook=note, timeout=timeout)
        return "".join(said).strip()

    def close(self) -> None:
        self.client.stop_channels()
        if self.manager.has_kernel:
            self.manager.shutdown_kernel(now=True)


def test_what_a_notebook_registers_for_its_end_is_done(start, tmp_path):
    kernel = start(cwd=str(tmp_path))
    kernel.run("import atexit, tempfile\nfrom pathlib import Path")
    folder = Path(kernel.run("folder = tempfile.TemporaryDirectory(); print(folder.name)"))
    kernel.run("atexit.register(lambda: Path('done').write_text('yes'))")
    assert folder.is_dir()
    kernel.manager.shutdown_kernel()
    assert (tmp_path / "done").read_text() == "yes"
    assert not folder.exists()


def preloaded_of(kernel) -> psutil.Process:
    return psutil.Process(kernel.process.pid).parent()


def preloaded_below(pid: int) -> list[psutil.Process]:
    """Return the preloaded processes that a process has started."""
    found = []
    with contextlib.suppress(psutil.Error):
        for process in psutil.Process(pid).children(recursive=True):
            if "helpers.warm_kernels.preload" in " ".join(process.cmdline()):
                found.append(process)
    return found


@pytest.fixture
def nobody(monkeypatch):
    """Make this process one that has not started a kernel yet."""
    monkeypatch.setattr(owner, "_current", None)
    monkeypatch.setattr(owner, "_asked", False)
    yield
    if owner._current is not None:
        owner._current.process.kill()
        owner._current.process.wait()


def gone(pid: int, seconds: float = 30) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


def test_a_kernel_is_forked_with_the_packages(start):
    kernel = start()
    assert isinstance(kernel.process, ForkedProcess)
    assert "helpers.warm_kernels.preload" in " ".join(preloaded_of(kernel).cmdline())
    code = "import sys; print(all(sys.meta_path[0].find_spec(n) for n in {}))"
    assert kernel.run(code.format("('tensorflow', 'keras', 'seaborn')")) == "True"
    assert kernel.run("print(__name__)") == "__main__"
    assert kernel.run("import matplotlib; print(matplotlib.get_backend())").endswith(
        ".backend_inline"
    )
    # Of the course nothing is kept: a notebook sees it as it is now.
    assert kernel.run("print([n for n in sys.modules if n.startswith('helpers')])") == "[]"
    fit = (
        "import keras, numpy as np\n"
        "m = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "m.compile('sgd', 'mse'); m.fit(np.ones((4, 2)), np.ones(4), verbose=0); print('fitted')"
    )
    assert kernel.run(fit) == "fitted"


def test_nothing_is_initialised_before_the_fork(start):
    preloaded = preloaded_of(start())
    assert preloaded.num_threads() == 1  # TensorFlow and OpenBLAS would have more


def test_memory_is_shared(start):
    kernel = start()
    memory = psutil.Process(kernel.process.pid).memory_full_info()
    assert memory.rss > 300e6
    assert memory.uss < memory.rss / 3  # of its own


def test_kernels_do_not_share_random_numbers(start):
    code = (
        "import random, numpy as np, uuid; print(random.random(), np.random.rand(), uuid.uuid4())"
    )
    first, second = (start().run(code).split() for _ in range(2))
    assert not set(first) & set(second)


def test_environment_and_folder_are_the_kernel_s_own(start, tmp_path, monkeypatch):
    (tmp_path / "beside.py").write_text("value = 7")
    env = {**os.environ, "OF_ITS_OWN": "yes", "CUDA_VISIBLE_DEVICES": "-1"}
    kernel = start(env=env, cwd=str(tmp_path))
    code = "import os, beside; print(os.environ['OF_ITS_OWN'], os.getcwd(), beside.value)"
    assert kernel.run(code) == f"yes {tmp_path} 7"
    other = start()
    assert other.run("import os; print('OF_ITS_OWN' in os.environ)") == "False"
    assert preloaded_of(kernel).pid == preloaded_of(other).pid


def test_interrupt(start):
    kernel = start()
    code = "import time\nprint('begun')\ntime.sleep(600)"
    # Else the kernel drops what is asked of it until a moment after the error.
    message = kernel.client.execute(code, stop_on_error=False)
    while kernel.client.get_iopub_msg(timeout=30)["msg_type"] != "stream":
        pass
    kernel.manager.interrupt_kernel()
    while True:
        reply = kernel.client.get_shell_msg(timeout=30)
        if reply["parent_header"].get("msg_id") == message:
            break
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert kernel.run("print(1 + 1)") == "2"


def test_restart(start):
    kernel = start()
    kernel.run("x = 1")
    before = kernel.process.pid
    kernel.client.stop_channels()
    kernel.manager.restart_kernel()
    kernel.connect()
    assert kernel.process.pid != before
    assert gone(before)
    assert kernel.run("x") == "NameError"


def test_shutdown_leaves_nothing(start):
    kernel = start()
    process = kernel.process
    kernel.run("import subprocess; child = subprocess.Popen(['sleep', '600'])")
    (child,) = psutil.Process(process.pid).children()
    kernel.close()
    assert gone(process.pid)
    assert gone(child.pid)


def test_death_is_noticed(start):
    kernel = start()
    os.kill(kernel.process.pid, signal.SIGKILL)
    assert kernel.process.wait(30) == 1
    assert not kernel.manager.is_alive()


def test_a_kernel_and_the_preloaded_process_end_with_who_asked_for_them():
    code = (
        "import time; from jupyter_client.manager import KernelManager\n"
        "from helpers.warm_kernels import owner\n"
        "owner.begin(patient=True)\n"
        "manager = KernelManager(kernel_name='python3'); manager.start_kernel()\n"
        "print(manager.provisioner.process.pid, flush=True); time.sleep(600)"
    )
    client = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    pid = int(client.stdout.readline())
    preloaded = psutil.Process(pid).parent()
    assert preloaded in preloaded_below(client.pid)
    client.kill()
    client.wait()
    client.stdout.close()
    assert gone(pid)
    assert gone(preloaded.pid)


def test_kernels_survive_the_preloaded_process_and_the_next_has_another(nobody, start):
    owner.begin(patient=True)
    kernel = start()
    first = preloaded_of(kernel)
    first.kill()
    assert gone(first.pid)
    assert kernel.run("print('still here')") == "still here"
    other = start()
    assert isinstance(other.process, ForkedProcess)
    assert preloaded_of(other).pid != first.pid
    pid = kernel.process.pid
    kernel.close()
    assert gone(pid)


def test_one_kernel_alone_preloads_nothing_and_none_waits(nobody, start, caplog):
    with caplog.at_level("INFO"):
        kernels = [start(), start(), start()]
    assert [type(kernel.process) for kernel in kernels[:2]] == [subprocess.Popen] * 2
    reasons = [r.message for r in caplog.records if "cold kernel" in r.message]
    assert "the first one of this process" in reasons[0]
    assert "still being imported" in reasons[1]
    owner.current().patient = True
    assert isinstance(start().process, ForkedProcess)


def test_no_port_is_chosen_while_a_kernel_waits(nobody, start, monkeypatch):
    """Another process may take it: the kernel would die, and nbval wait for it for ever."""
    ready = []
    choose = LocalProvisioner.pre_launch

    async def noted(self, **options):
        ready.append(owner.current().ready)
        return await choose(self, **options)

    monkeypatch.setattr(LocalProvisioner, "pre_launch", noted)
    assert not owner.begin(patient=True).ready
    assert isinstance(start().process, ForkedProcess)
    assert ready == [True]


def test_jupyter_server_prepares_for_its_first_kernel(tmp_path):
    own = {f"JUPYTER_{kind}_DIR": str(tmp_path / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--port=0"]
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(command, stdout=log, stderr=log, env={**os.environ, **own})
    try:
        deadline = time.monotonic() + 60
        while not (found := preloaded_below(server.pid)):
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.1)
    finally:
        server.terminate()
        server.wait(30)
    assert gone(found[0].pid, 60)  # it may still have been importing


@pytest.mark.parametrize("name", ["KERAS_BACKEND", "PYTHONHASHSEED", "HOME", "MPLBACKEND"])
def test_another_environment_is_a_cold_kernel(start, caplog, tmp_path, name):
    with caplog.at_level("INFO"):
        kernel = start(env=os.environ | {name: str(tmp_path) if name == "HOME" else "7"})
    assert isinstance(kernel.process, subprocess.Popen)
    assert f"{name} is not as it was" in caplog.text


def test_a_long_temporary_folder_costs_nothing(start, tmp_path):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    assert isinstance(start(env=os.environ | {"TMPDIR": str(long)}).process, ForkedProcess)


def test_packages_that_are_installed_meanwhile_make_a_kernel_cold(tmp_path, monkeypatch):
    packages = tmp_path / "site-packages"
    packages.mkdir()
    monkeypatch.setattr(sys, "path", [*sys.path, str(packages)])
    before = owner.depends_on(os.environ)
    time.sleep(0.02)
    (packages / "newer-1.0.dist-info").mkdir()
    assert owner.depends_on(os.environ) != before


def test_threads_are_those_of_the_kernel(start):
    ask = "import threadpoolctl as t; print([i['num_threads'] for i in t.threadpool_info()])"
    one, all_ = (start(env=os.environ | more) for more in ({"OMP_NUM_THREADS": "1"}, {}))
    assert preloaded_of(one) == preloaded_of(all_)
    assert set(json.loads(one.run(ask))) == {1}
    assert set(json.loads(all_.run(ask))) == {len(os.sched_getaffinity(0))}


def test_a_kernel_has_the_cores_of_who_asks(start):
    first, cores = start(), os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(cores)})
        second = start()
    finally:
        os.sched_setaffinity(0, cores)
    code = "import os; print(len(os.sched_getaffinity(0)))"
    assert [first.run(code), second.run(code)] == [str(len(cores)), "1"]


@pytest.mark.parametrize("request_", [b"", b"5\n", b"[" * 200_000 + b"\n"])
def test_a_request_that_makes_no_sense_ends_itself_only(start, request_):
    before = preloaded_of(start())
    ours, other = socket.socketpair()
    with ours, other:
        channel = owner.current().channel
        socket.send_fds(channel, [b"k"], [other.fileno(), 1, 2])
        ours.sendall(request_)
        ours.shutdown(socket.SHUT_WR)
    assert preloaded_of(start()) == before


def test_umask_is_that_of_who_asks(start, tmp_path):
    before = os.umask(0o077)
    try:
        kernel = start(cwd=str(tmp_path))
    finally:
        os.umask(before)
    kernel.run("open('private', 'w').close()")
    assert (tmp_path / "private").stat().st_mode & 0o777 == 0o600


def test_cold_kernels_where_forking_is_not_possible(start, monkeypatch, caplog):
    monkeypatch.setenv("COURSE_WARM", "0")
    with caplog.at_level("INFO"):
        kernel = start()
    assert isinstance(kernel.process, subprocess.Popen)
    assert "A cold kernel is started: COURSE_WARM=0" in caplog.text
    assert not [r for r in caplog.records if r.levelname == "WARNING" and "cold" in r.message]
    assert kernel.run("print(1)") == "1"


def test_cold_kernels_where_a_package_cannot_be_imported(
    nobody, start, tmp_path, monkeypatch, caplog
):
    (tmp_path / "seaborn.py").write_text("raise ImportError('broken on purpose')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    owner.begin(patient=True)
    with caplog.at_level("INFO"):
        kernel = start()
    assert isinstance(kernel.process, subprocess.Popen)
    (said,) = [r for r in caplog.records if "cold kernel" in r.message]
    assert said.levelname == "WARNING"
    assert "ImportError: broken on purpose" in said.message
    assert kernel.run("print(1)") == "1"


def test_other_commands_are_started_as_they_are(start, tmp_path, monkeypatch):
    spec = json.loads((Path(sys.prefix) / "share/jupyter/kernels/python3/kernel.json").read_text())
    spec["argv"][0] = shutil.which("env")
    spec["argv"].insert(1, sys.executable)
    (tmp_path / "kernels" / "python3").mkdir(parents=True)
    (tmp_path / "kernels" / "python3" / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path))
    kernel = start()
    assert isinstance(kernel.process, subprocess.Popen)


def test_kernelspec_is_that_of_this_environment(tmp_path):
    folder = tmp_path / "share" / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    before = {"argv": ["python"], "metadata": {"debugger": True}}
    (folder / "kernel.json").write_text(json.dumps(before))
    for _ in range(2):
        path = install.install(tmp_path)
    assert (tmp_path / "etc/jupyter/jupyter_server_config.d/course.json").is_file()
    spec = json.loads(path.read_text())
    assert spec["metadata"] == {
        "debugger": True,
        "kernel_provisioner": {"provisioner_name": "course-warm"},
    }


def notebook(path: Path, *cells: str) -> Path:
    content = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbformat.write(content, path)
    return path


def test_runs_are_warm(tmp_path):
    code = "import os\nfrom helpers.runs import record\nrecord(parent=os.getppid())"
    paths = [notebook(tmp_path / f"{n}.ipynb", code) for n in (1, 2)]
    first, second = (run_notebook(Run(read_notebook(path)), tmp_path / "out") for path in paths)
    assert (first["error"], second["error"]) == (None, None)
    assert first["metrics"] == second["metrics"]
    assert "preload" in " ".join(psutil.Process(first["metrics"]["parent"]).cmdline())


PLOT = "import matplotlib.pyplot as plt\nplt.plot([1, 3, 2])\nplt.show()"


def pictures(path: Path) -> int:
    cells = nbformat.read(path, as_version=4).cells
    return sum("image/png" in o.get("data", {}) for cell in cells for o in cell.outputs)


def test_a_plain_plot_is_shown_by_every_way_of_running(start, tmp_path):
    assert isinstance(start().process, ForkedProcess)
    path = notebook(tmp_path / "plot.ipynb", PLOT)
    assert run_notebook(Run(read_notebook(path)), tmp_path / "run")["error"] is None
    assert pictures(tmp_path / "run" / "plot.ipynb") == 1
    assert "data:image/png" in (tmp_path / "run" / "plot.html").read_text()
    papermill.execute_notebook(
        path, tmp_path / "papermill.ipynb", kernel_name="python3", progress_bar=False
    )
    assert pictures(tmp_path / "papermill.ipynb") == 1


@pytest.mark.parametrize("shown", [True, False])
def test_nbval_sees_a_plain_plot(tmp_path, shown):
    path = notebook(tmp_path / "plot.ipynb", PLOT)
    content = nbformat.read(path, as_version=4)
    plot = {"image/png": "", "text/plain": "<Figure size 640x480 with 1 Axes>"}
    content.cells[0].execution_count = 1
    content.cells[0].outputs = [nbformat.v4.new_output("display_data", plot)] if shown else []
    nbformat.write(content, path)
    (tmp_path / "conftest.py").write_text(
        "from helpers.warm_kernels import owner\nowner.begin(patient=True)\nowner._asked = True"
    )
    command = [sys.executable, "-m", "pytest", "--nbval", "-p", "no:cacheprovider", str(path)]
    # Where a kernel dies as it starts, nbval waits for it for ever.
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240)
    assert done.returncode == (0 if shown else 1), done.stdout


def test_a_run_s_kernel_ends_when_it_is_asked_to_and_leaves_no_thread(tmp_path, monkeypatch):
    asked_again = []
    terminate = WarmProvisioner.terminate

    async def note(self, **options):
        asked_again.append(self.pid)
        await terminate(self, **options)

    monkeypatch.setattr(WarmProvisioner, "terminate", note)
    path = notebook(tmp_path / "short.ipynb", "from helpers.runs import record\nrecord(x=1)")
    before = threading.active_count()
    for _ in range(20):  # in a race with its own threads one in five did not
        assert run_notebook(Run(read_notebook(path)), tmp_path / "out")["error"] is None
    assert not asked_again
    assert threading.active_count() <= before


def test_a_dead_forked_kernel_is_a_failed_run(tmp_path):
    path = notebook(
        tmp_path / "dead.ipynb", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    )
    result = run_notebook(Run(read_notebook(path)), tmp_path / "out")
    assert result["error"] == "the kernel died (out of memory, or killed)"


def test_interrupted_runs_leave_no_kernel(tmp_path):
    code = (
        "import os, subprocess, time\nchild = subprocess.Popen(['sleep', '600'])\n"
        "open('pids', 'w').write(f'{os.getpid()} {child.pid}\\n')\ntime.sleep(600)"
    )
    path = notebook(tmp_path / "slow.ipynb", code)
    command = [sys.executable, "-m", "helpers", "run", str(path), "--out", str(tmp_path / "out")]
    course = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    pids = tmp_path / "pids"
    while not (pids.exists() and pids.read_text().endswith("\n")):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    course.send_signal(signal.SIGINT)
    assert course.wait(90) == 130
    assert all(gone(int(pid)) for pid in pids.read_text().split())
    (row,) = json.loads((tmp_path / "out" / "results.json").read_text())
    assert row["status"] == "interrupted"
