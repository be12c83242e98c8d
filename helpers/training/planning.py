"""The plan of a training: device, precision, XLA and steps a call for one network here."""

import math
import os
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from helpers.errors import CourseError, nearest
from helpers.hardware import Hardware, detect, usable_gpus
from helpers.layers import flat_layers, loss_name, output_layers

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# What XLA compiles: nothing, the update of the weights, or the gradients too.
XLA = ("none", "update", "step")
# Where a processor has these, TensorFlow gives such numbers to oneDNN, and crashes if that may not
# use them.
NEEDED = {"mixed_bfloat16": "avx512f", "mixed_float16": "avx512_fp16"}
STEPS_WORTH_COMPILING = 200  # in an epoch; five such epochs save what compiling an LSTM takes
# Between two looks at the progress bar: a quarter of a second on two cores.
MULTIPLICATIONS_A_CALL = {"CPU": 1e10, "GPU": 1e12}
# Layers of Keras whose shards give what the whole batch gives: they look at each sample alone, and
# share no state, for which they would wait; unless something of the second line is set.
ALONE = (
    "InputLayer", "Rescaling", "Reshape", "Permute", "Flatten", "Dense", "Embedding", "Activation",
    "Softmax", "Concatenate", "Add", "LayerNormalization", "LSTM", "LSTMCell", "GRU", "GRUCell",
    "SimpleRNN", "SimpleRNNCell", "Bidirectional", "TimeDistributed", "GlobalMaxPooling1D",
    "GlobalAveragePooling1D", "Sequential", "Functional",
)  # fmt: skip
NOT_ALONE = ("dropout", "recurrent_dropout", "mask_zero", "stateful", "activity_regularizer")
LOSSES_ALONE = (
    "binary_crossentropy", "categorical_crossentropy", "sparse_categorical_crossentropy",
    "mean_squared_error", "mean_absolute_error", "hinge", "huber",
)  # fmt: skip


@dataclass(frozen=True)
class Plan:
    """How a network is trained on this machine, and why.

    Attributes
    ----------
    device : str
        The device that computes, such as ``"CPU:0"`` or ``"GPU:0"``.
    precision : str
        One of ``PRECISIONS``; weights stay float32.
    xla : str
        What XLA compiles: ``"none"``, ``"update"`` (of the weights) or ``"step"`` (the gradients
        as well).
    shards : int
        Parts of a batch whose gradients are computed side by side. An XLA computation uses one
        core of a CPU, so there are as many shards as cores.
    steps_per_execution : int or None
        Steps in one call, as to Keras's ``compile``; None for about a quarter of a second of them.
    reasons : tuple of str
        Why, in a few words each.
    """

    device: str
    precision: str = "float32"
    xla: str = "none"
    shards: int = 1
    steps_per_execution: int | None = None
    reasons: tuple[str, ...] = ()

    @property
    def on_gpu(self) -> bool:
        """Whether a GPU computes."""
        return self.device.startswith("GPU")

    def __str__(self) -> str:
        shown = {"none": "no XLA", "update": "XLA for the weight update"}
        step = "XLA for the whole step" + (f" in {self.shards} shards" * (self.shards > 1))
        about = " · ".join((self.device, self.precision, shown.get(self.xla, step)))
        return f"Plan: {about} – {'; '.join(self.reasons) or 'as asked for'}"


def plan(
    model: keras.Model,
    *,
    precision: str = "auto",
    xla: str = "auto",
    steps_per_epoch: int | None = None,
    loss: Any = None,
    machine: Hardware | None = None,
) -> Plan:
    """Decide how a model is trained on this machine: on the first GPU, or else on the processor.

    ``dataclasses.replace`` overrides a decision of the plan, such as ``device="GPU:1"``.

    Parameters
    ----------
    model : keras.Model
        Its kinds of layers decide: convolutional, recurrent or dense.
    precision, xla
        As in ``Plan``, or ``"auto"``.
    steps_per_epoch
        Where it is known: for a few, XLA takes longer to compile than it saves.
    loss
        As to ``compile``; not every loss is the mean of its shards.
    machine
        What to plan for; by default what ``detect()`` finds.

    Raises
    ------
    CourseError
        For an unknown value, for a precision in which TensorFlow would crash, and where
        ``COURSE_REQUIRE_GPU=1`` is set and there is no usable GPU.
    """
    for name, value, known in (("precision", precision, PRECISIONS), ("xla", xla, XLA)):
        if value not in (known := ("auto", *known)):
            hint = nearest(str(value), known)
            raise CourseError(f"{name} is {value!r}; expected one of {', '.join(known)}.{hint}")
    machine, gpus = machine or detect(), usable_gpus()
    if gpus:
        more = f", the first of {len(gpus)} GPUs" * (len(gpus) > 1)
        device, why = "GPU:0", gpus[0].get("device_name", "GPU") + more
    elif os.environ.get("COURSE_REQUIRE_GPU") == "1":
        raise CourseError(
            "COURSE_REQUIRE_GPU=1, but TensorFlow finds no GPU here; run 'course check', or unset "
            "COURSE_REQUIRE_GPU to train on the CPU"
        )
    else:
        unused = f"TensorFlow cannot use {machine.gpus[0]}" if machine.gpus else "no GPU"
        device, why = "CPU:0", f"{unused}, {machine.count_cores()}"
    precision, why_precision = _choose_precision(precision, model, gpus, machine)
    xla, why_xla = _choose_xla(xla, model, bool(gpus), steps_per_epoch)
    shards = machine.cores if xla == "step" and not gpus and _can_be_sharded(model, loss) else 1
    reasons = tuple(filter(None, (why, why_precision, why_xla)))
    return Plan(device, precision, xla, shards, reasons=reasons)


def steps_in_a_call(model: keras.Model, batch_size: int, on_gpu: bool) -> int:
    """Return how many steps a call may hold, by the multiplications that a step needs.

    No clock decides, and no result follows: only how often the progress bar moves, and how soon an
    interrupt is heard.
    """
    forward = sum(map(_multiplications, flat_layers(model)))
    most = MULTIPLICATIONS_A_CALL["GPU" if on_gpu else "CPU"]
    return max(1, min(128, int(most / max(1, 3 * forward * batch_size))))


def _multiplications(layer: keras.Layer) -> int:
    """Return about how many multiplications a layer takes for one sample."""
    if isinstance(layer, keras.Model) or not layer.built:
        return 0
    try:
        tensors = keras.tree.flatten((layer.input, layer.output))
    except (AttributeError, ValueError):  # a layer in a subclass, or one that is used twice
        tensors = []
    places = [math.prod(n or 1 for n in tensor.shape[1:-1]) for tensor in tensors]
    return layer.count_params() * max(places, default=1)


def _has(model: keras.Model, *kinds: str) -> bool:
    """Tell whether a layer is of a kind by its name, such as ``"Conv"``."""
    return any(kind in type(layer).__name__ for layer in flat_layers(model) for kind in kinds)


def _can_be_sharded(model: keras.Model, loss: Any) -> bool:
    """Tell whether the mean over the shards of a batch is what the whole batch gives.

    Of code that is not Keras's this cannot be known.
    """
    parts = [model, *flat_layers(model)]
    parts += [operation for part in parts for operation in getattr(part, "operations", ())]
    losses = [part for part in keras.tree.flatten(loss) if part is not None]
    others = [part for part in losses if not isinstance(part, str)]
    return (
        all(type(part).__module__.startswith("keras.") for part in parts + others)
        and all(isinstance(p, keras.Layer) and type(p).__name__ in ALONE for p in parts)
        and not any(getattr(part, name, None) for part in parts for name in NOT_ALONE)
        and all(loss_name(part) in LOSSES_ALONE for part in losses)
        and all(part.reduction == "sum_over_batch_size" for part in others)
        and all(getattr(part, "ignore_class", None) is None for part in others)
    )


def _choose_precision(
    asked: str, model: keras.Model, gpus: list[dict[str, Any]], machine: Hardware
) -> tuple[str, str]:
    outputs = output_layers(model)
    named = bool(outputs) and all(isinstance(output, keras.Layer) for output in outputs)
    if asked not in ("auto", "float32") and not named:
        raise CourseError(
            f"precision={asked!r} needs a model whose outputs are those of layers, so that "
            "they stay float32; build it with the functional API, or use precision='float32'"
        )
    if not gpus and NEEDED.get(asked) in machine.withheld:
        raise CourseError(
            f"precision={asked!r} crashes TensorFlow here, as ONEDNN_MAX_CPU_ISA withholds "
            f"{NEEDED[asked]} from oneDNN: unset that variable, or use precision='float32'"
        )
    units = [f for f in ("amx_bf16", "avx512_bf16") if f in machine.features]
    # NVIDIA's number for what a GPU can do.
    able = (gpus[0].get("compute_capability") or (0, 0)) if gpus else (0, 0)
    # Only convolutions gain: for the matrices of dense and recurrent networks of this size the
    # conversions cost more than they save (LSTM: 30,000 images/s against 33,000, 2 cores).
    # Depthwise convolutions are no matrix products: MobileNet lost a third (780 to 490 images/s).
    gains = units and _has(model, "Conv") and not _has(model, "Depthwise", "Separable")
    choices = [
        (asked != "auto", asked, ""),
        (not named, "float32", "float32: the outputs are not those of layers"),
        (able >= (8, 0), "mixed_bfloat16", "bfloat16 from compute capability 8.0"),
        (able >= (7, 0), "mixed_float16", "float16 with loss scaling from compute capability 7.0"),
        (able > (0, 0), "float32", f"float32 at compute capability {able[0]}.{able[1]}"),
        (gpus, "float32", "float32: the GPU does not tell what it can do"),
        (gains, "mixed_bfloat16", f"bfloat16: convolutions on {(*units, '')[0]}"),
        (units, "float32", "float32: no gain from less here"),
        (True, "float32", "float32: no unit for bfloat16"),
    ]
    return next((precision, why) for applies, precision, why in choices if applies)


def _choose_xla(asked: str, model: keras.Model, on_gpu: bool, steps: int | None) -> tuple[str, str]:
    parts = flat_layers(model)
    known = all(layer.supports_jit for layer in parts)  # those that read text are not, for instance
    if asked == "step" and not known:
        raise CourseError("xla='step' cannot compile all layers of the model; expected 'update'")
    few = steps is not None and steps < STEPS_WORTH_COMPILING
    recurrent = any(isinstance(layer, layers.RNN) for layer in parts)
    choices = [
        (asked != "auto", asked, ""),
        # Compiling takes 0.5–2 s on a CPU, and saves 1–5 ms a step. Epochs do not count: a training
        # that is resumed with more of them is to compute as before.
        (few and not on_gpu, "none", f"XLA is not worth compiling for {steps} steps an epoch"),
        (not known, "update", "XLA does not know all layers"),
        (on_gpu, "step", "XLA fuses the step on a GPU"),
        # A convolution compiled by XLA for the CPU is eight times slower than oneDNN's; a time loop
        # is twice as fast; of a dense network only the update gains (images/s: 138,000 to 107,000).
        (recurrent and not _has(model, "Conv"), "step", "XLA unties the time loop"),
        (True, "update", "oneDNN computes the gradients"),
    ]
    return next((xla, why) for applies, xla, why in choices if applies)
