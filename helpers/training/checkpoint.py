"""One file from which a training goes on exactly where it was."""

import inspect
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from helpers import hardware
from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.layers import name_of, plain

SIMPLE = (bool, int, float, str, type(None))


class CheckpointError(CourseError):
    """A checkpoint that is damaged, or that another training has written."""


class Checkpoint:
    """The state of a training, saved whole or not at all: variables by path, simple attributes of
    callbacks, and the configuration, without which it is refused.
    """

    def __init__(
        self,
        path: str | Path,
        configuration: dict[str, Any],
        variables: dict[str, Any],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self._path = Path(path)
        if self._path.is_dir():
            raise CheckpointError(f"{path} is a folder; expected the name of a file")
        self._variables, self._callbacks = variables, _by_class(callbacks)
        settings = {name: _settings(callback) for name, callback in self._callbacks.items()}
        forms = {name: [str(v.dtype), *v.shape] for name, v in variables.items()}
        whole = configuration | {"callbacks": settings, "variables": forms}
        self._configuration = json.loads(json.dumps(plain(whole), default=name_of))

    def save(self, position: dict[str, Any]) -> None:
        """Write the state, and where the training stands.

        Of several machines the first one writes, but all have to call: they read metrics together.
        """
        arrays = {f"v {name}": keras.ops.convert_to_numpy(v) for name, v in self._variables.items()}
        states = {}
        for name, callback in self._callbacks.items():
            states[name], lists = _state(callback)
            arrays |= {f"c {name} {key}": a for key, a in lists.items()}
        content = {"configuration": self._configuration, "position": position, "callbacks": states}
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(content)), **arrays)
        if hardware.is_chief():
            write_atomically(self._path, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """Take up the saved state and return where the training stood; None without a file.

        A file that is damaged, or another training's, is refused before anything changes.
        """
        for stale in self._path.parent.glob(f".{self._path.name}.*"):
            stale.unlink(missing_ok=True)  # of a training that was killed while it wrote
        if not self._path.exists():
            return None
        content, arrays = self._read()
        self._compare(content["configuration"])
        for name, variable in self._variables.items():
            variable.assign(arrays[f"v {name}"])
        for name, callback in self._callbacks.items():
            lists: dict[str, list[np.ndarray]] = {}
            for key in sorted(k for k in arrays if k.startswith(f"c {name} ")):
                attribute = key.removeprefix(f"c {name} ").rpartition(".")[0]
                lists.setdefault(attribute, []).append(arrays[key])
            vars(callback).update(content["callbacks"][name] | lists)
        return content["position"]

    def _read(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return json.loads(str(arrays.pop("about"))), arrays
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self._path} is not a checkpoint of this course, or it is damaged ({error}); "
                "delete it to train anew, or name another file"
            ) from None

    def _compare(self, found: dict[str, Any]) -> None:
        for key, wanted in self._configuration.items():
            was, now = found.get(key), wanted
            while isinstance(was, dict) and isinstance(now, dict) and was != now:
                inner = next(k for k in [*now, *was] if was.get(k) != now.get(k))
                key, was, now = f"{key} {inner}", was.get(inner), now.get(inner)
            if was != now:
                was, now = (t if len(t) <= 60 else t[:57] + "…" for t in (str(was), str(now)))
                raise CheckpointError(
                    f"{self._path} is the checkpoint of another training: {key} was {was}, now it "
                    f"is {now}; use the same {key}, another file, or delete this one"
                )


def _by_class(callbacks: Sequence[Any]) -> dict[str, Any]:
    """Name the callbacks that have a state; others, such as a LambdaCallback, may come and go."""
    found: dict[str, Any] = {}
    for callback in callbacks:
        if any(_state(callback)):
            name = type(callback).__name__
            equal = sum(type(other).__name__ == name for other in found.values())
            found[f"{name} {equal + 1}" if equal else name] = callback
    return found


def _settings(callback: Any) -> dict[str, Any]:
    """Return the attributes that a callback was made with, not those that training changes."""
    names = inspect.signature(type(callback).__init__).parameters
    return {k: v for k, v in vars(callback).items() if k in names and isinstance(v, SIMPLE)}


def _state(callback: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    simple, arrays = {}, {}
    for name, value in vars(callback).items():
        if name in ("_model", "params", "validation_data"):
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, SIMPLE):
            simple[name] = value
        elif isinstance(value, list) and all(isinstance(a, np.ndarray) for a in value):
            arrays |= {f"{name}.{i:06}": a for i, a in enumerate(value)}
    return simple, arrays
