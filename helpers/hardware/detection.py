"""What this machine has, found out without importing TensorFlow."""

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

# The processor features that decide how fast a network can run.
FEATURES = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")


@dataclass(frozen=True)
class Hardware:
    """The machine as the course sees it.

    Attributes
    ----------
    cpu : str
        The processor's name.
    cores : int
        Cores that this process may use.
    features : tuple of str
        Those of ``FEATURES`` that the processor has (known on Linux only).
    memory : int
        Bytes of main memory.
    gpus : tuple of str
        Names of the NVIDIA GPUs.
    """

    cpu: str
    cores: int
    features: tuple[str, ...]
    memory: int
    gpus: tuple[str, ...]


def detect() -> Hardware:
    """Find out what this machine has."""
    import psutil

    name, flags = _cpu()
    return Hardware(
        cpu=name,
        cores=_cores(),
        features=tuple(feature for feature in FEATURES if feature in flags),
        memory=psutil.virtual_memory().total,
        gpus=_gpus(),
    )


def _cores() -> int:
    # Job schedulers and taskset allow fewer cores than the machine has, a sweep fewer threads.
    if hasattr(os, "sched_getaffinity"):
        allowed = len(os.sched_getaffinity(0))
    else:
        allowed = os.cpu_count() or 1
    threads = os.environ.get("TF_NUM_INTRAOP_THREADS", "")
    return min(allowed, int(threads)) if threads.isdigit() and int(threads) else allowed


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
