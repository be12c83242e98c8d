"""A Dask cluster, started by somebody else, that executes runs."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from helpers.errors import CourseError

if TYPE_CHECKING:
    from distributed import Client

JOINING = 60  # seconds within which the first worker has to be there
ANSWERING = 10  # seconds for the scheduler to answer


@contextlib.contextmanager
def connected(scheduler: str) -> "Iterator[Client]":
    """Connect to a scheduler that has a worker.

    Raises
    ------
    CourseError
        If there is none within a minute.
    """
    import dask

    # Read when distributed is imported.
    dask.config.set({"logging": {"distributed": "critical"}})
    from distributed import Client

    try:
        client = Client(scheduler, timeout=ANSWERING)
    except (OSError, ValueError, TypeError) as error:  # the last one for want of a certificate
        raise CourseError(
            f"No Dask scheduler answers at {scheduler!r} ({error}); expected an address such as "
            "tcp://127.0.0.1:8786"
        ) from None
    with client:
        try:
            client.wait_for_workers(1, timeout=JOINING)
        except TimeoutError:
            raise CourseError(
                f"The scheduler at {scheduler} has no worker after {JOINING} s; start some"
            ) from None
        yield client


def count_threads(client: "Client") -> int:
    """Return how many runs the workers execute at a time, all together."""
    return sum(client.nthreads().values())
