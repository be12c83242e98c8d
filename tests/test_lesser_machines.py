"""The tests of the training pass on a lesser machine: no newer instructions, one core."""

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
# What once depended on the processor or the clock; ``make faults`` runs the whole file.
PART = [] if os.environ.get("COURSE_FAULTS") else ["-k", "nan or clock or scal or bit_for_bit"]


def test_training_on_one_core_with_avx2_only():
    code = "import os, sys, pytest; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})"
    options = ["-p", "no:xdist", "-p", "no:cacheprovider", *PART]
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; sys.exit(pytest.main(sys.argv[1:]))",
         str(HERE / "test_training.py"), *options],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
