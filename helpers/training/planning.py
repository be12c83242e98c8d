"""The plan of a training: device, precision, XLA and steps a call for one network here."""

import math
import os
import warnings
from dataclasses import dataclass
from typing import Any

import keras
from keras import layers

from helpers.errors import CourseError, nearest
from helpers.hardware import Hardware, detect, usable_gpus
from helpers.layers import flat_layers, loss_name, output_layers, seed_generators

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
CROSSENTROPIES = [
    f"{kind}_crossentropy" for kind in ("binary", "categorical", "sparse_categorical")
]
# Losses that look at each sample alone.
PER_SAMPLE = (*CROSSENTROPIES, "mean_squared_error", "mean_absolute_error", "hinge", "huber")
# What XLA compiles: nothing, the update of the weights, or the gradients too.
XLA = ("none", "update", "step")
# Where a processor has these, TensorFlow gives such numbers to oneDNN, and crashes if that may not
# use them.
NEEDED = {"mixed_bfloat16": "avx512f", "mixed_float16": "avx512_fp16"}
STEPS_WORTH_COMPILING = 200  # in an epoch; five such epochs save what compiling an LSTM takes
# Between two looks at the progress bar: a quarter of a second on two cores.
MULTIPLICATIONS_A_CALL = {"CPU": 1e10, "GPU": 1e12}


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
    if "TF_CONFIG" in os.environ:
        said = "TF_CONFIG is set, but train computes on this machine alone: docs/several_devices.md"
        warnings.warn(said, stacklevel=2)
    machine, traits = machine or detect(), _traits(model)
    device, why_device, gpu = _choose_device(machine)
    why_precision = why_xla = ""
    if precision == "auto":
        precision, why_precision = _choose_precision(traits, gpu, machine)
    elif precision != "float32" and "other outputs" in traits:
        raise CourseError(
            f"precision={precision!r} needs a model whose outputs are those of layers, so that "
            "they stay float32; build it with the functional API, or use precision='float32'"
        )
    elif gpu is None and NEEDED.get(precision) in machine.withheld:
        raise CourseError(
            f"precision={precision!r} crashes TensorFlow here, as ONEDNN_MAX_CPU_ISA withholds "
            f"{NEEDED[precision]} from oneDNN: unset that variable, or use precision='float32'"
        )
    if xla == "auto":
        xla, why_xla = _choose_xla(traits, gpu, steps_per_epoch)
    elif xla == "step" and "no XLA" in traits:
        raise CourseError("xla='step' cannot compile all layers of the model; expected 'update'")
    shards = machine.cores if xla == "step" and gpu is None and can_be_sharded(model, loss) else 1
    reasons = tuple(filter(None, (why_device, why_precision, why_xla)))
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


def can_be_sharded(model: keras.Model, loss: Any) -> bool:
    """Tell whether the mean over the shards of a batch is what the whole batch gives.

    It is not where statistics of the batch are used, where a loss divides by what a mask leaves,
    or where random numbers are drawn: shards that share a state would wait for one another. What
    other code than Keras's computes cannot be known.
    """
    parts, states = flat_layers(model), {id(g.state) for g in seed_generators(model)}
    harmful = (
        "rate",
        "dropout",
        "recurrent_dropout",
        "stddev",
        "mask_zero",
        "activity_regularizer",
    )
    models = [part for part in (model, *parts) if isinstance(part, keras.Model)]
    made = [operation for m in models for operation in getattr(m, "operations", ())]
    return (
        all(map(_is_keras, (model, *parts)))
        and all(isinstance(operation, keras.Layer) for operation in made)
        and not any(isinstance(part, layers.Masking | layers.Lambda) for part in parts)
        and not any(getattr(part, name, None) for part in parts for name in harmful)
        and all(id(v) in states for v in model.non_trainable_variables)
        and all(map(_is_a_mean, keras.tree.flatten(loss)))
    )


def _is_keras(thing: Any) -> bool:
    return type(thing).__module__.startswith("keras.")


def _is_a_mean(loss: Any) -> bool:
    """Tell whether a loss is Keras's mean over the samples, and looks at each of them alone."""
    if isinstance(loss, keras.Loss):
        skips = getattr(loss, "ignore_class", None) is not None
        if not _is_keras(loss) or loss.reduction != "sum_over_batch_size" or skips:
            return False
    elif not isinstance(loss, str):
        return loss is None
    return loss_name(loss) in PER_SAMPLE


def _choose_device(machine: Hardware) -> tuple[str, str, dict[str, Any] | None]:
    """Return a device, why, and what TensorFlow tells of it if it is a GPU."""
    if gpus := usable_gpus():
        more = f", the first of {len(gpus)} GPUs" * (len(gpus) > 1)
        return "GPU:0", gpus[0].get("device_name", "GPU") + more, gpus[0]
    if os.environ.get("COURSE_REQUIRE_GPU") == "1":
        raise CourseError(
            "COURSE_REQUIRE_GPU=1, but TensorFlow finds no GPU here; run 'course check', or unset "
            "COURSE_REQUIRE_GPU to train on the CPU"
        )
    unused = f"TensorFlow cannot use {machine.gpus[0]}" if machine.gpus else "no GPU"
    return "CPU:0", f"{unused}, {machine.count_cores()}", None


def _traits(model: keras.Model) -> set[str]:
    depthwise = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
    convolutions = (
        *(layers.Conv1D, layers.Conv2D, layers.Conv3D, *depthwise),
        *(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
    )
    kinds = {"convolutional": convolutions, "depthwise": depthwise, "recurrent": layers.RNN}
    found, outputs = flat_layers(model), output_layers(model)
    traits = {trait for trait, kind in kinds.items() if any(isinstance(x, kind) for x in found)}
    if not all(layer.supports_jit for layer in found):  # those that read text, for instance
        traits.add("no XLA")
    if not outputs or not all(isinstance(output, keras.Layer) for output in outputs):
        traits.add("other outputs")
    return traits


def _choose_precision(
    traits: set[str], gpu: dict[str, Any] | None, machine: Hardware
) -> tuple[str, str]:
    if "other outputs" in traits:
        return "float32", "float32: the outputs are not those of layers"
    if gpu is not None:
        capability = gpu.get("compute_capability")  # NVIDIA's number for what it can do
        if capability is None:
            return "float32", "float32: the GPU does not tell what it can do"
        if capability >= (8, 0):
            return "mixed_bfloat16", "bfloat16 from compute capability 8.0"
        if capability >= (7, 0):
            return "mixed_float16", "float16 with loss scaling from compute capability 7.0"
        return "float32", f"float32 at compute capability {capability[0]}.{capability[1]}"
    unit = next((f for f in ("amx_bf16", "avx512_bf16") if f in machine.features), None)
    # Only convolutions gain: for the matrices of dense and recurrent networks of this size the
    # conversions cost more than they save (LSTM: 30,000 images/s against 33,000, 2 cores).
    # Depthwise convolutions are no matrix products: MobileNet lost a third (780 to 490 images/s).
    if unit and "convolutional" in traits and "depthwise" not in traits:
        return "mixed_bfloat16", f"bfloat16: convolutions on {unit}"
    return "float32", "float32: no " + ("gain from less here" if unit else "unit for bfloat16")


def _choose_xla(
    traits: set[str], gpu: dict[str, Any] | None, steps_per_epoch: int | None
) -> tuple[str, str]:
    # Compiling takes 0.5–2 s on a CPU, and saves 1–5 ms a step. Epochs do not count: a training
    # that is resumed with more of them is to compute as before.
    if gpu is None and steps_per_epoch is not None and steps_per_epoch < STEPS_WORTH_COMPILING:
        return "none", f"XLA is not worth compiling for {steps_per_epoch} steps an epoch"
    if "no XLA" in traits:
        return "update", "XLA does not know all layers"
    if gpu is not None:
        return "step", "XLA fuses the step on a GPU"
    # A convolution compiled by XLA for the CPU is eight times slower than oneDNN's; a time loop is
    # twice as fast; of a dense network only the update gains (images/s: 138,000 against 107,000).
    if "recurrent" in traits and "convolutional" not in traits:
        return "step", "XLA unties the time loop"
    return "update", "oneDNN computes the gradients"
