"""The errors that a user is meant to read: what was found, what was expected, what to do."""

import difflib
from collections.abc import Iterable


class CourseError(Exception):
    """An error whose message is one readable line; the command line prints it without traceback."""


class DatasetError(CourseError, ValueError):
    """A dataset that is damaged, malformed or unknown."""


class DatasetUnavailable(DatasetError):
    """A known dataset that cannot be had here and now: not on disk, and no download."""


class WeightsError(CourseError):
    """Weights that are damaged or belong to another network."""


class WeightsUnavailable(WeightsError, DatasetUnavailable):
    """Weights that cannot be had here and now: not on disk, and no download. A note says more."""


class ParameterError(CourseError, ValueError):
    """A notebook parameter that does not exist or has the wrong type."""


def nearest(name: str, names: Iterable[str]) -> str:
    """Return ``" Did you mean 'x'?"`` for the candidate nearest to ``name``, or ``""``."""
    match = difflib.get_close_matches(name, list(names), n=1, cutoff=0.5)
    return f" Did you mean {match[0]!r}?" if match else ""
