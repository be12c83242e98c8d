"""One file from which a training goes on exactly where it was."""

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.hardware import flat_layers
from helpers.training.distribution import is_chief

# Names that Keras counts up anew in every process, and what only repeats the layers.
IGNORED = {"name", "inbound_nodes", "input_layers", "output_layers", "layers", "build_config"}


class CheckpointError(CourseError):
    """A checkpoint that is damaged, or that another training has written."""


class Checkpoint:
    """The state of a training, saved whole or not at all.

    Parameters
    ----------
    path
        The file, by convention ``*.npz``.
    configuration
        What makes the training the one it is; a file with another one is refused.
    variables
        Everything that training changes: weights, optimizer, metrics, random states.
    callbacks
        Keras callbacks, whose simple attributes are part of the state.
    """

    def __init__(
        self,
        path: str | Path,
        configuration: dict[str, Any],
        variables: Sequence[Any],
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        self._path = Path(path)
        self._configuration = json.loads(json.dumps(_without_names(configuration), default=str))
        self._variables, self._callbacks = variables, callbacks
        if self._path.is_dir():
            raise CheckpointError(f"{path} is a folder; expected the name of a file")

    def save(self, position: dict[str, Any]) -> None:
        """Write the state, and where the training stands.

        Of several machines the first one writes, but all have to call: they read metrics together.
        """
        arrays = {f"v{i}": _numpy(v) for i, v in enumerate(self._variables)}
        states = []
        for number, callback in enumerate(self._callbacks):
            simple, arrays_of = _callback_state(callback)
            states.append(simple)
            arrays |= {f"c{number}.{name}": a for name, a in arrays_of.items()}
        content = {"configuration": self._configuration, "position": position, "callbacks": states}
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(content)), **arrays)
        if is_chief():
            write_atomically(self._path, buffer.getvalue())

    def load(self) -> dict[str, Any] | None:
        """Take up the saved state and return where the training stood; None without a file.

        Raises
        ------
        CheckpointError
            If the file is damaged or belongs to another training; nothing is changed then.
        """
        for stale in self._path.parent.glob(f".{self._path.name}.*"):
            stale.unlink(missing_ok=True)  # of a training that was killed while it wrote
        if not self._path.exists():
            return None
        content, arrays = self._read()
        self._compare(content["configuration"])
        for i, variable in enumerate(self._variables):
            variable.assign(arrays[f"v{i}"])
        for number, callback in enumerate(self._callbacks):
            prefix = f"c{number}."
            own = {k.removeprefix(prefix): a for k, a in arrays.items() if k.startswith(prefix)}
            vars(callback).update(content["callbacks"][number] | _lists(own))
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
                raise CheckpointError(
                    f"{self._path} is the checkpoint of another training: {key} was "
                    f"{_short(was)}, now it is {_short(now)}; use the same {key}, another file, "
                    "or delete this one"
                )


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable))


def _callback_state(callback: Any) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    simple, arrays = {}, {}
    for name, value in vars(callback).items():
        if name in ("_model", "params", "validation_data"):
            continue
        if isinstance(value, np.generic):
            value = value.item()
        if value is None or isinstance(value, bool | int | float | str):
            simple[name] = value
        elif isinstance(value, list) and all(isinstance(a, np.ndarray) for a in value):
            arrays |= {f"{name}.{i:06}": a for i, a in enumerate(value)}
    return simple, arrays


def _lists(arrays: dict[str, np.ndarray]) -> dict[str, list[np.ndarray]]:
    lists: dict[str, list[np.ndarray]] = {}
    for key in sorted(arrays):
        lists.setdefault(key.rpartition(".")[0], []).append(arrays[key])
    return lists


def describe_model(model: keras.Model) -> str:
    """Return a digest of a model's layers and shapes, without the names of its layers."""
    layers = [
        [type(x).__name__, _without_names(x.get_config()), [v.shape for v in x.variables]]
        for x in flat_layers(model)
    ]
    return _digest(json.dumps(layers, default=str))


def _without_names(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _without_names(v) for k, v in config.items() if k not in IGNORED}
    return [_without_names(v) for v in config] if isinstance(config, list | tuple) else config


def describe_data(source: Any) -> str:
    """Return a digest of arrays, or the shape of a stream."""
    if isinstance(source, tf.data.Dataset):
        return str(source.element_spec)
    digest = hashlib.blake2b(digest_size=8)
    for array in keras.tree.flatten(source):
        digest.update(str((array.dtype, array.shape)).encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).data)
    return digest.hexdigest()


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
