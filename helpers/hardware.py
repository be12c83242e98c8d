"""What this machine has. Only what asks for usable GPUs imports TensorFlow."""

import os
import platform
import re
import subprocess
import warnings
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# oneDNN's instruction sets, each with what the one before has ("CPU dispatcher control"), and the
# feature that comes with it, of those that decide how a network can be computed.
ISAS = {
    **{"SSE41": "", "AVX": "", "AVX2": "avx2", "AVX2_VNNI": "", "AVX2_VNNI_2": ""},
    **{"AVX512_CORE": "avx512f", "AVX512_CORE_VNNI": "", "AVX512_CORE_BF16": "avx512_bf16"},
    **{"AVX512_CORE_FP16": "avx512_fp16", "AVX512_CORE_AMX": "amx_bf16"},
    "AVX512_CORE_AMX_FP16": "",
}
FEATURES = tuple(filter(None, ISAS.values()))
KINDS = {"amx_bf16": "AMX", "avx512_bf16": "bfloat16", "avx512f": "AVX-512", "avx2": "AVX2"}
GROUPS, OWN_GROUPS = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


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
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA") or os.environ.get("DNNL_MAX_CPU_ISA") or ""
    # oneDNN ignores a name that it does not know.
    newest = list(ISAS).index(limit.upper()) if limit.upper() in ISAS else len(ISAS)
    allowed = list(ISAS.values())[: newest + 1]
    return Hardware(
        cpu=name,
        cores=min(_cores()),
        features=tuple(f for f in FEATURES if f in flags and f in allowed),
        memory=min([psutil.virtual_memory().total, *_group_limits("memory.max")]),
        gpus=_gpus(),
        withheld=tuple(f for f in FEATURES if f in flags and f not in allowed),
    )


def _cores() -> list[int]:
    """Return the numbers of cores that the scheduler, a sweep and the control groups allow."""
    affinity = getattr(os, "sched_getaffinity", None)
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    given = [int(threads)] if threads.isdigit() and int(threads) else []
    own = len(affinity(0)) if affinity else os.cpu_count() or 1
    return [own, *given, *_group_limits("cpu.max")]


def _group_limits(file: str) -> list[int]:
    """Return the limits of this process's control group and those around it: cores or bytes."""
    limits = []
    with suppress(OSError):  # other systems have no control groups, older ones another version
        path = re.search("^0::/(.*)$", OWN_GROUPS.read_text(encoding="utf-8"), re.M)
        own = GROUPS / path[1] if path else GROUPS
        for folder in (own, *own.parents):
            with suppress(OSError, ValueError):  # a number and its period; or "max", no limit
                amount, *period = map(int, (folder / file).read_text().split())
                limits.append(max(1, amount // (period or [1])[0]))
    return limits


def _cpu() -> tuple[str, set[str]]:
    """Return the processor's name and its flags."""
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8")
        fields = dict(re.findall(r"^(model name|flags)\s*: (.*)$", text, re.M))
        return fields.get("model name", platform.machine()), set(fields.get("flags", "").split())
    return platform.processor() or platform.machine(), set()


@cache
def _gpus() -> tuple[str, ...]:
    query = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    with suppress(OSError, subprocess.SubprocessError):
        listed = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True)
        return tuple(line.strip() for line in listed.stdout.splitlines() if line.strip())
    return ()


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
