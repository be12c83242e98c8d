"""Would the tests notice? Five faults are put into a copy; each time one of them has to fail."""

import os
import shutil
import subprocess
import sys

import pytest

from helpers.files import ROOT

MUTANTS = {
    "gradients doubled": (
        "training/step.py",
        "model.optimizer.scale_loss(loss)",
        "model.optimizer.scale_loss(2.0 * loss)",
    ),
    "sample weights ignored": (
        "training/step.py",
        "model.compute_loss(x, y, predicted, weight,",
        "model.compute_loss(x, y, predicted, None,",
    ),
    "dropout off": ("layers.py", "    if not training:", "    if True:"),
    "the order of an epoch repeated": (
        "training/data.py",
        "seed, rows = [self._seed, epoch + 1]",
        "seed, rows = [self._seed, 1]",
    ),
    "a scheduler called twice": (
        "training/loop.py",
        "*callbacks, watch]",
        "*callbacks, *callbacks, watch]",
    ),
}


@pytest.mark.faults
@pytest.mark.parametrize("name", MUTANTS)
def test_a_fault_in_the_training_is_noticed(name, tmp_path):
    file, before, after = MUTANTS[name]
    for part in ("helpers", "tests", "docs", "pyproject.toml"):
        copy = shutil.copytree if (ROOT / part).is_dir() else shutil.copy
        copy(ROOT / part, tmp_path / part)
    path = tmp_path / "helpers" / file
    text = path.read_text(encoding="utf-8")
    assert text.count(before) == 1
    path.write_text(text.replace(before, after), encoding="utf-8")
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    environment.pop("COURSE_FAULTS", None)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider"]
    tests = ["tests/test_training.py", "tests/test_fit.py"]
    done = subprocess.run(
        [*command, *tests], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 1, done.stdout[-2000:]  # a test has failed, and no import
