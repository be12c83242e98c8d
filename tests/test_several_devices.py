"""``docs/several_devices.md``: its program, on two devices and on one."""

import os
import re
from dataclasses import replace

import numpy as np

from helpers.files import ROOT


def run_the_program(devices, out):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    text = (ROOT / "docs" / "several_devices.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    code = code.replace("MirroredStrategy()", f"MirroredStrategy({devices})")
    found = {}
    exec(code, found)
    refused = ""
    if len(devices) > 1:
        from helpers.training import TrainingError, train

        try:
            train(found["model"], found["data"], progress=False)
        except TrainingError as error:
            refused = str(error)
    assert isinstance(found["model"], keras.Model)
    np.savez(out, *found["model"].get_weights(), refused=np.array(refused))
    os._exit(0)


def test_the_program_gives_on_two_devices_what_it_gives_on_one(processes, tmp_path):
    results = []
    for devices in (["CPU:0"], ["CPU:0", "CPU:1"]):
        out = tmp_path / f"{len(devices)}.npz"
        process = processes.Process(target=run_the_program, args=(devices, out))
        process.start()
        process.join(120)
        process.kill()
        assert process.exitcode == 0
        results.append(dict(np.load(out)))
    one, two = results
    assert "The model was made in the scope of a strategy with 2 devices" in str(two.pop("refused"))
    for name in two:
        np.testing.assert_allclose(two[name], one[name], atol=1e-5)


def train_on_the_second(out):
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import keras
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    from helpers.training import plan, train

    placed = []

    def look(x):
        placed.append(getattr(x, "device", ""))
        return x * 2

    x = np.random.default_rng(0).normal(size=(40, 6)).astype("float32")
    layers = [keras.layers.Lambda(look, output_shape=(6,)), keras.layers.Dense(1)]
    model = keras.Sequential([keras.Input((6,)), *layers])
    chosen = replace(plan(model, xla="none"), device="CPU:1")
    train(model, (x, x[:, 0]), plan=chosen, progress=False)
    out.write_text(" ".join(placed))
    os._exit(0)


def test_the_device_that_is_asked_for_computes(processes, tmp_path):
    process = processes.Process(target=train_on_the_second, args=(tmp_path / "device",))
    process.start()
    process.join(60)
    process.kill()
    assert process.exitcode == 0
    assert (tmp_path / "device").read_text().split() == ["/device:CPU:1"]
