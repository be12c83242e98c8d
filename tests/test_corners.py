"""The corners of the training loop: devices × last batch × layers × turn × feed × outputs.

In all of them ``train`` computes what Keras's ``fit`` computes on one device, and ``evaluate``,
``save`` and ``load_model`` agree afterwards. Tolerance: 1e-5 of losses, metrics and weights (sums
of float32 in another order); with dropout a fifth of the training loss and a fifth of its metrics,
whose units are drawn otherwise.
``make test`` takes a third of the grid, in which every pair of values occurs; ``make faults`` all.
"""

import json
import os
import socket

import corners
import numpy as np
import pytest


def in_processes(processes, function, arguments, environments=({},)):
    """Call a function in one process for each environment; return what they wrote."""
    started = []
    for own, environment in zip(arguments, environments, strict=True):
        target = (function, own, environment)
        started.append(processes.Process(target=with_environment, args=target))
        started[-1].start()
    for process in started:
        process.join(300 if corners.ALL else 120)
        process.kill()
    assert [process.exitcode for process in started] == [0] * len(started)
    return [json.loads(out.read_text()) for *_, out in arguments]


def with_environment(function, arguments, environment):
    os.environ.update(environment)
    function(*arguments)
    os._exit(0)  # what TensorFlow keeps for several machines would wait for them


def two_machines():
    """Return the environments of two workers on loopback."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
    workers = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return [
        {
            "TF_CONFIG": json.dumps(
                {"cluster": {"worker": workers}, "task": {"type": "worker", "index": i}}
            )
        }
        for i in range(2)
    ]


def train_everywhere(processes, devices, layer, folder):
    outs = [folder / f"{number}.json" for number in range(2 if devices == "two machines" else 1)]
    environments = two_machines() if len(outs) == 2 else [{}]
    arguments = [(devices, layer, out) for out in outs]
    return in_processes(processes, corners.run, arguments, environments)


@pytest.mark.parametrize("layer", corners.LAYER)
def test_corners(layer, processes, tmp_path):
    expected = {corners.named(c): corners.by_keras(*c) for c in corners.corners(layer)}
    wrong = []
    everywhere = ("one device", "two devices", "two machines")
    for devices in (devices for devices in everywhere if corners.corners(layer, devices)):
        for found in train_everywhere(processes, devices, layer, tmp_path):
            chosen = corners.corners(layer, devices)
            assert len(found) == sum(len(corners.turns(corner, devices)) for corner in chosen)
            for name, ours in found.items():
                theirs = expected[name.rpartition(" · ")[0]]
                wrong += [f"{devices} · {name}: {w}" for w in differences(layer, ours, theirs)]
            # A second training in the process gives the same, to the bit.
            seconds = [name for name in found if name.endswith(corners.TURN[1])]
            assert seconds or (devices == "two devices" and layer != "batch normalization")
            for name in seconds:
                first = found[name.replace(*reversed(corners.TURN))]
                if first["weights"] != found[name]["weights"]:
                    wrong.append(f"{devices} · {name}: differs from the first")
    assert not wrong, "\n".join(wrong)


def differences(layer, ours, theirs):
    """Name what differs between a training and Keras's."""
    for epoch, (row, fitted) in enumerate(zip(ours["history"], theirs["history"], strict=True), 1):
        for name, value in row.items():
            drawn = layer == "dropout" and not name.startswith("val_")
            tolerance = max(0.2, 0.2 * abs(value)) if drawn else 1e-5
            if abs(value - fitted[name]) > tolerance:
                yield f"{name} {value} in epoch {epoch}, Keras {fitted[name]}"
    for own, other in zip(ours["weights"], theirs["weights"], strict=True):
        if (far := np.abs(np.array(own) - np.array(other)).max()) > 1e-5:
            yield f"weights differ by {far}"
    for name, value in ours.get("evaluated", {}).items():
        reported = ours["history"][-1].get(f"val_{name}", value)
        if abs(value - reported) > 1e-5:
            yield f"evaluate gives {name} {value}, train reported {reported}"
    if not ours.get("loaded is the same", True):
        yield "the loaded model says something else"


@pytest.fixture(scope="module")
def alone(processes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("alone")
    arguments = ("one device", 4, folder / "c.npz", folder / "out.json")
    return in_processes(processes, corners.go_on, [arguments])[0]


@pytest.mark.parametrize("devices", ["two devices", "two machines"])
def test_several_devices_go_on_from_a_checkpoint(devices, alone, processes, tmp_path):
    outs = [tmp_path / f"{number}.json" for number in range(1 + (devices == "two machines"))]
    for epochs in (2, 4):  # the second call goes on from the first one's checkpoint
        environments = two_machines() if len(outs) == 2 else [{}]
        arguments = [(devices, epochs, tmp_path / "c.npz", out) for out in outs]
        results = in_processes(processes, corners.go_on, arguments, environments)
    for found in results:
        what = {"two devices": "CPU:0 + CPU:1 (mirrored)", "two machines": "names 2 workers"}
        assert what[devices] in found["plan"]
        for row, expected in zip(found["history"], alone["history"], strict=True):
            assert row == pytest.approx(expected, abs=1e-5)
        for ours, theirs in zip(found["weights"], alone["weights"], strict=True):
            np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_nan_on_two_devices_is_explained(processes, tmp_path):
    arguments = ("two devices", tmp_path / "out.json")
    (found,) = in_processes(processes, corners.with_nan, [arguments])
    assert "not a finite number at epoch 1, step " in found["said"]
    assert "y holds NaN or infinity in 1 of 48 samples" in found["said"]


def test_interrupted_on_two_devices_the_model_has_its_weights_and_is_compiled(processes, tmp_path):
    arguments = ("two devices", tmp_path / "out.json")
    (found,) = in_processes(processes, corners.interrupted, [arguments])
    assert found["moved"] > 0
    assert {"loss", "accuracy"} <= found.keys()
