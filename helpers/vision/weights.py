"""Weights of ImageNet networks, brought into a network of Keras."""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import keras

from helpers.datasets import catalog
from helpers.datasets.weights import find
from helpers.errors import CourseError, WeightsError

_BUILDING = threading.Lock()


def build(builder: Callable[..., keras.Model], weights: str | Path | None, **options: Any) -> Any:
    """Build a network of ``keras.applications`` with weights, or with random ones (None).

    Keras knows the file that it wants, where it is and its digest; ``find`` gets it.

    Raises
    ------
    WeightsError
        If the weights cannot be had or read, or are another network's.
    """
    if weights is None or weights == "imagenet":
        with _BUILDING, _files_from(builder, partial(find, network=builder.__name__)):
            return _built(builder, weights, **options)
    path = catalog.existing(weights)
    if path is None or path.is_dir():
        found = "no such file" if path is None else "a folder"
        raise WeightsError(
            f"weights={str(weights)!r}: {found}; expected 'imagenet', None or the path of an .h5 "
            "file"
        )
    return _built(builder, str(path), **options)


@contextmanager
def _files_from(builder: Callable[..., Any], source: Callable[..., Path]) -> Iterator[None]:
    """Let Keras take its files from ``source``.

    Its own ``get_file`` begins anew after a break, writes in place, and knows no shared folder.
    """
    utils = getattr(sys.modules[builder.__module__], "file_utils", None)
    if utils is None:  # its weights are installed with the course
        yield
        return
    original = utils.get_file

    def get_file(
        fname: str, origin: str, file_hash: str | None = None, **_: Any
    ) -> str:  # the names of Keras
        return str(source(fname, origin, file_hash))

    utils.get_file = get_file
    try:
        yield
    finally:
        utils.get_file = original


def _built(builder: Callable[..., keras.Model], weights: str | None, **options: Any) -> keras.Model:
    try:
        return builder(weights=weights, classifier_activation=None, **options)
    except WeightsError:
        raise
    except (OSError, ValueError, TypeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        if weights is None or weights == "imagenet":
            raise CourseError(f"{builder.__name__} cannot be built: {reason}") from error
        raise WeightsError(
            f"{weights}: no weights of {builder.__name__}, or damaged ({reason}); expected the .h5 "
            "file of exactly this network"
        ) from error
