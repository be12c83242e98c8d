"""Measure contenders in turns, each in a process of its own, and keep the medians.

Timings on a shared machine are noisy, ratios within one run are less so. Nothing else should
compute meanwhile.
"""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterable
from typing import Any

from helpers.files import ROOT, write_atomically
from helpers.hardware import detect

RESULTS = ROOT / "benchmarks" / "results.json"


def run_python(*arguments: str) -> dict[str, float]:
    """Run Python with these arguments; return what its last line says in JSON."""
    environment = os.environ | _limits()
    command = [sys.executable, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments)[:200]} failed:\n{done.stderr[-3000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def _limits() -> dict[str, str]:
    """Hold MKL, which PyTorch uses, and XLA to what ``ONEDNN_MAX_CPU_ISA`` allows oneDNN."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    if limit is None:
        return {}
    vectors = "AVX2" if limit.startswith("AVX2") else "AVX512"
    return {"MKL_ENABLE_INSTRUCTIONS": vectors, "XLA_FLAGS": f"--xla_cpu_max_isa={vectors}"}


def take_turns(
    contenders: Iterable[str], measure: Callable[[str], dict[str, float]], rounds: int
) -> dict[str, dict[str, Any]]:
    """Measure every contender once a round; return its medians, and the range of each figure."""
    measured: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, runs in measured.items():
            runs.append(measure(name))
    found: dict[str, dict[str, Any]] = {}
    for name, runs in measured.items():
        figures = {key: [run[key] for run in runs] for key in runs[0]}
        found[name] = {key: statistics.median(values) for key, values in figures.items()}
        found[name] |= {f"{key} range": [min(v), max(v)] for key, v in figures.items()}
    return found


def save(section: str, content: dict[str, Any]) -> None:
    """Put tables into a section of ``benchmarks/results.json``, under this kind of processor."""
    report = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    machine = detect()
    lesser = os.environ.get("ONEDNN_MAX_CPU_ISA")
    measured_on = {"cpu": machine.cpu, "cores": machine.cores, "limited_to": lesser}
    kinds = report.setdefault(section, {})
    kinds[machine.kind] = kinds.get(machine.kind, {}) | measured_on | content
    write_atomically(RESULTS, json.dumps(report, indent=2) + "\n")
