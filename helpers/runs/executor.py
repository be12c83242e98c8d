"""Where runs are executed on this machine: threads, each with its share of the machine."""

import contextlib
import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from itertools import takewhile
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any

import psutil

from helpers.hardware import Hardware, detect
from helpers.warm_kernels.owner import current
from helpers.warm_kernels.provisioner import LIVING

if TYPE_CHECKING:
    from helpers.runs.results import Run

THREADS = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
)
LOOK_UP = 0.5  # seconds
OWN_DESCRIPTORS, RUN_DESCRIPTORS = 200, 40  # of this process; 30 were seen for a run
RUN_MEMORY = 2 * 2**30  # bytes; the course's own notebooks need up to 1.5 GB


class Interrupted(Exception):
    """A run was ended before it had done its work: it has no result."""


@dataclass(frozen=True)
class Share:
    """What a run has of its machine.

    Attributes
    ----------
    environment : dict
        Variables of its kernel, besides those of this process.
    stopping : Event
        Set when all runs are to end, and have no result.
    on_cell : callable
        Called with a run after each of its code cells.
    give_back : callable
        Lets the next run begin: this one has no kernel any more.
    """

    environment: dict[str, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    on_cell: "Callable[[Run], object]" = lambda _: None
    give_back: Callable[[], object] = lambda: None

    def require_going_on(self) -> None:
        """Raise ``Interrupted`` once all runs are to end."""
        if self.stopping.is_set():
            raise Interrupted


class LocalExecutor(ThreadPoolExecutor):
    """Calls functions with a share of the machine, ``jobs`` at a time, as ``share=``.

    Left by an exception, such as Ctrl-C, it kills the kernels that were started meanwhile, and
    waits until no call is left.
    """

    def __init__(self, jobs: int, on_cell: "Callable[[Run], object]" = lambda _: None) -> None:
        super().__init__(jobs + 1)  # one writes what it has found while the next one begins
        _allow_descriptors(jobs)
        self._stopping = threading.Event()
        self._shares: SimpleQueue[Share] = SimpleQueue()
        for environment in shares(jobs, detect()):
            self._shares.put(Share(environment, self._stopping, on_cell))
        self._calls: list[Future[Any]] = []
        self._active: set[object] = set()  # also those whose submission was interrupted
        self._before = {kernel.pid for kernel in _kernels()}

    def submit(self, function: Callable[..., Any], /, *args: Any, **options: Any) -> Future[Any]:
        """Call a function as soon as there is a share for it."""

        def call() -> Any:
            held, mark = [self._shares.get()], object()

            def give_back() -> None:
                if held:
                    self._shares.put(held.pop())

            self._active.add(mark)  # before the check: who ends all sets the event, then looks here
            try:
                held[0].require_going_on()
                return function(*args, **options, share=replace(held[0], give_back=give_back))
            finally:
                self._active.discard(mark)
                give_back()

        self._calls.append(super().submit(call))
        return self._calls[-1]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is not None:
            self._stopping.set()
            self.shutdown(wait=False, cancel_futures=True)
            while self._active or not all(call.done() for call in self._calls):
                with contextlib.suppress(KeyboardInterrupt):  # a second one: it is ending already
                    self._kill()
                    time.sleep(0.1)
        self.shutdown()

    def _kill(self) -> None:
        if (preloaded := current()) and not preloaded.ready:
            preloaded.process.kill()  # runs wait for it
        for kernel in _kernels():
            if kernel.pid not in self._before:
                with contextlib.suppress(Exception):
                    kernel.kill()


def _allow_descriptors(jobs: int) -> None:
    """Raise this process's limit of open files, where so many runs would reach it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OWN_DESCRIPTORS + jobs * RUN_DESCRIPTORS
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        warnings.warn(
            f"{jobs} runs at a time may need {wanted} open files, and {allowed} are allowed here: "
            "ask for fewer jobs if they fail",
            stacklevel=4,
        )


def as_completed(futures: Iterable[Future[Any]]) -> Iterator[Future[Any]]:
    """Yield calls as they end.

    The original waits without an end. A signal such as Ctrl-C may be delivered to another thread,
    which leaves the main one asleep; so this one looks up every now and then, and hears of it.
    """
    pending = set(futures)
    while pending:
        done, pending = wait(pending, timeout=LOOK_UP, return_when=FIRST_COMPLETED)
        yield from done


def _kernels() -> list[Any]:
    """Return the kernels of this process and all below it, without what forks kernels."""
    preloaded, found = current(), list(LIVING)
    own = preloaded.process.pid if preloaded else None
    with contextlib.suppress(psutil.Error, OSError):
        found += [p for p in psutil.Process().children(recursive=True) if p.pid != own]
    return found


def default_jobs() -> int:
    """Return one run for each GPU, else one for each core that has memory enough.

    Runs of one thread side by side are quicker than one run of many threads, much of which
    (imports, tracing, pictures) uses one core only.
    """
    machine = detect()
    return len(_gpus(machine)) or max(1, min(machine.cores, machine.memory // RUN_MEMORY))


def shares(jobs: int, machine: Hardware) -> list[dict[str, str]]:
    """Share a machine between so many runs at a time: return the environment of each.

    One run has all of it. Several have a GPU each, in turns where there are fewer, and equal parts
    of the threads: two runs, each with a thread for every core, take longer than one after the
    other (three times as long where OpenMP's threads wait).
    """
    if jobs == 1:
        return [{}]
    threads = dict.fromkeys(THREADS, str(max(1, machine.cores // jobs)))
    if not (gpus := _gpus(machine)):
        return [threads] * jobs
    return [threads | {"CUDA_VISIBLE_DEVICES": gpus[n % len(gpus)]} for n in range(jobs)]


def _gpus(machine: Hardware) -> list[str]:
    """Return the GPUs that this process may use, by their names in ``CUDA_VISIBLE_DEVICES``."""
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is None or not machine.gpus:
        return list(map(str, range(len(machine.gpus))))
    names = map(str.strip, allowed.split(","))
    return list(takewhile(lambda name: name not in ("", "-1"), names))  # as CUDA reads it
