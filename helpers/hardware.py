"""What this machine has. Only what asks for usable GPUs imports TensorFlow."""

import os
import platform
import shutil
import subprocess
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# oneDNN's names for instruction sets, each with what the one before has ("CPU dispatcher control"),
# and the first of them that has each feature that decides how a network can be computed.
ISAS = (
    *("SSE41", "AVX", "AVX2", "AVX2_VNNI", "AVX2_VNNI_2", "AVX512_CORE", "AVX512_CORE_VNNI"),
    *("AVX512_CORE_BF16", "AVX512_CORE_FP16", "AVX512_CORE_AMX", "AVX512_CORE_AMX_FP16"),
)
FIRST = {
    "avx2": "AVX2",
    "avx512f": "AVX512_CORE",
    "avx512_bf16": "AVX512_CORE_BF16",
    "avx512_fp16": "AVX512_CORE_FP16",
    "amx_bf16": "AVX512_CORE_AMX",
}
FEATURES = tuple(FIRST)
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
KINDS = {"amx_bf16": "AMX", "avx512_bf16": "bfloat16", "avx512f": "AVX-512", "avx2": "AVX2"}


@dataclass(frozen=True)
class Hardware:
    """The machine as the course sees it.

    Attributes
    ----------
    cpu : str
        The processor's name.
    cores : int
        Cores that this process may use, by its affinity and its control group (a container's).
    features : tuple of str
        Those of ``FEATURES`` that the processor has (known on Linux only), and that
        ``ONEDNN_MAX_CPU_ISA`` leaves it.
    memory : int
        Bytes of main memory that it may use.
    gpus : tuple of str
        Names of the NVIDIA GPUs.
    withheld : tuple of str
        Features that the processor has, but ``ONEDNN_MAX_CPU_ISA`` does not leave it.
    """

    cpu: str
    cores: int
    features: tuple[str, ...]
    memory: int
    gpus: tuple[str, ...]
    withheld: tuple[str, ...] = ()

    @property
    def kind(self) -> str:
        """The kind of processor: ``"AMX"``, ``"bfloat16"``, ``"AVX-512"``, ``"AVX2"`` or other."""
        return next((kind for f, kind in KINDS.items() if f in self.features), "other")

    def count_cores(self) -> str:
        """Return the number of cores in words, such as ``"1 core"``."""
        return f"{self.cores} core" + "s" * (self.cores != 1)


def detect() -> Hardware:
    """Find out what this machine has."""
    import psutil

    name, flags = _cpu()
    present, allowed = [f for f in FEATURES if f in flags], _allowed()
    return Hardware(
        cpu=name,
        cores=_cores(),
        features=tuple(f for f in present if f in allowed),
        memory=min([psutil.virtual_memory().total, *_group_limits("memory")]),
        gpus=_gpus(),
        withheld=tuple(f for f in present if f not in allowed),
    )


def _cores() -> int:
    # Job schedulers and taskset allow fewer cores than the machine has, a sweep fewer threads.
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    given = [int(threads)] if threads.isdigit() and int(threads) else []
    return min([allowed, *given, *_group_limits("cpu")])


def _group_limits(kind: str) -> list[int]:
    """Return the limits of this process's control groups: cores (``"cpu"``) or bytes."""
    files = {
        "cpu": ("cpu.max", "cpu.cfs_quota_us"),
        "memory": ("memory.max", "memory.limit_in_bytes"),
    }
    limits = []
    with suppress(OSError):  # other systems have no control groups
        for line in OWN_GROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and kind not in controllers.split(","):
                continue
            root = GROUPS / kind if controllers else GROUPS
            own = root / path.lstrip("/")
            for folder in {root, own, *(p for p in own.parents if root in p.parents)}:
                for name in files[kind]:
                    with suppress(OSError, ValueError):
                        amount, *period = (folder / name).read_text().split()
                        if name == "cpu.cfs_quota_us":
                            period = [(folder / "cpu.cfs_period_us").read_text()]
                        if amount.isdigit():
                            limits.append(max(1, int(amount) // int(period[0] if period else 1)))
    return limits


def _allowed() -> tuple[str, ...]:
    """Return the features that oneDNN may use; a name that it does not know allows all."""
    name = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    if name.upper() not in ISAS:
        return FEATURES
    newest = ISAS.index(name.upper())
    return tuple(f for f, first in FIRST.items() if ISAS.index(first) <= newest)


def _cpu() -> tuple[str, set[str]]:
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() or platform.machine(), set()
    fields = {}
    for line in info.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    name = fields.get("model name", platform.machine())
    return name, set(fields.get("flags", "").split())


def _gpus() -> tuple[str, ...]:
    command = shutil.which("nvidia-smi")
    if command is None:
        return ()
    query = [command, "--query-gpu=name", "--format=csv,noheader"]
    try:
        listed = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
    except (OSError, subprocess.SubprocessError):
        return ()
    return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip())


def usable_gpus() -> list[dict[str, Any]]:
    """Return what TensorFlow tells of the GPUs that it can use: name and compute capability."""
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu) for gpu in gpus]


@cache
def prepare() -> None:
    """Let every GPU take memory as it needs it, where TensorFlow would take all of it at once.

    TensorFlow takes this setting only before its first computation, so ``helpers.models`` and
    ``helpers.training`` call it when they are imported.
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
