"""What the plan decides, why, and what it refuses. Of GPUs only the detection is stood in for."""

import os
import subprocess
import sys
from dataclasses import replace

import keras
import pytest
from keras import layers

from helpers import hardware
from helpers.errors import CourseError
from helpers.hardware import Hardware
from helpers.models import build_cnn, build_mlp, build_rnn
from helpers.training import plan, planning

PLAIN = Hardware("a processor", 4, ("avx2",), 8 << 30, ())
BF16 = Hardware("a newer one", 4, ("avx2", "avx512f", "avx512_bf16"), 8 << 30, ())
A100, V100, OLD = (
    {"device_name": f"GPU {c}", "compute_capability": c} for c in ((8, 0), (7, 0), (6, 1))
)


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    monkeypatch.delenv("COURSE_REQUIRE_GPU", raising=False)


@pytest.fixture
def gpus(monkeypatch):
    def present(*found):
        monkeypatch.setattr(planning, "usable_gpus", lambda: list(found))

    return present


def dense():
    return build_mlp((28, 28), 10)


def convolutional():
    return build_cnn((28, 28), 10)


def recurrent(**options):
    return build_rnn((28, 28), 10, **options)


def test_detect_agrees_with_the_system():
    found = hardware.detect()
    assert 1 <= found.cores <= os.cpu_count()
    assert 0 < found.memory <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert found.cpu
    assert set(found.features) <= set(hardware.FEATURES)


@pytest.mark.parametrize(
    ("files", "cores", "memory"),
    [
        ({"cpu.max": "150000 100000", "memory.max": "1073741824"}, 1, 2**30),
        ({"cpu.max": "max 100000", "memory.max": "max"}, 64, 2**40),
        ({"job/cpu.max": "200000 100000", "job/step/cpu.max": "max 100000"}, 2, 2**40),
    ],
)
def test_a_container_has_what_its_control_group_allows(tmp_path, monkeypatch, files, cores, memory):
    import psutil

    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text + "\n")
    (tmp_path / "own").write_text("4:memory:/a\n1:cpu:/\n0::/job/step/task\n")
    monkeypatch.setattr(hardware, "GROUPS", tmp_path)
    monkeypatch.setattr(hardware, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)
    monkeypatch.delenv("TF_NUM_INTRAOP_THREADS", raising=False)
    total = type("memory", (), {"total": 2**40})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: total)
    found = hardware.detect()
    assert (found.cores, found.memory) == (cores, memory)


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
    monkeypatch.setattr(hardware, "_cpu", lambda: ("the newest", set(ALL)))
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
        plan(dense(), precision=precision, machine=limited)
    assert plan(dense(), precision=precision, machine=PLAIN).precision == precision
    gpus(A100)
    assert plan(dense(), precision=precision, machine=limited).precision == precision


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
    found = plan(model(), machine=machine)
    assert found.device == "CPU:0"
    assert (found.precision, found.xla, found.shards) == (precision, xla, parts)
    assert not found.on_gpu


@pytest.mark.parametrize(
    "layer",
    [layers.Dropout(0.2), layers.BatchNormalization(), layers.GaussianNoise(0.1)],
    ids=lambda layer: layer.name,
)
def test_parts_only_where_they_compute_the_same(layer, gpus):
    gpus()
    model = keras.Sequential([keras.Input((5, 4)), layers.LSTM(3), layer, layers.Dense(2)])
    assert plan(model, machine=PLAIN).shards == 1


@pytest.mark.parametrize(
    ("gpu", "precision", "why"),
    [
        (A100, "mixed_bfloat16", "bfloat16 from compute capability 8.0"),
        (V100, "mixed_float16", "loss scaling"),
        (OLD, "float32", "compute capability 6.1"),
        ({"device_name": "another maker's"}, "float32", "does not tell"),
    ],
)
def test_on_one_gpu(gpu, precision, why, gpus):
    gpus(gpu)
    found = plan(convolutional(), machine=PLAIN)
    assert found.on_gpu
    assert found.device == "GPU:0"
    assert (found.precision, found.xla, found.shards) == (precision, "step", 1)
    assert why in str(found)
    assert gpu["device_name"] in str(found)


def test_of_several_gpus_the_first_computes(gpus):
    gpus(V100, A100)
    found = plan(convolutional(), machine=PLAIN)
    assert (found.device, found.precision) == ("GPU:0", "mixed_float16")
    assert "the first of 2 GPUs" in str(found)


def test_model_that_augments_is_not_compiled_whole(gpus):
    gpus(A100)
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.RandomZoom(0.1), layers.Flatten()])
    assert plan(model, machine=PLAIN).xla == "update"
    with pytest.raises(CourseError, match="xla='step' cannot compile all layers"):
        plan(model, machine=PLAIN, xla="step")


@pytest.mark.parametrize(
    "override",
    [{"precision": "mixed_float16"}, {"precision": "float32"}, {"xla": "none"}, {"xla": "step"}],
)
def test_every_decision_can_be_overridden(override, gpus):
    gpus()
    found = plan(convolutional(), machine=BF16, **override)
    assert override.items() <= vars(found).items()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "mixed_bfloat"}, "precision is 'mixed_bfloat'.*Did you mean"),
        ({"xla": "yes"}, "xla is 'yes'; expected one of auto, none, update, step"),
    ],
)
def test_refusals(options, message, gpus):
    gpus()
    with pytest.raises(CourseError, match=message) as caught:
        plan(dense(), machine=PLAIN, **options)
    assert "\n" not in str(caught.value)


def test_required_gpu(gpus, monkeypatch):
    monkeypatch.setenv("COURSE_REQUIRE_GPU", "1")
    gpus()
    with pytest.raises(CourseError, match="COURSE_REQUIRE_GPU=1, but TensorFlow finds no GPU"):
        plan(dense(), machine=PLAIN)
    gpus(A100)
    assert plan(dense(), machine=PLAIN).on_gpu


def test_gpu_that_tensorflow_cannot_use_is_named(gpus):
    gpus()
    machine = Hardware("a processor", 4, (), 8 << 30, ("H200",))
    assert "TensorFlow cannot use H200" in str(plan(dense(), machine=machine))


def test_plan_is_one_line_that_says_why(gpus):
    gpus()
    text = str(plan(recurrent(), machine=BF16))
    assert text == (
        "Plan: CPU:0 · float32 · XLA for the whole step in 4 shards – no GPU, 4 cores; float32: no "
        "gain from less here; XLA unties the time loop"
    )
    assert "no GPU, 1 core;" in str(plan(recurrent(), machine=replace(BF16, cores=1)))


def classifier(*layers):
    return keras.Sequential([keras.Input((16, 16, 3)), *layers, keras.layers.Flatten()])


def test_inference_uses_one_device_and_no_xla(gpus):
    gpus(A100, A100)
    convolution = classifier(keras.layers.Conv2D(4, 3))
    found = plan(convolution, machine=PLAIN, xla="none")
    assert (found.device, found.precision, found.xla) == ("GPU:0", "mixed_bfloat16", "none")


def test_inference_in_half_precision_where_it_gains(gpus):
    gpus()
    convolution = classifier(keras.layers.Conv2D(4, 3))
    depthwise = classifier(keras.layers.DepthwiseConv2D(3), keras.layers.Conv2D(4, 1))
    for model, machine, precision in (
        (convolution, BF16, "mixed_bfloat16"),
        (convolution, PLAIN, "float32"),
        (depthwise, BF16, "float32"),
    ):
        assert plan(model, machine=machine, xla="none").precision == precision
    asked = plan(depthwise, machine=PLAIN, xla="none", precision="mixed_bfloat16")
    assert asked.precision == "mixed_bfloat16"
