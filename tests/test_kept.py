"""What commit 87e6bd6 has written is kept, and read or refused in one line: ``tests/kept``."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from helpers.cli import main
from helpers.models import build_mlp
from helpers.training import CheckpointError, train

KEPT = Path(__file__).with_name("kept")


def test_a_checkpoint_of_then_is_refused_and_kept(tmp_path):
    path = Path(shutil.copy(KEPT / "checkpoint.npz", tmp_path))
    before = path.read_bytes()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 6)).astype("float32"), rng.integers(0, 3, 200)
    model = build_mlp((6,), 3, hidden=(4,), dropout=0.3)
    weights = model.get_weights()
    with pytest.raises(CheckpointError, match="another version of the course") as error:
        train(model, (x, y), checkpoint=path, progress=False)
    assert "\n" not in str(error.value)
    assert path.read_bytes() == before
    assert all(map(np.array_equal, weights, model.get_weights()))
    with np.load(path) as file:  # what the message does not say: its weights can still be had
        assert any(name.startswith("v model/") for name in file.files)


def test_a_sweep_of_then_is_read_and_kept(tmp_path, capsys):
    folder = shutil.copytree(KEPT / "sweep", tmp_path / "sweep")
    shutil.copy(KEPT / "tiny.ipynb", tmp_path)
    for status in folder.glob("runs/*/status.json"):
        content = json.loads(status.read_text(encoding="utf-8"))
        content["path"] = str(tmp_path / "tiny.ipynb")
        status.write_text(json.dumps(content), encoding="utf-8")
    before = {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
    with pytest.raises(SystemExit):
        main(["sweep", "--status", str(folder)])
    assert "stale      x=2: the package helpers" in capsys.readouterr().out
    assert {p: p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()} == before
    assert list(pd.read_csv(folder / "results.csv")["val_accuracy"]) == [1.0, 2.0]
