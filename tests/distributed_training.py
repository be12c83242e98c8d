"""Train in a process of its own: OUT CHECKPOINT EPOCHS one|two|workers."""

import json
import sys
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf


def main(out: str, checkpoint: str, epochs: str, devices: str) -> None:
    names: str | tuple[str, ...] = "auto"
    if devices == "two":  # one processor as two devices
        cpu = tf.config.list_physical_devices("CPU")[0]
        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        tf.config.set_logical_device_configuration(cpu, halves)
        names = ("CPU:0", "CPU:1")
    from helpers import hardware
    from helpers.models import build_mlp
    from helpers.training import train

    rng = np.random.default_rng(0)
    x = rng.normal(size=(216, 6)).astype("float32")  # 173 to train on: the last batch is odd
    y = rng.integers(0, 3, 216)
    keras.utils.set_random_seed(3)
    model = build_mlp((6,), 3, hidden=(8,), l2=0.01)
    result = train(
        model,
        (x, y),
        epochs=int(epochs),
        batch_size=32,
        validation_split=0.2,
        class_weight={0: 2.0},
        plan=hardware.plan(model, devices=names, xla="none" if devices == "one" else "auto"),
        checkpoint=checkpoint,
        progress=False,
    )
    content = {
        "history": result.history.drop(columns="seconds").to_dict("list"),
        "weights": [w.tolist() for w in model.get_weights()],
        "plan": str(result.plan),
    }
    Path(out).write_text(json.dumps(content))


if __name__ == "__main__":
    main(*sys.argv[1:])
