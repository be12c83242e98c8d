"""Several devices, and several machines, compute what one device computes.

Tolerance: 1e-6 of the losses and weights; sums of float32 in another order differ by that much.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("distributed_training.py")


def start(out: Path, checkpoint: Path, epochs: int, devices: str, **environment: str):
    command = [sys.executable, str(SCRIPT), str(out), str(checkpoint), str(epochs), devices]
    environment = os.environ | environment
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(*processes: subprocess.Popen) -> None:
    try:
        for process in processes:
            output, _ = process.communicate(timeout=120)
            assert process.returncode == 0, output[-3000:]
    finally:
        for process in processes:
            process.kill()


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    finish(start(folder / "out.json", folder / "c.npz", 4, "one"))
    return json.loads((folder / "out.json").read_text())


def compare(found: dict, expected: dict) -> None:
    assert found["history"].keys() == expected["history"].keys()
    for name, values in expected["history"].items():
        np.testing.assert_allclose(found["history"][name], values, atol=1e-6, err_msg=name)
    for ours, theirs in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_two_devices_mirrored_and_resumed(alone, tmp_path):
    for epochs in (2, 4):  # the second call goes on from the first one's checkpoint
        finish(start(tmp_path / "out.json", tmp_path / "c.npz", epochs, "two"))
    found = json.loads((tmp_path / "out.json").read_text())
    assert found["plan"].startswith("Plan: CPU:0 + CPU:1 (mirrored)")
    compare(found, alone)


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def test_two_machines_on_loopback_and_resumed(alone, tmp_path):
    for epochs in (2, 4):
        workers = [f"127.0.0.1:{port}" for port in free_ports(2)]
        finish(*(
            start(
                tmp_path / f"out{index}.json", tmp_path / "c.npz", epochs, "workers",
                TF_CONFIG=json.dumps({
                    "cluster": {"worker": workers}, "task": {"type": "worker", "index": index},
                }),
            )
            for index in range(2)
        ))  # fmt: skip
    for index in range(2):
        found = json.loads((tmp_path / f"out{index}.json").read_text())
        assert "TF_CONFIG names 2 workers" in found["plan"]
        compare(found, alone)
