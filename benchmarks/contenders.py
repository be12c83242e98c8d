"""One contender, alone in its process: NETWORK LOOP, or ``growth "arrays 2" FOLDER``.

Prints its figures as JSON. Every loop trains the same network on the same images for as many
epochs; speed leaves the first epoch out, in which all of them compile or warm up.
"""

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

STARTED = time.perf_counter()

import numpy as np  # noqa: E402

from helpers.datasets import Dataset, load_dataset  # noqa: E402

# With AVX2 only, an epoch of the CNN takes a minute for all 60,000 images: it gets fewer of them.
SIZES = {"cnn": (6_000, 3), "lstm": (30_000, 4), "dense": (60_000, 4)}  # images, epochs
OPTIMIZERS = {"cnn": "adam", "lstm": "adam", "dense": "rmsprop"}
BATCH = 128


def mnist(n: int) -> Dataset:
    data = load_dataset("mnist", progress=False)
    return data.replace(x_train=data.x_train[:n], y_train=data.y_train[:n])


def build(network: str, *, rescale: bool) -> Any:
    from helpers import models

    makers = {"cnn": models.build_cnn, "lstm": models.build_rnn, "dense": models.build_mlp}
    return makers[network]((28, 28), 10, rescale=rescale)


def with_train(network: str, data: Dataset, epochs: int) -> tuple[list[float], float]:
    from helpers.evaluation import evaluate
    from helpers.training import train

    model = build(network, rescale=True)
    result = train(
        model, data, epochs=epochs, batch_size=BATCH, optimizer=OPTIMIZERS[network],
        validation_split=0, progress=False,
    )  # fmt: skip
    return list(result.history["seconds"]), evaluate(model, data).accuracy


def with_fit(
    network: str, data: Dataset, epochs: int, *, pipeline: bool, onednn: bool, xla: bool, half: bool
) -> tuple[list, float]:
    """Train as the course's sources do, or as Keras's and TensorFlow's guides make it fast."""
    if not onednn:  # what TensorFlow decides by itself, without the course's package
        os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)
    import keras
    import tensorflow as tf

    if half:
        keras.config.set_dtype_policy("mixed_bfloat16")
    model, clock = build(network, rescale=False), Clock()
    x, x_test = (a.astype("float32") / 255 for a in (data.x_train, data.x_test))
    y = keras.utils.to_categorical(data.y_train, 10)
    y_test = keras.utils.to_categorical(data.y_test, 10)
    model.compile(
        optimizer=OPTIMIZERS[network],
        loss="categorical_crossentropy",
        metrics=["accuracy"],
        steps_per_execution=50 if pipeline else 1,
        jit_compile=xla,
    )
    tick = keras.callbacks.LambdaCallback(on_epoch_end=lambda *_: clock.tick())
    options: dict[str, Any] = {"epochs": epochs, "verbose": 0, "callbacks": [tick]}
    if pipeline:
        stream = tf.data.Dataset.from_tensor_slices((x, y)).cache().shuffle(len(x))
        batches = stream.batch(BATCH, drop_remainder=True).prefetch(tf.data.AUTOTUNE)
        clock.start()
        model.fit(batches, **options)
    else:
        clock.start()
        model.fit(x, y, batch_size=BATCH, **options)
    return clock.seconds, model.evaluate(x_test, y_test, verbose=0)[1]


class Clock:
    """Seconds of each epoch."""

    def start(self) -> None:
        self.seconds: list[float] = []
        self._last = time.perf_counter()

    def tick(self) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self._last)
        self._last = now


def with_torch(network: str, data: Dataset, epochs: int, *, half: bool) -> tuple[list, float]:
    """Train in PyTorch, eagerly, with the data in memory and no loader in between."""
    import torch
    from torch import nn

    torch.manual_seed(0)

    class Last(nn.Module):
        def forward(self, x: Any) -> Any:
            return x[0][:, -1]

    stacks = {
        "cnn": lambda: [
            nn.Unflatten(1, (1, 28)),
            *(nn.Conv2d(1, 32, 3), nn.ReLU(), nn.Conv2d(32, 64, 3), nn.ReLU(), nn.MaxPool2d(2)),
            *(nn.Dropout(0.25), nn.Flatten(), nn.Linear(9216, 128), nn.ReLU()),
            *(nn.Dropout(0.5), nn.Linear(128, 10)),
        ],
        "lstm": lambda: [nn.LSTM(28, 32, batch_first=True), Last(), nn.Linear(32, 10)],
        "dense": lambda: [nn.Flatten(), nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 10)],
    }  # fmt: skip
    model = nn.Sequential(*stacks[network]())
    optimizers = {"adam": torch.optim.Adam, "rmsprop": torch.optim.RMSprop}
    optimizer = optimizers[OPTIMIZERS[network]](model.parameters(), lr=0.001)
    x, x_test = (torch.from_numpy(a).float() / 255 for a in (data.x_train, data.x_test))
    y = torch.from_numpy(data.y_train)
    clock = Clock()
    clock.start()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for start in range(0, len(x), BATCH):
            rows = order[start : start + BATCH]
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                loss = nn.functional.cross_entropy(model(x[rows]), y[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        clock.tick()
    model.eval()
    with torch.no_grad():
        predicted = torch.cat([model(part).argmax(1) for part in x_test.split(1000)])
    return clock.seconds, float((predicted.numpy() == data.y_test).mean())


def speed(network: str, loop: str) -> dict[str, float]:
    n, epochs = SIZES[network]
    data = mnist(n)
    if loop == "train":
        seconds, accuracy = with_train(network, data, epochs)
    elif loop.startswith("fit"):
        words = {"pipeline": "tf.data", "onednn": "oneDNN", "xla": "XLA", "half": "bfloat16"}
        options = {option: word in loop for option, word in words.items()}
        seconds, accuracy = with_fit(network, data, epochs, **options)
    else:
        seconds, accuracy = with_torch(network, data, epochs, half="bfloat16" in loop)
    return {"images_per_second": n / float(np.median(seconds[1:])), "accuracy": accuracy}


def to_accuracy(loop: str, goal: float = 0.99, most: int = 12) -> dict[str, float]:
    """Train the course's CNN until it is right on 99% of the test images; imports count."""
    data = mnist(60_000)
    if loop == "train":
        import keras

        from helpers.evaluation import evaluate
        from helpers.training import train

        model, epochs, batch = build("cnn", rescale=True), 2, 64
        steps = epochs * -(-len(data.x_train) // batch)
        # Up quickly, then down to zero: most of the way in the fewest steps (Smith, 2018).
        rate = keras.optimizers.schedules.CosineDecay(
            2e-4, steps - steps // 5, warmup_target=2e-3, warmup_steps=steps // 5
        )
        options = {"batch_size": batch, "validation_split": 0, "progress": False}
        adam = keras.optimizers.Adam(beta_2=0.99)
        train(model, data, epochs=epochs, optimizer=adam, learning_rate=rate, **options)
        while (accuracy := evaluate(model, data).accuracy) < goal and epochs < most:
            train(model, data, epochs=1, optimizer=adam, learning_rate=2e-4, **options)
            epochs += 1
    else:
        os.environ.pop("TF_ENABLE_ONEDNN_OPTS", None)  # as for with_fit
        model = build("cnn", rescale=False)
        x, x_test = (a.astype("float32") / 255 for a in (data.x_train, data.x_test))
        model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        epochs, accuracy = 0, 0.0
        while accuracy < goal and epochs < most:
            model.fit(x, data.y_train, batch_size=BATCH, epochs=1, verbose=0)
            accuracy = model.evaluate(x_test, data.y_test, verbose=0)[1]
            epochs += 1
    seconds = time.perf_counter() - STARTED
    if accuracy < goal:
        raise SystemExit(f"{loop} reached only {accuracy:.4f} in {epochs} epochs")
    return {"seconds": seconds, "epochs": epochs, "accuracy": accuracy}


def growth(step: str, folder: str) -> dict[str, float]:
    """Train for three epochs on arrays, or on a stream of photos from a folder."""
    from helpers.models import build_cnn
    from helpers.training import train

    kind, multiple = step.split()
    if kind == "arrays":
        data = mnist(7500 * int(multiple))
        data = (data.x_train, data.y_train)
        model = build("dense", rescale=True)
        options = {"batch_size": BATCH, "validation_split": 0, "epochs": 6}
    else:
        path = Path(folder) / multiple
        data = load_dataset(path, streaming=True, batch_size=BATCH, progress=False)
        model, options = build_cnn(data, blocks=((8,), (8,))), {"epochs": 2}
    seconds = train(model, data, progress=False, **options).history["seconds"].iloc[1:]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": float(seconds.median()), "peak_mb": peak}


def main(what: str, loop: str, folder: str = "") -> None:
    if what == "to 99%":
        figures = to_accuracy(loop)
    elif what == "growth":
        figures = growth(loop, folder)
    else:
        figures = speed(what, loop)
    print(json.dumps(figures))


if __name__ == "__main__":
    main(*sys.argv[1:])
