"""The execution plan: device, precision, XLA and distribution for one network on this machine."""

import json
import os
import warnings
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from helpers.errors import CourseError, nearest
from helpers.hardware.detection import Hardware, detect
from helpers.layers import flat_layers, seed_generators

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# What XLA compiles: nothing, the update of the weights, or the gradients too.
XLA = ("none", "update", "step")
# Where a processor has these, TensorFlow gives such numbers to oneDNN, and crashes if that may not
# use them.
NEEDED = {"mixed_bfloat16": "avx512f", "mixed_float16": "avx512_fp16"}
STEPS_WORTH_COMPILING = 200  # in an epoch; five such epochs save what compiling an LSTM takes
STEPS_TOGETHER = 32  # in one call on several machines, whose own pace must not decide


@dataclass(frozen=True)
class Gpu:
    """A GPU that TensorFlow can use.

    Attributes
    ----------
    name : str
        As its maker calls it.
    compute_capability : tuple of int, or None
        NVIDIA's number for what it can do, such as (8, 0); None for other makers.
    """

    name: str
    compute_capability: tuple[int, int] | None = None


@dataclass(frozen=True)
class Plan:
    """How a network is trained on this machine, and why.

    Attributes
    ----------
    devices : tuple of str
        The devices that compute, such as ``("CPU:0",)`` or ``("GPU:0", "GPU:1")``.
    precision : str
        ``"float32"``, ``"mixed_bfloat16"`` or ``"mixed_float16"`` (weights stay float32).
    xla : str
        What XLA compiles: ``"none"``, ``"update"`` (of the weights) or ``"step"`` (the gradients
        as well).
    shards : int
        Parts of a batch whose gradients are computed side by side. An XLA computation uses one
        core of a CPU, so there are as many shards as cores.
    steps_per_execution : int or None
        Steps in one call of the compiled loop; None for as many as take a quarter of a second.
    distribution : str
        ``"none"``, ``"mirrored"`` (several devices) or ``"multi_worker"`` (several machines).
    microbatches : int
        Parts of a batch that are computed one after the other, to fit into memory.
    reasons : tuple of str
        Why, in a few words each.
    """

    devices: tuple[str, ...]
    precision: str
    xla: str
    shards: int = 1
    steps_per_execution: int | None = None
    distribution: str = "none"
    microbatches: int = 1
    reasons: tuple[str, ...] = ()

    @property
    def on_gpu(self) -> bool:
        """Whether GPUs compute."""
        return self.devices[0].startswith("GPU")

    def __str__(self) -> str:
        shown = {
            "none": "no XLA",
            "update": "XLA for the weight update",
            "step": "XLA for the whole step" + (f" in {self.shards} shards" * (self.shards > 1)),
        }
        where = " + ".join(self.devices)
        if self.distribution != "none":
            where += f" ({self.distribution})"
        return f"Plan: {where} · {self.precision} · {shown[self.xla]} – " + "; ".join(self.reasons)

    def in_microbatches(self) -> "Plan":
        """Return the plan for batches of half the size in memory."""
        return replace(self, microbatches=self.microbatches * 2, steps_per_execution=1)


@cache
def prepare() -> None:
    """Set what TensorFlow takes only before its first computation.

    ``helpers.models`` and ``helpers.training`` call it when they are imported. Every GPU will take
    memory as it needs it, where TensorFlow would take all of it at once; and if ``TF_CONFIG`` names
    several machines, this one connects to them.
    """
    import tensorflow as tf

    try:
        for gpu in tf.config.list_physical_devices("GPU"):
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # a GPU is in use already: too late, and no reason to stop
        warnings.warn(
            "A GPU was in use before the course's modules were imported, so TensorFlow may hold "
            "all of its memory; import helpers.models in the first cell",
            stacklevel=2,
        )
    if _workers() > 1:
        multi_worker_strategy()


@cache
def multi_worker_strategy() -> "tf.distribute.Strategy":
    """Return the strategy over the machines that ``TF_CONFIG`` names."""
    import tensorflow as tf

    return tf.distribute.MultiWorkerMirroredStrategy()


@cache  # a second one for the same devices would take the first one's keys, and crash
def _mirrored_strategy(devices: tuple[str, ...]) -> "tf.distribute.Strategy":
    import tensorflow as tf

    return tf.distribute.MirroredStrategy(list(devices))


def strategy(plan: Plan) -> "tf.distribute.Strategy":
    """Return the strategy over the devices of a plan."""
    import tensorflow as tf

    if plan.distribution == "multi_worker":
        return multi_worker_strategy()
    if plan.distribution == "mirrored":
        return _mirrored_strategy(plan.devices)
    return tf.distribute.get_strategy()


def is_chief() -> bool:
    """Tell whether this process writes what all workers share: it is the first, or the only one."""
    import tensorflow as tf

    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or resolver.task_type is None:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_id == 0 and "chief" not in resolver.cluster_spec().jobs
    )


def _workers() -> int:
    """Return how many machines ``TF_CONFIG`` names that compute."""
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    except (ValueError, AttributeError) as error:
        raise CourseError(
            f"TF_CONFIG cannot be read ({error}); expected JSON with a cluster and a task"
        ) from None
    return len(cluster.get("worker", ())) + len(cluster.get("chief", ()))


def _usable_gpus() -> tuple[Gpu, ...]:
    import tensorflow as tf

    details = [
        tf.config.experimental.get_device_details(gpu)
        for gpu in tf.config.list_physical_devices("GPU")
    ]
    return tuple(Gpu(d.get("device_name", "GPU"), d.get("compute_capability")) for d in details)


def plan(
    model: "keras.Model",
    *,
    devices: tuple[str, ...] | str = "auto",
    precision: str = "auto",
    xla: str = "auto",
    steps_per_execution: int | None = None,
    steps_per_epoch: int | None = None,
    machine: Hardware | None = None,
) -> Plan:
    """Decide how a model is trained on this machine. Every decision can be overridden.

    Parameters
    ----------
    model : keras.Model
        Its kinds of layers decide: convolutional, recurrent or dense.
    devices
        ``"auto"``: all GPUs, or else the CPU. A tuple of names such as ``("GPU:0",)``; several are
        trained on together (``tf.distribute.MirroredStrategy``).
    precision
        ``"auto"`` or one of ``PRECISIONS``.
    xla
        ``"auto"`` or one of ``XLA``.
    steps_per_execution
        Steps in one call of the compiled loop; None for as many as take a quarter of a second.
    steps_per_epoch
        Where it is known: for a few, XLA takes longer to compile than it saves.
    machine
        What to plan for; by default what ``detect()`` finds.

    Raises
    ------
    CourseError
        For an unknown value, where ``COURSE_REQUIRE_GPU=1`` is set and there is no usable GPU, and
        for a precision in which TensorFlow would crash.
    """
    _check_choice("precision", precision, ("auto", *PRECISIONS))
    _check_choice("xla", xla, ("auto", *XLA))
    if steps_per_execution is not None and steps_per_execution < 1:
        raise CourseError(
            f"steps_per_execution is {steps_per_execution}; expected at least 1, or None"
        )
    machine = machine or detect()
    gpus = _usable_gpus()
    reasons: list[str] = []
    chosen = _choose_devices(devices, gpus, machine, reasons)
    distribution = _choose_distribution(chosen, reasons)
    if distribution == "multi_worker":  # where every call has to be the same on every machine
        steps_per_execution = steps_per_execution or STEPS_TOGETHER
    draft = Plan(
        chosen,
        "float32",
        "none",
        steps_per_execution=steps_per_execution,
        distribution=distribution,
    )
    traits = _traits(model)
    if precision == "auto":
        precision = _choose_precision(draft, traits, gpus, machine, reasons)
    elif not draft.on_gpu and NEEDED.get(precision) in machine.withheld:
        raise CourseError(
            f"precision={precision!r} crashes TensorFlow here, as ONEDNN_MAX_CPU_ISA withholds "
            f"{NEEDED[precision]} from oneDNN: unset that variable, or use precision='float32'"
        )
    draft = replace(draft, precision=precision)
    if xla == "auto":
        xla = _choose_xla(draft, traits, steps_per_epoch, reasons)
    elif xla != "none" and distribution != "none":
        raise CourseError(f"xla={xla!r} with several devices; expected 'none' or 'auto'")
    elif xla == "step" and "augmented" in traits:
        raise CourseError("xla='step' cannot compile augmentation layers inside the model")
    shards = machine.cores if _can_be_sharded(model, draft, xla) else 1
    return replace(draft, xla=xla, shards=shards, reasons=tuple(reasons))


def inference_plan(
    model: "keras.Model", *, precision: str = "auto", machine: Hardware | None = None
) -> Plan:
    """Decide how a trained model computes: as ``plan``, on one device, without XLA.

    oneDNN and cuDNN have the convolutions ready, where XLA would compile for each batch size.
    """
    full = plan(model, precision=precision, xla="none", machine=machine)
    return replace(full, devices=full.devices[:1], distribution="none", steps_per_execution=None)


def _check_choice(name: str, value: Any, known: tuple[str, ...]) -> None:
    if value not in known:
        raise CourseError(
            f"{name} is {value!r}; expected one of {', '.join(known)}.{nearest(str(value), known)}"
        )


def _choose_devices(
    wanted: tuple[str, ...] | str, gpus: tuple[Gpu, ...], machine: Hardware, reasons: list[str]
) -> tuple[str, ...]:
    required = os.environ.get("COURSE_REQUIRE_GPU") == "1"
    if required and not gpus:
        raise CourseError(
            "COURSE_REQUIRE_GPU=1, but TensorFlow finds no GPU here; run 'course check', or unset "
            "COURSE_REQUIRE_GPU to train on the CPU"
        )
    if wanted == "auto":
        if gpus:
            reasons.append(", ".join(gpu.name for gpu in gpus))
            return tuple(f"GPU:{number}" for number in range(len(gpus)))
        unused = f"TensorFlow cannot use {machine.gpus[0]}" if machine.gpus else "no GPU"
        reasons.append(f"{unused}, {machine.count_cores()}")
        return ("CPU:0",)
    import tensorflow as tf

    chosen = (wanted,) if isinstance(wanted, str) else tuple(wanted)
    present = [":".join(d.name.split(":")[-2:]) for d in _logical_devices(tf)]
    missing = [name for name in chosen if name not in present]
    if missing or not chosen:
        raise CourseError(
            f"There is no device {missing[0] if missing else '()'}; this machine has "
            f"{', '.join(present)}"
        )
    if required and not chosen[0].startswith("GPU"):
        raise CourseError(f"COURSE_REQUIRE_GPU=1, but devices={chosen!r}; expected GPUs")
    reasons.append("devices as asked for")
    return chosen


def _logical_devices(tf: Any) -> list[Any]:
    return [d for kind in ("CPU", "GPU") for d in tf.config.list_logical_devices(kind)]


def _choose_distribution(devices: tuple[str, ...], reasons: list[str]) -> str:
    if (workers := _workers()) > 1:
        reasons.append(f"TF_CONFIG names {workers} workers")
        return "multi_worker"
    return "mirrored" if len(devices) > 1 else "none"


def _traits(model: "keras.Model") -> set[str]:
    from keras import layers

    depthwise = (layers.DepthwiseConv1D, layers.DepthwiseConv2D)
    convolutions = (
        *(layers.Conv1D, layers.Conv2D, layers.Conv3D, *depthwise),
        *(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose),
    )
    kinds = {
        "convolutional": convolutions,
        "depthwise": depthwise,
        "recurrent": layers.RNN,
        # The class that all augmentation layers share has no public name of its own.
        "augmented": layers.RandomFlip.__base__,
    }
    found = flat_layers(model)
    return {
        trait for trait, kind in kinds.items() if any(isinstance(layer, kind) for layer in found)
    }


def _choose_precision(
    draft: Plan,
    traits: set[str],
    gpus: tuple[Gpu, ...],
    machine: Hardware,
    reasons: list[str],
) -> str:
    if draft.on_gpu:
        known = [gpu.compute_capability for gpu in gpus]
        if None in known:
            reasons.append("float32: the GPU does not tell what it can do")
            return "float32"
        lowest = min(known)
        if lowest >= (8, 0):
            reasons.append("bfloat16 from compute capability 8.0")
            return "mixed_bfloat16"
        if lowest >= (7, 0):
            reasons.append("float16 with loss scaling from compute capability 7.0")
            return "mixed_float16"
        reasons.append(f"float32 at compute capability {lowest[0]}.{lowest[1]}")
        return "float32"
    unit = next((f for f in ("amx_bf16", "avx512_bf16") if f in machine.features), None)
    # Only convolutions gain: for the matrices of dense and recurrent networks of this size the
    # conversions cost more than they save (LSTM: 30,000 images/s against 33,000, 2 cores).
    # Depthwise convolutions are no matrix products: MobileNet lost a third (780 to 490 images/s).
    if unit and "convolutional" in traits and "depthwise" not in traits:
        reasons.append(f"bfloat16: convolutions on {unit}")
        return "mixed_bfloat16"
    reasons.append("float32: no gain from less here" if unit else "float32: no unit for bfloat16")
    return "float32"


def _choose_xla(
    draft: Plan, traits: set[str], steps_per_epoch: int | None, reasons: list[str]
) -> str:
    if draft.distribution != "none":
        return "none"
    # Compiling takes 0.5–2 s on a CPU, and saves 1–5 ms a step. Epochs do not count: a training
    # that is resumed with more of them is to compute as before.
    few = steps_per_epoch is not None and steps_per_epoch < STEPS_WORTH_COMPILING
    if few and not draft.on_gpu:
        reasons.append(f"XLA is not worth compiling for {steps_per_epoch} steps an epoch")
        return "none"
    if "augmented" in traits:
        return "update"
    if draft.on_gpu:
        reasons.append("XLA fuses the step on a GPU")
        return "step"
    # A convolution compiled by XLA for the CPU is eight times slower than oneDNN's; a time loop is
    # twice as fast; of a dense network only the update gains (images/s: 138,000 against 107,000).
    if "recurrent" in traits and "convolutional" not in traits:
        reasons.append("XLA unties the time loop")
        return "step"
    reasons.append("oneDNN computes the gradients")
    return "update"


def _can_be_sharded(model: "keras.Model", draft: Plan, xla: str) -> bool:
    """Tell whether the shards of a batch give the results of the whole."""
    if xla != "step" or draft.on_gpu or draft.distribution != "none":
        return False
    # Batch statistics would differ from the whole batch's, and shards that draw random numbers
    # from one state would wait for one another. (A random layer with a rate of 0 draws none.)
    states = {id(generator.state) for generator in seed_generators(model)}
    rates = ("rate", "dropout", "recurrent_dropout", "stddev")
    random = any(getattr(x, rate, 0) for x in flat_layers(model) for rate in rates)
    return not random and all(id(v) in states for v in model.non_trainable_variables)
