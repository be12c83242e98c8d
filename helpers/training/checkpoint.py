"""One file from which a training goes on after its last whole epoch, exactly."""

import inspect
import io
import json
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from keras import callbacks as known

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.layers import flat_layers

FORMAT = 3
# What a callback of Keras remembers from one epoch to the next. A test holds on to the names.
REMEMBERED: dict[type, tuple[str, ...]] = {
    known.EarlyStopping: ("wait", "best", "best_epoch", "stopped_epoch", "best_weights"),
    known.ReduceLROnPlateau: ("wait", "best", "cooldown_counter"),
    known.ModelCheckpoint: ("best", "_batches_seen_since_last_saving"),
    known.SwapEMAWeights: ("_ema_weights_in_model",),
    known.CSVLogger: (),
}
FORGETFUL = (known.LearningRateScheduler, known.LambdaCallback, known.TerminateOnNaN)
SIMPLE = (bool, int, float, str, type(None))
# Names that Keras counts up anew in every process, and what only repeats the layers.
IGNORED = {"name", "inbound_nodes", "input_layers", "output_layers", "layers", "build_config"}
# What a callback is told of a file may change.
FILES = {"append", "filepath", "filename"}


class CheckpointError(CourseError):
    """A checkpoint that is damaged, or that another training has written."""


class Checkpoint(keras.callbacks.Callback):
    """Saves all that changes after every epoch, whole or not at all, and takes it up again.

    It has to be the last callback: the others have then begun, or have seen the epoch.
    ``configuration`` makes the training this one and no other; ``variables`` change; ``rows``, the
    results of each epoch, are shared with whoever adds them.
    """

    def __init__(
        self, path: str | Path, configuration: dict[str, Any], variables: list[keras.Variable],
        callbacks: list[keras.callbacks.Callback], rows: list[dict[str, Any]],
    ) -> None:  # fmt: skip
        super().__init__()
        self._path, self._variables, self._rows = Path(path), variables, rows
        self._callbacks, self._found = _by_class(callbacks), None
        self._configuration = describe(
            configuration
            | {
                "callbacks": {name: _settings(c) for name, c in self._callbacks.items()},
                "variables": [[str(v.dtype), *v.shape] for v in variables],
                "Keras": keras.__version__,
                "TensorFlow": tf.__version__,
            }
        )

    def read(self, epochs: int) -> int:
        """Return how many epochs are done; a file that is damaged, or another's, is refused."""
        for stale in self._path.parent.glob(f".{self._path.name}.*"):
            stale.unlink(missing_ok=True)  # of a training that was killed while it wrote
        if not self._path.exists():
            return 0
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            content = json.loads(str(arrays["about"]))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self._path} is a folder or no checkpoint of this course, or it is damaged "
                f"({error}); delete it to train anew, or name another file"
            ) from None
        if content.get("format") != FORMAT:
            raise CheckpointError(
                f"{self._path} was written by another version of the course, and its training can "
                "go on with that version only: name another file, or delete this one to train anew"
            )
        self._compare(content["configuration"])
        self._found = content, arrays
        for callback in self._callbacks.values():
            if isinstance(callback, known.CSVLogger):
                callback.append = True  # else it would begin its file anew
        return epochs if content["stopped"] else content["epoch"]

    def _compare(self, found: dict[str, Any]) -> None:
        key, was, now = "", found, self._configuration
        while isinstance(was, dict) and isinstance(now, dict) and was != now:
            inner = next(k for k in [*now, *was] if was.get(k) != now.get(k))
            key, was, now = f"{key} {inner}".strip(), was.get(inner), now.get(inner)
        if was != now:
            was, now = (t if len(t) <= 60 else t[:57] + "…" for t in (str(was), str(now)))
            raise CheckpointError(
                f"{self._path} is the checkpoint of another training: {key} was {was}, now it "
                f"is {now}; use the same {key}, another file, or delete this one"
            )

    def on_train_begin(self, logs: Any = None) -> None:
        """Take up what was saved."""
        if self._found is None:
            return
        content, arrays = self._found
        for number, variable in enumerate(self._variables):
            variable.assign(arrays[f"variable {number}"])
        for callback, key, name in self._memories():
            values = [array for other, array in arrays.items() if other.startswith(f"{name} ")]
            if name in arrays:
                setattr(callback, key, arrays[name].item())
            elif values:
                setattr(callback, key, values)
        self._rows[:] = content["rows"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the file."""
        arrays = {f"variable {i}": _storable(v) for i, v in enumerate(self._variables)}
        for callback, key, name in self._memories():
            value = getattr(callback, key)
            if isinstance(value, list):
                arrays |= {f"{name} {i}": array for i, array in enumerate(value)}
            elif value is not None:  # with which a callback begins
                arrays[name] = value
        content = {
            "format": FORMAT, "configuration": self._configuration, "epoch": epoch + 1,
            "stopped": self.model.stop_training, "rows": self._rows,
        }  # fmt: skip
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(content)), **arrays)
        write_atomically(self._path, buffer.getvalue())

    def _memories(self) -> Iterator[tuple[known.Callback, str, str]]:
        """Yield callbacks, the attributes that they remember, and names for these in the file."""
        for name, callback in self._callbacks.items():
            for key in REMEMBERED[type(callback)]:
                yield callback, key, f"{name}.{key}"


def _storable(variable: keras.Variable) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable)
    return array.astype("float32") if variable.dtype == "bfloat16" else array  # NumPy has none


def _by_class(callbacks: list[Any]) -> dict[str, Any]:
    """Name the callbacks that remember something; warn of those whose memory is not known."""
    found: dict[str, Any] = {}
    for callback in callbacks:
        name = type(callback).__name__
        bare = isinstance(callback, FORGETFUL) or set(vars(callback)) <= set(vars(known.Callback()))
        if type(callback) in REMEMBERED:
            while name in found:
                name += " again"
            found[name] = callback
        elif not bare:
            warnings.warn(
                f"A checkpoint does not keep what {name} remembers: after a resume it begins anew",
                stacklevel=4,
            )
    return found


def _settings(callback: Any) -> dict[str, Any]:
    """Return the attributes that a callback was made with, not those that training changes."""
    names = inspect.signature(type(callback).__init__).parameters.keys() - FILES
    return {k: v for k, v in vars(callback).items() if k in names and isinstance(v, SIMPLE)}


def describe(thing: Any) -> Any:
    """Return, as JSON has it, what tells data, a loss, an augmentation … from another.

    It is the same in every process: there are no addresses in it, and no counters.
    """
    if isinstance(thing, dict):
        return {str(key): describe(value) for key, value in thing.items() if key not in IGNORED}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype}{thing.shape} {joblib.hash(thing)}"
    if isinstance(thing, tf.data.Dataset):
        return f"{thing.element_spec}, {int(thing.cardinality())} batches"
    if isinstance(thing, keras.Model):
        forms = [[_configured(x), [v.shape for v in x.variables]] for x in flat_layers(thing)]
        return joblib.hash(describe(forms))
    if callable(thing) or hasattr(thing, "get_config"):
        return describe(_configured(thing))
    thing = thing.item() if isinstance(thing, np.generic) else thing
    return thing if isinstance(thing, SIMPLE) else type(thing).__name__


def _configured(thing: Any) -> dict[str, Any]:
    name = getattr(thing, "__qualname__", type(thing).__name__)
    try:
        return {"class": name} | thing.get_config()
    except (AttributeError, NotImplementedError, TypeError):  # a function, or one without
        return {"class": name}
