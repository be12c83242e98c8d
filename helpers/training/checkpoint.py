"""One file from which a training goes on after its last whole epoch, exactly."""

import inspect
import io
import json
import warnings
import zipfile
from pathlib import Path
from typing import Any

import joblib
import keras
import numpy as np
import tensorflow as tf
from keras import callbacks as known

from helpers.errors import CourseError
from helpers.files import write_atomically
from helpers.layers import flat_layers, variables_by_path

FORMAT = 2
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


class CheckpointError(CourseError):
    """A checkpoint that is damaged, or that another training has written."""


class Checkpoint(keras.callbacks.Callback):
    """Saves all that changes after every epoch, whole or not at all, and takes it up again.

    It has to be the last callback: the others have then begun, or have seen the epoch.
    ``configuration`` makes the training this one and no other; ``owners`` have variables that
    change; ``rows``, the results of each epoch, are shared with whoever adds them.
    """

    def __init__(
        self, path: str | Path, configuration: dict[str, Any], owners: dict[str, Any],
        callbacks: list[keras.callbacks.Callback], rows: list[dict[str, float]],
    ) -> None:  # fmt: skip
        super().__init__()
        self._path, self._rows, self._found = Path(path), rows, None
        if self._path.is_dir():
            raise CheckpointError(f"{path} is a folder; expected the name of a file")
        self._variables, self._callbacks = variables_by_path(**owners), _by_class(callbacks)
        configuration |= {
            "callbacks": {name: _settings(c) for name, c in self._callbacks.items()},
            "variables": {name: [str(v.dtype), *v.shape] for name, v in self._variables.items()},
            "Keras": keras.__version__,
            "TensorFlow": tf.__version__,
        }
        self._configuration = json.loads(json.dumps(describe(configuration), default=name_of))

    def read(self, epochs: int) -> int:
        """Return how many epochs are done; a file that is damaged, or another's, is refused."""
        for stale in self._path.parent.glob(f".{self._path.name}.*"):
            stale.unlink(missing_ok=True)  # of a training that was killed while it wrote
        if not self._path.exists():
            return 0
        try:
            with np.load(self._path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            content = json.loads(str(arrays.pop("about")))
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise CheckpointError(
                f"{self._path} is not a checkpoint of this course, or it is damaged ({error}); "
                "delete it to train anew, or name another file"
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

    def on_train_begin(self, logs: Any = None) -> None:
        """Take up what was saved."""
        if self._found is None:
            return
        content, arrays = self._found
        for name, variable in self._variables.items():
            variable.assign(arrays[f"v {name}"])
        for name, callback in self._callbacks.items():
            for key, value in content["callbacks"][name].items():
                if isinstance(value, dict):
                    value = [arrays[f"c {name} {key} {i}"] for i in range(value["arrays"])]
                setattr(callback, key, value)
        self._rows[:] = content["rows"]

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the file."""
        arrays = {f"v {name}": _storable(v) for name, v in self._variables.items()}
        kept: dict[str, dict[str, Any]] = {}
        for name, callback in self._callbacks.items():
            kept[name] = {key: getattr(callback, key) for key in REMEMBERED[_kind(callback)]}
            for key, value in kept[name].items():
                if isinstance(value, list):
                    arrays |= {f"c {name} {key} {i}": a for i, a in enumerate(value)}
                    kept[name][key] = {"arrays": len(value)}
                elif isinstance(value, np.generic):
                    kept[name][key] = value.item()
        content = {
            "format": FORMAT, "configuration": self._configuration, "epoch": epoch + 1,
            "stopped": self.model.stop_training, "rows": self._rows, "callbacks": kept,
        }  # fmt: skip
        buffer = io.BytesIO()
        np.savez(buffer, about=np.array(json.dumps(content)), **arrays)
        write_atomically(self._path, buffer.getvalue())


def _storable(variable: Any) -> np.ndarray:
    array = keras.ops.convert_to_numpy(variable)
    return array.astype("float32") if variable.dtype == "bfloat16" else array  # NumPy has none


def _kind(callback: Any) -> type | None:
    return next((kind for kind in REMEMBERED if isinstance(callback, kind)), None)


def _by_class(callbacks: list[Any]) -> dict[str, Any]:
    """Name the callbacks that remember something; warn of those whose memory is not known."""
    found: dict[str, Any] = {}
    for callback in callbacks:
        name = type(callback).__name__
        bare = isinstance(callback, FORGETFUL) or set(vars(callback)) <= set(vars(known.Callback()))
        if type(callback) not in REMEMBERED and not bare:
            warnings.warn(
                f"A checkpoint does not keep what {name} remembers: after a resume it begins anew",
                stacklevel=4,
            )
        if _kind(callback):
            equal = sum(type(other).__name__ == name for other in found.values())
            found[f"{name} {equal + 1}" if equal else name] = callback
    return found


def _settings(callback: Any) -> dict[str, Any]:
    """Return the attributes that a callback was made with, not those that training changes."""
    names = inspect.signature(type(callback).__init__).parameters
    kept = {k: v for k, v in vars(callback).items() if k in names and isinstance(v, SIMPLE)}
    return {k: v for k, v in kept.items() if k not in ("append", "filepath", "filename")}


def describe(thing: Any) -> Any:
    """Return what tells data, a loss, an augmentation … from another, in every process."""
    if isinstance(thing, dict):
        return {str(key): describe(value) for key, value in thing.items()}
    if isinstance(thing, list | tuple):
        return [describe(value) for value in thing]
    if isinstance(thing, np.ndarray):
        return f"{thing.dtype}{thing.shape} {joblib.hash(thing)}"
    if isinstance(thing, tf.data.Dataset):
        return f"{thing.element_spec}, {int(thing.cardinality())} batches"
    if isinstance(thing, keras.Model):
        forms = [
            (name_of(x), _config(x), [v.shape for v in x.variables]) for x in flat_layers(thing)
        ]
        return joblib.hash(json.dumps(forms, default=name_of))
    if callable(thing) or hasattr(thing, "get_config"):
        return {"class": name_of(thing)} | _config(thing)
    return thing


def _config(thing: Any) -> dict[str, Any]:
    try:
        return _plain(thing.get_config())
    except (AttributeError, NotImplementedError):  # a function, or a layer without one
        return {}


def _plain(config: Any) -> Any:
    if isinstance(config, dict):
        return {k: _plain(v) for k, v in config.items() if k not in IGNORED}
    return [_plain(v) for v in config] if isinstance(config, list | tuple) else config


def name_of(thing: Any) -> str:
    """Return a function's or a class's name: no address, no counter."""
    return getattr(thing, "__qualname__", type(thing).__name__)
