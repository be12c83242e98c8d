"""What the plan decides, why, and what it refuses. Of GPUs only the detection is stood in for."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import keras
import pytest
from keras import layers

from helpers import hardware
from helpers.errors import CourseError
from helpers.hardware import Gpu, Hardware
from helpers.models import build_cnn, build_mlp, build_rnn

PLAIN = Hardware("a processor", 4, ("avx2",), 8 << 30, ())
BF16 = Hardware("a newer one", 4, ("avx2", "avx512f", "avx512_bf16"), 8 << 30, ())
A100, V100, OLD = (Gpu(f"GPU {c}", c) for c in ((8, 0), (7, 0), (6, 1)))


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    for name in ("COURSE_REQUIRE_GPU", "TF_CONFIG"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def gpus(monkeypatch):
    def present(*found):
        monkeypatch.setattr(hardware.planning, "_usable_gpus", lambda: found)

    return present


def dense():
    return build_mlp((28, 28), 10)


def convolutional():
    return build_cnn((28, 28), 10)


def recurrent(**options):
    return build_rnn((28, 28), 10, **options)


def test_detect_agrees_with_the_system():
    found = hardware.detect()
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.memory == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.cpu
    assert set(found.features) <= set(hardware.FEATURES)


ALL = hardware.FEATURES


@pytest.mark.parametrize(
    ("name", "features", "kind"),
    [
        ("", ALL, "AMX"),
        ("ALL", ALL, "AMX"),
        ("AVX512_CORE_AMX", ALL, "AMX"),
        ("AVX512_CORE_BF16", ALL[:3], "bfloat16"),
        ("AVX512_CORE_FP16", ALL[:4], "bfloat16"),
        ("AVX512_CORE", ALL[:2], "AVX-512"),
        ("avx512_core_vnni", ALL[:2], "AVX-512"),
        ("AVX2", ALL[:1], "AVX2"),
        ("AVX2_VNNI", ALL[:1], "AVX2"),
        ("SSE41", (), "other"),
        ("no such thing", ALL, "AMX"),
    ],
)
@pytest.mark.parametrize("variable", ["ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"])
def test_detect_honours_the_limit_that_onednn_honours(name, features, kind, variable, monkeypatch):
    monkeypatch.delenv("ONEDNN_MAX_CPU_ISA", raising=False)
    monkeypatch.setattr(hardware.detection, "_cpu", lambda: ("the newest", set(ALL)))
    monkeypatch.setenv(variable, name)
    found = hardware.detect()
    assert found.features == features
    assert found.withheld == ALL[len(features) :]
    assert found.kind == kind


@pytest.mark.parametrize(
    ("precision", "feature"), [("mixed_bfloat16", "avx512f"), ("mixed_float16", "avx512_fp16")]
)
def test_a_precision_in_which_tensorflow_would_crash_is_refused(precision, feature, gpus):
    limited = replace(PLAIN, withheld=(feature,))
    with pytest.raises(CourseError, match=f"ONEDNN_MAX_CPU_ISA withholds {feature} from oneDNN"):
        hardware.plan(dense(), precision=precision, machine=limited)
    assert hardware.plan(dense(), precision=precision, machine=PLAIN).precision == precision
    gpus(A100)
    assert hardware.plan(dense(), precision=precision, machine=limited).precision == precision


def test_detect_counts_only_the_cores_it_may_use():
    code = "from helpers.hardware import detect; print(detect().cores)"
    command = [sys.executable, "-c", f"import os; os.sched_setaffinity(0, {{0}}); {code}"]
    assert subprocess.run(command, capture_output=True, text=True).stdout.strip() == "1"


@pytest.mark.parametrize(
    ("model", "machine", "precision", "xla", "parts"),
    [
        (dense, PLAIN, "float32", "update", 1),
        (dense, BF16, "float32", "update", 1),
        (convolutional, PLAIN, "float32", "update", 1),
        (convolutional, BF16, "mixed_bfloat16", "update", 1),
        (recurrent, BF16, "float32", "step", 4),
    ],
)
def test_on_a_processor(model, machine, precision, xla, parts, gpus):
    gpus()
    plan = hardware.plan(model(), machine=machine)
    assert (plan.devices, plan.distribution) == (("CPU:0",), "none")
    assert (plan.precision, plan.xla, plan.shards) == (precision, xla, parts)
    assert not plan.on_gpu


@pytest.mark.parametrize(
    "layer",
    [layers.Dropout(0.2), layers.BatchNormalization(), layers.GaussianNoise(0.1)],
    ids=lambda layer: layer.name,
)
def test_parts_only_where_they_compute_the_same(layer, gpus):
    gpus()
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3), layer, layers.Dense(2)])
    assert hardware.plan(model, machine=PLAIN).shards == 1


@pytest.mark.parametrize(
    ("gpu", "precision", "why"),
    [
        (A100, "mixed_bfloat16", "bfloat16 from compute capability 8.0"),
        (V100, "mixed_float16", "loss scaling"),
        (OLD, "float32", "compute capability 6.1"),
        (Gpu("another maker's"), "float32", "does not tell"),
    ],
)
def test_on_one_gpu(gpu, precision, why, gpus):
    gpus(gpu)
    plan = hardware.plan(convolutional(), machine=PLAIN)
    assert plan.on_gpu
    assert (plan.devices, plan.distribution) == (("GPU:0",), "none")
    assert (plan.precision, plan.xla, plan.shards) == (precision, "step", 1)
    assert why in str(plan)
    assert gpu.name in str(plan)


def test_on_two_gpus_the_weaker_one_decides(gpus):
    gpus(A100, V100)
    plan = hardware.plan(convolutional(), machine=PLAIN)
    assert (plan.devices, plan.distribution) == (("GPU:0", "GPU:1"), "mirrored")
    assert (plan.precision, plan.xla) == ("mixed_float16", "none")


def test_model_that_augments_is_not_compiled_whole(gpus):
    gpus(A100)
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomFlip(), layers.Flatten()])
    assert hardware.plan(model, machine=PLAIN).xla == "update"
    with pytest.raises(CourseError, match="xla='step' cannot compile augmentation"):
        hardware.plan(model, machine=PLAIN, xla="step")


@pytest.mark.parametrize(
    ("override", "attribute"),
    [
        ({"precision": "mixed_float16"}, "precision"),
        ({"precision": "float32"}, "precision"),
        ({"xla": "none"}, "xla"),
        ({"xla": "step"}, "xla"),
        ({"steps_per_execution": 7}, "steps_per_execution"),
    ],
)
def test_every_decision_can_be_overridden(override, attribute, gpus):
    gpus()
    plan = hardware.plan(convolutional(), machine=BF16, **override)
    assert getattr(plan, attribute) == override[attribute]


def test_devices_can_be_chosen(gpus):
    gpus(A100)
    plan = hardware.plan(dense(), devices="CPU:0", machine=PLAIN)
    assert plan.devices == ("CPU:0",)
    assert "devices as asked for" in str(plan)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "mixed_bfloat"}, "precision is 'mixed_bfloat'.*Did you mean"),
        ({"xla": "yes"}, "xla is 'yes'; expected one of auto, none, update, step"),
        ({"devices": ("GPU:7",)}, "no device GPU:7; this machine has CPU:0"),
        ({"devices": ()}, "no device"),
        ({"steps_per_execution": 0}, "steps_per_execution is 0; expected at least 1"),
    ],
)
def test_refusals(options, message, gpus):
    gpus()
    with pytest.raises(CourseError, match=message) as caught:
        hardware.plan(dense(), machine=PLAIN, **options)
    assert "\n" not in str(caught.value)


def test_required_gpu(gpus, monkeypatch):
    monkeypatch.setenv("COURSE_REQUIRE_GPU", "1")
    gpus()
    with pytest.raises(CourseError, match="COURSE_REQUIRE_GPU=1, but TensorFlow finds no GPU"):
        hardware.plan(dense(), machine=PLAIN)
    gpus(A100)
    assert hardware.plan(dense(), machine=PLAIN).on_gpu
    with pytest.raises(CourseError, match="expected GPUs"):
        hardware.plan(dense(), devices="CPU:0", machine=PLAIN)


def test_gpu_that_tensorflow_cannot_use_is_named(gpus):
    gpus()
    machine = Hardware("a processor", 4, (), 8 << 30, ("H200",))
    assert "TensorFlow cannot use H200" in str(hardware.plan(dense(), machine=machine))


def cluster(workers):
    addresses = [f"127.0.0.1:{20000 + i}" for i in range(workers)]
    task = {"type": "worker", "index": 0}
    return json.dumps({"cluster": {"worker": addresses}, "task": task})


def test_several_machines(gpus, monkeypatch):
    gpus()
    monkeypatch.setenv("TF_CONFIG", cluster(2))
    plan = hardware.plan(recurrent(), machine=PLAIN)
    assert (plan.distribution, plan.xla, plan.shards) == ("multi_worker", "none", 1)
    assert plan.steps_per_execution == hardware.planning.STEPS_TOGETHER
    assert "TF_CONFIG names 2 workers" in str(plan)
    with pytest.raises(CourseError, match="xla='step' with several devices"):
        hardware.plan(recurrent(), machine=PLAIN, xla="step")


def test_cluster_of_one_is_none(gpus, monkeypatch):
    gpus()
    monkeypatch.setenv("TF_CONFIG", cluster(1))
    assert hardware.plan(dense(), machine=PLAIN).distribution == "none"


@pytest.mark.parametrize("text", ["{", "[]", '"worker"'])
def test_broken_cluster_is_refused(text, gpus, monkeypatch):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(CourseError, match="TF_CONFIG cannot be read"):
        hardware.plan(dense(), machine=PLAIN)


def test_plan_is_one_line_that_says_why(gpus):
    gpus()
    text = str(hardware.plan(recurrent(), machine=BF16))
    assert text == (
        "Plan: CPU:0 · float32 · XLA for the whole step in 4 shards – no GPU, 4 cores; float32: no "
        "gain from less here; XLA unties the time loop"
    )
    assert "no GPU, 1 core;" in str(hardware.plan(recurrent(), machine=replace(BF16, cores=1)))


def test_less_memory_keeps_the_rest_of_the_plan(gpus):
    gpus()
    plan = hardware.plan(dense(), machine=PLAIN).in_microbatches().in_microbatches()
    assert (plan.microbatches, plan.steps_per_execution, plan.precision) == (4, 1, "float32")


def classifier(*layers):
    return keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Flatten()])


def test_inference_uses_one_device_and_no_xla(gpus):
    gpus(A100, A100)
    convolution = classifier(keras.layers.Conv2D(4, 3))
    found = hardware.inference_plan(convolution, machine=PLAIN)
    assert found.devices == ("GPU:0",)
    assert (found.precision, found.xla, found.distribution) == ("mixed_bfloat16", "none", "none")


def test_inference_in_half_precision_where_it_gains(gpus):
    gpus()
    convolution = classifier(keras.layers.Conv2D(4, 3))
    depthwise = classifier(keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(4, 1))
    for model, machine, precision in (
        (convolution, BF16, "mixed_bfloat16"),
        (convolution, PLAIN, "float32"),
        (depthwise, BF16, "float32"),
    ):
        assert hardware.inference_plan(model, machine=machine).precision == precision
    asked = hardware.inference_plan(depthwise, machine=PLAIN, precision="mixed_bfloat16")
    assert asked.precision == "mixed_bfloat16"
