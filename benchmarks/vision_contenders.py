"""One contender, alone in its process: ``speed LOOP``, ``agreement`` or ``folder PATH``.

Prints its figures as JSON.
"""

import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np

BATCH = 32
REPEATS = 5
BLOCKS = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))


def noise(count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, 224, 224, 3), np.uint8)


def seconds(function: Callable[[], object], repeats: int = REPEATS) -> float:
    function()  # compiles
    taken = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def speed(loop: str) -> dict[str, float]:
    images = noise(BATCH)
    if loop.startswith("PyTorch"):
        run = with_torch(loop)
    elif loop.startswith("OpenVINO"):
        run = with_openvino(loop)
    elif loop == "classifier":
        run = with_classifier()
    else:
        run = with_predict()
    single = seconds(lambda: run(images[:1]), 2 * REPEATS)
    if loop.endswith("photo by photo"):
        return {"photos_per_second": 1 / single, "single_ms": 1000 * single}
    return {
        "photos_per_second": BATCH / seconds(lambda: run(images)),
        "single_ms": 1000 * single,
    }


def with_classifier() -> Callable[[np.ndarray], Any]:
    from helpers.vision import load_classifier

    return load_classifier("VGG16", None).probabilities


def with_predict() -> Callable[[np.ndarray], Any]:
    """Predict as the course's sources do."""
    import keras

    model = keras.applications.VGG16(weights=None)
    preprocess = keras.applications.vgg16.preprocess_input
    return lambda images: model.predict(preprocess(images.astype("float32")), verbose=0)


def with_torch(loop: str) -> Callable[[np.ndarray], Any]:
    import torch
    from torch import nn

    stack: list[Any] = []
    channels = 3
    for width, depth in BLOCKS:
        for _ in range(depth):
            stack += [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
            channels = width
        stack.append(nn.MaxPool2d(2))
    stack += [nn.Flatten(), nn.Linear(25088, 4096), nn.ReLU(), nn.Linear(4096, 4096), nn.ReLU()]
    model = nn.Sequential(*stack, nn.Linear(4096, 1000)).eval()
    if "bfloat16" in loop:
        model = model.bfloat16()
    last = loop.endswith("channels last")
    if last:
        model = model.to(memory_format=torch.channels_last)
    dtype = next(model.parameters()).dtype
    mean = torch.tensor([103.939, 116.779, 123.68])

    def run(images: np.ndarray) -> Any:
        with torch.inference_mode():
            x = torch.from_numpy(images).flip(-1).float() - mean
            x = x.permute(0, 3, 1, 2).to(dtype)
            x = x if last else x.contiguous()
            return model(x).float().softmax(dim=1).numpy()

    return run


def with_openvino(loop: str) -> Callable[[np.ndarray], Any]:
    """Predict by OpenVINO what Keras exports for it."""
    import keras
    import openvino

    precision = {"INFERENCE_PRECISION_HINT": "bf16" if "bfloat16" in loop else "f32"}
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/vgg16.xml"
        keras.applications.VGG16(weights=None).export(path, format="openvino", verbose=False)
        core = openvino.Core()
        model = core.compile_model(core.read_model(path), "CPU", precision)
    preprocess = keras.applications.vgg16.preprocess_input
    return lambda images: model(preprocess(images.astype("float32")))[0]


def agreement() -> dict[str, float]:
    """Compare precisions where the first class is not trivial: which photo is a piece from?

    The last layer is fitted to half of the pieces (ridge regression on the features, in float32),
    so that the network tells the photos apart; the other half is predicted.
    """
    from helpers.vision import load_classifier, sample_photos
    from helpers.vision.photos import decode, list_photos

    rng = np.random.default_rng(0)
    photos = [decode(photo, (320, 320)) for photo in list_photos(sample_photos())]
    each = max(10, 400 // len(photos))
    y = np.repeat(np.arange(len(photos)), each)
    places = rng.integers(0, 97, (len(y), 2))
    x = np.stack([photos[n][r : r + 224, c : c + 224] for n, (r, c) in zip(y, places, strict=True)])
    exact = load_classifier("VGG16", None, precision="float32")
    features = exact.features(x, progress=False)
    mean = features.mean(axis=0)
    centred = features - mean
    fit = np.arange(len(y)) % 2 == 0
    gram = centred[fit] @ centred[fit].T
    dual = np.linalg.solve(
        gram + 1e-3 * gram.trace() / len(gram) * np.eye(len(gram)), np.eye(len(photos))[y[fit]]
    )
    solved = centred[fit].T @ dual
    kernel, bias = (np.zeros_like(w) for w in exact.model.layers[-1].get_weights())
    kernel[:, : len(photos)] = solved
    bias[: len(photos)] = -mean @ solved
    bias[len(photos) :] = -10
    exact.model.layers[-1].set_weights([kernel, bias])
    planned = load_classifier("VGG16", None)
    planned.model.set_weights(exact.model.get_weights())
    said = [
        np.concatenate(
            [c.probabilities(x[~fit][i : i + BATCH]) for i in range(0, (~fit).sum(), BATCH)]
        )
        for c in (exact, planned)
    ]
    first, second = (probabilities.argmax(axis=1) for probabilities in said)
    return {
        "same": float((first == second).mean()),
        "pieces": int((~fit).sum()),
        "classes": len(photos),
        "accuracy": float((first == y[~fit]).mean()),
        "half_precision": int(planned.plan.precision != "float32"),
    }


def folder(path: str) -> dict[str, float]:
    import warnings

    from helpers.vision import load_classifier
    from helpers.vision.photos import list_photos, readable

    network = load_classifier("MobileNet", None, alpha=0.25)
    network.weights = "random"  # so that it predicts all the same
    warnings.simplefilter("ignore")
    network.predict(list_photos(path)[0].source, progress=False)
    start = time.perf_counter()
    table = network.predict(path, progress=False)
    taken = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count = len(table) // 3
    start = time.perf_counter()
    for _ in readable(list_photos(path), network.image_size):
        pass
    decoding = time.perf_counter() - start
    images = noise(BATCH)
    computing = seconds(lambda: network.probabilities(images), 20) * count / BATCH
    return {
        "seconds": taken,
        "decoding_seconds": decoding,
        "computing_seconds": computing,
        "peak_mb": peak,
    }


def main() -> None:
    """Measure what the command line names."""
    kind, *arguments = sys.argv[1:]
    measured = {"speed": speed, "agreement": agreement, "folder": folder}[kind](*arguments)
    print(json.dumps(measured))


if __name__ == "__main__":
    main()
