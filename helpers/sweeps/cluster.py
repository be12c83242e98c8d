"""Where the runs of a sweep are executed: workers of this machine, or of a cluster."""

import contextlib
import math
import multiprocessing
import os
import tempfile
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError
from helpers.hardware.detection import Hardware, detect
from helpers.warm_kernels.connection import preloading

if TYPE_CHECKING:
    from distributed import Client

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
# A worker mostly waits for the kernels of its runs, and imports only once what it needs for them;
# itself it computes 0.06 s for a short run, and no two of those at the same time.
RUNS_PER_WORKER = 4
RUN_MEMORY = 2 * 2**30  # bytes; the course's own notebooks need up to 1.5 GB
GUARD = "in a script, call it under `if __name__ == '__main__':`"
STARTS = 3  # tries to start the workers
JOINING = 60  # seconds within which the first worker of a cluster has to be there


@contextlib.contextmanager
def connected(scheduler: str | None, jobs: int) -> "Iterator[Client]":
    """Connect to a scheduler, or to workers of this machine that end with the sweep."""
    import dask

    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise CourseError("A worker came to the call that started it; " + GUARD)
    # Read when distributed is imported, here and in its workers.
    dask.config.set({"logging": {"distributed": "critical"}})
    from distributed import Client

    settings = {
        # A killed worker is no fault of the run that it happened to execute.
        "distributed.scheduler.allowed-failures": 10,
        "distributed.worker.daemon": False,
        # It looks at every thread a hundred times a second, and before Python 3.11.9 that may meet
        # the garbage collector in a deadlock (CPython's issue 106883): one run in a thousand hung.
        "distributed.worker.profile.enabled": False,
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "critical",
    }
    if scheduler is not None:
        with dask.config.set(settings), _remote(scheduler) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        preloading(),
        _environment_kept(),
        dask.config.set(settings),
        _local_cluster(jobs, folder) as cluster,
        Client(cluster) as client,
    ):
        yield client


@contextlib.contextmanager
def _environment_kept() -> Iterator[None]:
    """Undo what Dask does to this process while it starts its workers, such as one thread only."""
    before = os.environ.copy()
    try:
        yield
    finally:
        for name in os.environ.keys() - before.keys():
            del os.environ[name]
        os.environ.update(before)


def _remote(scheduler: str) -> "Client":
    from distributed import Client

    try:
        client = Client(scheduler, timeout=10)
    except (OSError, ValueError) as error:
        raise CourseError(
            f"No Dask scheduler answers at {scheduler!r} ({error}); expected an address such as "
            "tcp://127.0.0.1:8786"
        ) from None
    try:
        client.wait_for_workers(1, timeout=JOINING)
    except TimeoutError:
        client.close()
        raise CourseError(
            f"The scheduler at {scheduler} has no worker after {JOINING} s; start some"
        ) from None
    return client


def _local_cluster(jobs: int, folder: str) -> Any:
    from distributed import Nanny, Scheduler
    from distributed.deploy.spec import SpecCluster

    shared = {
        "memory_limit": 0, "local_directory": folder, "host": "127.0.0.1", "dashboard": False,
    }  # fmt: skip
    workers = {
        number: {"cls": Nanny, "options": {**shared, "nthreads": runs, "env": env}}
        for number, (runs, env) in enumerate(share(jobs, detect()))
    }
    options = {"host": "127.0.0.1", "dashboard_address": "127.0.0.1:0", "protocol": "tcp://"}
    for attempt in range(STARTS):
        try:
            return SpecCluster(workers=workers, scheduler={"cls": Scheduler, "options": options})
        except RuntimeError as error:  # a worker was killed before it had started
            if attempt == STARTS - 1:
                raise CourseError(
                    f"The workers of the sweep did not start ({error}); {GUARD}"
                ) from error
    raise AssertionError("unreachable")


def default_jobs() -> int:
    """Return one run for each GPU, else one for each core that has memory enough.

    Runs of one thread side by side are quicker than one run of many threads, much of which
    (imports, tracing, pictures) uses one core only.
    """
    machine = detect()
    return len(machine.gpus) or max(1, min(machine.cores, machine.memory // RUN_MEMORY))


def share(jobs: int, machine: Hardware) -> list[tuple[int, dict[str, str]]]:
    """Share a machine between workers: for each the runs at a time, and their environment.

    A worker has a GPU of its own, else the threads are divided between the runs: two at a time,
    each with a thread for every core, would be slower than one after the other.
    """
    env = dict.fromkeys(THREADS, str(max(1, machine.cores // jobs)))
    if not machine.gpus:
        count = math.ceil(jobs / RUNS_PER_WORKER)
        return [(len(range(number, jobs, count)), env) for number in range(count)]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    devices = allowed.split(",") if allowed else list(map(str, range(len(machine.gpus))))
    return [
        (1, env | {"CUDA_VISIBLE_DEVICES": devices[number % len(devices)]})
        for number in range(jobs)
    ]
