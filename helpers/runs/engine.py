"""Have runs executed, on this machine or on a Dask cluster, and hear of each as it ends."""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError, Executor, Future
from typing import Any

from helpers.errors import CourseError
from helpers.runs.cluster import connected, count_threads
from helpers.runs.executor import Interrupted, LocalExecutor, as_completed, default_jobs
from helpers.runs.notebook import Notebook
from helpers.runs.progress import Progress
from helpers.runs.results import FAILED, Run, RunResult, result_of
from helpers.warm_kernels.owner import begin_for


def run_all(
    runs: Sequence[Run],
    results: dict[str, RunResult],
    work: Callable[..., RunResult],
    bar: Progress,
    *,
    jobs: int | None = None,
    scheduler: str | None = None,
    on_result: Callable[[], object] = lambda: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> None:
    """Have every run executed.

    Parameters
    ----------
    runs
        With their keys.
    results
        Gets the result of each run under its key, as soon as it has ended; also of one that has
        ended while an exception, such as Ctrl-C, kept it from being heard of.
    work
        Called with a run, in a thread of this machine with its ``share=`` too.
    bar
        Is told what happens.
    jobs, scheduler, meanwhile
        See ``executor_for``.
    on_result
        Called after each result.

    Raises
    ------
    CourseError
        If the scheduler cannot be reached, or goes away.
    """
    calls: dict[Future[RunResult], Run] = {}
    notebooks = [run.notebook for run in runs]
    try:
        with executor_for(scheduler, jobs, len(runs), bar, notebooks, meanwhile) as (executor, _):
            for run in runs:
                calls[executor.submit(work, run)] = run
            for call in as_completed(calls):
                results[calls[call].key] = collect(call, calls[call])
                bar.ended(results[calls[call].key])
                on_result()
    finally:
        for call, run in calls.items():
            if run.key not in results and call.done() and not _was_stopped(call):
                results[run.key] = collect(call, run)


@contextlib.contextmanager
def executor_for(
    scheduler: str | None,
    jobs: int | None,
    most: int,
    bar: Progress,
    notebooks: Sequence[Notebook],
    meanwhile: Callable[[], object] = lambda: None,
) -> Iterator[tuple[Executor, int]]:
    """Yield what executes runs, and how many it executes at a time: ``most`` at most.

    Parameters
    ----------
    scheduler
        Address of a Dask scheduler, whose workers say how many; None for this machine.
    jobs
        Runs at a time on this machine; by default one for each GPU, else one for each core.
    bar
        Is told how many, and closed at the end.
    notebooks
        What is run. Where one of them needs Keras, kernels wait until it is imported beforehand.
    meanwhile
        Called in a thread of its own, whose end is waited for.
    """
    try:
        if scheduler is None:
            width = max(1, min(jobs or default_jobs(), most))
            begin_for("\n".join(notebook.code) for notebook in notebooks)
            with _beside(meanwhile), LocalExecutor(width, bar.cell) as executor:
                bar.started(width)
                yield executor, width
            return
        with connected(scheduler) as client, _beside(meanwhile):
            width = max(1, min(count_threads(client), most))
            executor = client.get_executor(pure=False)
            bar.started(width, client.dashboard_link)
            try:
                yield executor, width
            finally:
                executor.shutdown(wait=False)
    finally:
        bar.close()


@contextlib.contextmanager
def _beside(function: Callable[[], object]) -> Iterator[None]:
    thread = threading.Thread(target=function, daemon=True)
    thread.start()
    try:
        yield
    finally:
        try:
            thread.join()
        finally:  # also after an interrupt
            thread.join()


def collect(call: Future[RunResult], run: Run) -> RunResult:
    """Return the result of a run that has ended; a failure where its workers died.

    Raises
    ------
    CourseError
        If the scheduler has gone.
    Interrupted
        If the run was ended before it had done its work.
    """
    try:
        return call.result()
    except Interrupted:
        raise
    except CancelledError:
        raise CourseError(
            "The scheduler has gone; what has succeeded is kept: start one, and the sweep again"
        ) from None
    except Exception as error:
        return result_of(run, FAILED, f"{type(error).__name__}: {error}")


def _was_stopped(call: Future[Any]) -> bool:
    """Tell whether a call was stopped before it had a result."""
    return call.cancelled() or isinstance(call.exception(), Interrupted)
