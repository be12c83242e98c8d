"""The tests of the training pass on a lesser machine: no newer instructions, one core."""

import os
from pathlib import Path

import pytest

FILE = Path(__file__).with_name("test_training.py")
# What once depended on the processor or the clock; ``make faults`` runs the whole file.
PART = (
    []
    if os.environ.get("COURSE_FAULTS")
    else ["-k", "relu or clock and 10000 or bit_for_bit and mlp"]
)


def run_tests(log):
    output = os.open(log, os.O_CREAT | os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(output, stream)
    os.environ["ONEDNN_MAX_CPU_ISA"] = "AVX2"  # read at the first computation
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", "--capture=sys", *PART]
    os._exit(pytest.main([str(FILE), *options]))


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores are chosen on Linux only")
def test_training_on_one_core_with_avx2_only(processes, tmp_path):
    process = processes.Process(target=run_tests, args=(tmp_path / "log",))
    process.start()
    process.join()
    said = (tmp_path / "log").read_text()
    assert process.exitcode == 0, said[-3000:]
    assert " passed" in said
