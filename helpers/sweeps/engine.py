"""Execute the runs of a sweep on Dask, on this machine or on a cluster, and resume them."""

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError
from helpers.hardware.detection import Hardware, detect
from helpers.runs.parameters import read_parameters
from helpers.runs.results import SUCCEEDED, Run
from helpers.runs.select import find_notebooks
from helpers.runs.status import execute_kept, lost, read_status, run_key
from helpers.sweeps.grid import make_runs
from helpers.sweeps.table import write_table
from helpers.warm_kernels.connection import preloading

if TYPE_CHECKING:
    import pandas as pd
    from distributed import Client

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
JOINING = 60  # seconds within which the first worker of a cluster has to be there
WRITING = 5.0  # seconds between two versions of the table while runs end


def sweep(
    notebook: str | Path,
    grid: Mapping[str, Sequence[Any]] | Sequence[Mapping[str, Any]],
    fixed: Mapping[str, Any] | None = None,
    *,
    out: str | Path,
    repeat: int = 1,
    sample: int | None = None,
    seed: int = 0,
    jobs: int | None = None,
    scheduler: str | None = None,
    timeout: int | None = None,
    progress: bool = True,
) -> "pd.DataFrame":
    """Run a notebook over a grid of parameters.

    Each run gets a folder of its own in ``out/runs``, named by a digest of all that its result
    depends on. Called again, runs that have succeeded are kept and all others run again.

    Parameters
    ----------
    notebook
        A path, a name, or the beginning of a name such as ``"04"``.
    grid, fixed, repeat, sample, seed
        As of ``make_runs``.
    out
        Folder of the results; ``results.csv`` and ``results.json`` hold the table.
    jobs : int, optional
        Runs at a time on this machine: one for each GPU, else one for two cores.
    scheduler : str, optional
        Address of a Dask scheduler, such as ``"tcp://10.0.0.1:8786"``, whose workers see ``out``
        under the same path; instead of workers on this machine.
    timeout : int, optional
        Seconds that a single cell may take.
    progress : bool
        Whether to show a bar.

    Returns
    -------
    DataFrame
        A row a run: parameters, metrics, status, seconds, error.

    Raises
    ------
    ParameterError
        If a name or a value does not fit the notebook; nothing has started then.
    CourseError
        If the scheduler cannot be reached.
    """
    (path,) = find_notebooks([str(notebook)])
    runs = make_runs(path, grid, fixed, repeat=repeat, sample=sample, seed=seed)
    keyed = keyed_runs(runs)
    out = Path(out).resolve()
    folders = {key: out / "runs" / key for key in keyed}
    statuses = {key: status for key, folder in folders.items() if (status := succeeded(folder))}
    pending = {key: run for key, run in keyed.items() if key not in statuses}
    try:
        if pending:
            with _client(scheduler, min(jobs or default_jobs(), len(pending))) as client:
                _execute(client, pending, folders, statuses, timeout, progress)
    finally:
        ended = [statuses[key] for key in keyed if key in statuses]
        if ended:
            table = write_table(ended, out)
    return table


def keyed_runs(runs: Sequence[Run]) -> dict[str, Run]:
    """Return runs by their keys."""
    defaults = {
        name: parameter.default for name, parameter in read_parameters(runs[0].notebook).items()
    }
    return {run_key(run, defaults): run for run in runs}


def succeeded(folder: Path) -> dict[str, Any] | None:
    """Return the status of a run that need not run again."""
    status = read_status(folder)
    return status if status and status["status"] == SUCCEEDED else None


def _execute(
    client: "Client",
    pending: Mapping[str, Run],
    folders: Mapping[str, Path],
    statuses: dict[str, dict[str, Any]],
    timeout: int | None,
    progress: bool,
) -> None:
    """Run what is pending; put each status into ``statuses`` as soon as it has ended."""
    from distributed import as_completed
    from tqdm.auto import tqdm

    futures = {
        client.submit(
            execute_kept, str(run.notebook.resolve()), run.parameters, str(folders[key]), timeout,
            key=f"run-{key}", pure=False,
        ): key
        for key, run in pending.items()
    }  # fmt: skip
    out = folders[next(iter(pending))].parent.parent
    failed, written = 0, time.monotonic()
    with tqdm(total=len(statuses) + len(pending), initial=len(statuses), desc="Sweep", unit="run",
              disable=not progress) as bar:  # fmt: skip
        for future in as_completed(futures):
            key = futures[future]
            error = future.exception()
            if error is None:
                statuses[key] = future.result()
            else:
                statuses[key] = lost(key, pending[key], f"{type(error).__name__}: {error}")
            future.release()
            failed += statuses[key]["status"] != SUCCEEDED
            bar.set_postfix({"failed": failed}, refresh=False)
            bar.update()
            if time.monotonic() - written > WRITING:
                write_table(list(statuses.values()), out)
                written = time.monotonic()


@contextlib.contextmanager
def _client(scheduler: str | None, jobs: int) -> "Iterator[Client]":
    """Connect to a scheduler, or to workers of this machine that end with the sweep."""
    import dask

    # Read when distributed is imported, here and in its workers.
    dask.config.set({"logging": {"distributed": "error"}})
    from distributed import Client

    settings = {
        # A killed worker is no fault of the run that it happened to execute.
        "distributed.scheduler.allowed-failures": 10,
        "distributed.worker.daemon": False,
        "distributed.nanny.pre-spawn-environ.DASK_LOGGING__DISTRIBUTED": "error",
    }
    if scheduler is not None:
        with dask.config.set(settings), _remote(scheduler) as client:
            yield client
        return
    with (
        tempfile.TemporaryDirectory() as folder,
        preloading(),
        dask.config.set(settings),
        _local_cluster(jobs, folder) as cluster,
        Client(cluster) as client,
    ):
        yield client


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

    shared = {"nthreads": 1, "memory_limit": 0, "local_directory": folder, "host": "127.0.0.1"}
    return SpecCluster(
        workers={
            number: {"cls": Nanny, "options": {**shared, "env": env}}
            for number, env in enumerate(worker_environments(jobs, detect()))
        },
        scheduler={
            "cls": Scheduler,
            "options": {
                "host": "127.0.0.1",
                "dashboard_address": "127.0.0.1:0",
                "protocol": "tcp://",
            },
        },
    )


def default_jobs() -> int:
    """Return one run for each GPU, else one for two cores."""
    machine = detect()
    return len(machine.gpus) or max(1, machine.cores // 2)


def worker_environments(jobs: int, machine: Hardware) -> list[dict[str, str]]:
    """Share a machine between workers: a GPU for each, or the threads divided.

    Two runs at a time, each with a thread for every core, would be slower than one after the other.
    """
    threads = str(max(1, machine.cores // jobs))
    environments = []
    for number in range(jobs):
        env = dict.fromkeys(THREADS, threads)
        if machine.gpus:
            allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
            devices = allowed.split(",") if allowed else list(map(str, range(len(machine.gpus))))
            env["CUDA_VISIBLE_DEVICES"] = devices[number % len(devices)]
        environments.append(env)
    return environments
