"""Checks of the exercises of lesson 05: convolutional networks."""

import functools
import re
from typing import Any

import numpy as np

from helpers.classroom.exercises import (
    NotYet,
    Wrong,
    call,
    expect_array,
    expect_count,
    expect_number,
    expect_parts,
    expect_share,
    kind,
    refuse,
    shortened,
)

WEIGHTS = 4_000  # of exercise 6, at most
GOALS = {"mnist": 0.97, "digits": 0.93}  # accuracy there
GOAL = 0.85  # on any other set of images
IMAGES = 15_000  # to train on there, at most
FOREIGN = 0.03  # probability of labels that were not given, at most
NUMBERS = 1_000  # in the description of a network, at most; a layer needs about 10
MOVED = 6  # pixels of exercise 7
SURVIVES = 0.6  # of the pictures are right, at least
KINDS = ("king", "queen", "rook", "bishop", "knight", "pawn")
SIDE = {7: 32, 8: 24}  # of the pictures of an exercise
NAMES = ("flatten", "global", "shuffled", "moved")


def exercise_1(convolved: Any) -> str:
    """Shape of a convolution's result, and its weights."""
    what = "four numbers: rows, columns, channels, weights"
    for rows, columns, channels, filters, size, stride, padding in (
        (28, 28, 1, 32, 3, 1, "valid"),
        (9, 14, 3, 8, 5, 1, "same"),
        (10, 7, 4, 6, 3, 2, "valid"),
        (11, 8, 2, 5, 3, 2, "same"),
        (12, 9, 5, 6, 4, 3, "same"),
        (9, 11, 2, 3, 2, 4, "same"),
        (6, 17, 7, 2, 6, 4, "valid"),
        (5, 6, 3, 4, 1, 2, "valid"),
    ):
        case = (
            f"{filters} filters of {size}×{size}, stride {stride}, padding {padding!r}, over an "
            f"image of {rows}×{columns} with {channels} channels"
        )
        given = (rows, columns, channels, filters, size, stride, padding)
        found = call(convolved, *given, case=case)
        found = expect_parts(_plain(found), 4, what)
        sides = [
            -(-n // stride) if padding == "same" else (n - size) // stride + 1
            for n in (rows, columns)
        ]
        for axis, own, right in zip(("rows", "columns"), found, sides, strict=False):
            expect_count(own, right, f"{case}: {axis}")
        if channels > 1:
            refuse(found[2], {"a filter makes one channel": filters * channels}, case)
        expect_count(found[2], filters, f"{case}: channels of the result")
        traps = {
            "the biases are missing": filters * size * size * channels,
            "a filter has weights for all channels of its input": filters * (size**2 + 1),
            "a filter has one bias, not one for each channel": filters * channels * (size**2 + 1),
        }
        right = filters * (size * size * channels + 1)
        refuse(found[3], {m: trap for m, trap in traps.items() if trap != right}, case)
        expect_count(found[3], right, f"{case}: weights")
    return "stride and padding change the shape, never the weights"


def _plain(found: Any) -> Any:
    """Return a tensor as an array, anything else as it is."""
    return np.asarray(found) if hasattr(found, "numpy") else found


def exercise_2(receptive_field: Any) -> str:
    """Side of the receptive field behind a stack of layers."""
    for stack in (
        [(3, 1)],
        [(3, 1), (3, 1)],
        [(3, 1), (2, 2), (3, 1)],
        [(3, 2), (4, 3), (3, 2)],
        [(3, 1), (3, 1), (2, 2), (3, 1), (3, 1), (2, 2), (5, 1)],
        [(7, 2), (3, 2), (3, 1)],
        [(1, 1), (7, 3), (1, 2), (4, 1)],  # no pixel between two windows is left out
    ):
        case = f"the stack {stack}"
        found = _plain(call(receptive_field, list(stack), case=case))
        right = _receptive_field(stack)
        late, apart = 1, 1
        for size, stride in stack:
            apart *= stride
            late += (size - 1) * apart
        sizes = [size for size, _ in stack]
        own = 1 + sum((size - 1) * stride for size, stride in stack)
        traps = {
            "the strides have no effect in your answer": [1 + sum(sizes) - len(sizes)],
            "windows overlap: neither a sum nor a product of sizes is enough": [
                sum(sizes),
                int(np.prod(sizes)),
            ],
            "you went through the last layer first": [_receptive_field(stack[::-1])],
            "a layer's own stride moves only the layers behind it apart": [late, own],
        }
        for message, values in traps.items():
            for value in values:
                if value != right:
                    refuse(found, {message: value}, case)
        if isinstance(found, tuple | list):
            raise Wrong(f"{case}: expected one number, the side of the square")
        expect_count(found, right, case)
    return "a few small windows see a lot"


def _receptive_field(stack: list[tuple[int, int]]) -> int:
    side, apart = 1, 1
    for size, stride in stack:
        side += (size - 1) * apart
        apart *= stride
    return side


def exercise_3(conv_layer: Any) -> str:
    """A convolution layer in NumPy."""
    rng = np.random.default_rng(0)
    for n, rows, columns, channels, filters, k, padding, stride in (
        (2, 5, 6, 3, 4, 3, 0, 1),
        (1, 6, 5, 1, 1, 3, 1, 1),
        (3, 7, 9, 2, 3, 3, 1, 2),
        (2, 8, 6, 3, 2, 2, 0, 3),
        (1, 4, 7, 2, 5, 5, 2, 2),
        (4, 3, 3, 2, 2, 1, 0, 1),
    ):
        images, kernels = (
            rng.normal(size=(n, rows, columns, channels)),
            rng.normal(size=(k, k, channels, filters)),
        )
        bias = rng.normal(size=filters)
        case = (
            f"images of shape {images.shape}, kernels of shape {kernels.shape}, "
            f"padding {padding}, stride {stride}"
        )
        found = call(conv_layer, images, kernels, bias, padding, stride, case=case)
        expected = _conv_layer(images, kernels, bias, padding, stride)
        one = np.zeros_like(kernels)
        one[:, :, 0] = kernels[:, :, 0]
        traps = {
            "the kernels were turned around": kernels[::-1, ::-1],
            "rows and columns of the kernels are swapped": kernels.swapaxes(0, 1),
            "a filter adds up all channels, not only the first": one,
        }
        for message, other in traps.items():
            trap = _conv_layer(images, other, bias, padding, stride)
            if not np.allclose(trap, expected):
                refuse(found, {message: trap}, case)
        traps = {
            "the bias is missing": expected - bias,
            "the layer has no activation": np.maximum(expected, 0),
        }
        refuse(found, traps, case)
        if padding:
            around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
            for mode in ("edge", "reflect", "wrap", "symmetric"):
                other = _conv_layer(np.pad(images, around, mode=mode), kernels, bias, 0, stride)
                refuse(found, {"what is put around the image has to be zeros": other}, case)
        expect_array(found, expected, case)
    bytes_ = rng.integers(0, 256, (2, 6, 5, 2)).astype(np.uint8)
    for kernels, case in (
        (rng.normal(size=(3, 3, 2, 3)), "images of bytes"),
        (rng.integers(-2, 3, (3, 3, 2, 3)), "images of bytes, kernels of whole numbers"),
    ):
        found = call(conv_layer, bytes_, kernels, np.array([0.5, -1.0, 0.0]), 1, 2, case=case)
        expected = _conv_layer(bytes_, kernels, np.array([0.5, -1.0, 0.0]), 1, 2)
        expect_array(found, expected, case, atol=1e-2)
    return "that is all that a convolution layer does"


def _conv_layer(images: Any, kernels: Any, bias: Any, padding: int, stride: int) -> np.ndarray:
    k = len(kernels)
    padded = np.pad(images.astype(float), ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (k, k), axis=(1, 2))
    return np.einsum("nijcab,abcf->nijf", windows[:, ::stride, ::stride], kernels) + bias


def exercise_4(residual_block: Any) -> str:
    """The block of ResNet, with Keras's functional API."""
    for shape, filters, stride in (
        ((8, 8, 4), 4, 1),
        ((6, 9, 3), 5, 1),
        ((5, 7, 6), 2, 1),
        ((8, 8, 4), 4, 2),
        ((9, 7, 2), 6, 2),
    ):
        case = f"an input of {'×'.join(map(str, shape))}, {filters} filters, stride {stride}"
        model = _block_model(residual_block, shape, filters, stride, case)
        rows, columns = -(-shape[0] // stride), -(-shape[1] // stride)
        if (joined := model.output_shape[1:]) != (rows, columns, filters):
            if joined[:2] == (rows, columns) and joined[2] == 2 * filters:
                raise Wrong(f"{case}: the two are joined; the skip connection has to be added")
            raise Wrong(
                f"{case}: the result has shape {joined}; expected {(rows, columns, filters)}"
            )
        _judge_block(model, shape, filters, stride, case)
    if not _default_stride(residual_block):
        raise Wrong("without a third argument the stride has to be 1")
    return "what a block has to learn is the difference"


def _block_model(block: Any, shape: tuple[int, ...], filters: int, stride: int, case: str) -> Any:
    import keras

    if not callable(block):
        raise Wrong(f"expected a function, received {kind(block)}")
    inputs = keras.Input(shape)
    try:
        outputs = block(inputs, filters, stride)
    except Exception as error:
        reason = f"{type(error).__name__}: {shortened(error)}"
        raise Wrong(f"your function stops for {case}: {reason}") from error
    if outputs is ...:
        raise NotYet
    if not isinstance(outputs, keras.KerasTensor):
        raise Wrong(f"{case}: expected a Keras tensor, received {kind(outputs)}")
    try:
        return keras.Model(inputs, outputs)
    except Exception as error:
        raise Wrong(f"{case}: no way leads from x to the result: {shortened(error)}") from error


def _default_stride(block: Any) -> bool:
    import keras

    inputs = keras.Input((6, 6, 2))
    try:
        return keras.Model(inputs, block(inputs, 2)).output_shape[1:] == (6, 6, 2)
    except TypeError:
        return False


def _judge_block(model: Any, shape: tuple[int, ...], filters: int, stride: int, case: str) -> None:
    channels = shape[-1]
    rng = np.random.default_rng(filters)
    x = rng.normal(size=(5, *shape)).astype("float32")
    fits = stride == 1 and channels == filters
    main = 9 * channels * filters + filters + 9 * filters * filters + filters
    skip = 0 if fits else channels * filters + filters
    if (count := model.count_params()) != main + skip:
        extra = count == main + channels * filters + filters
        why = "where its shape fits, the skip connection is x itself" if fits and extra else ""
        if not fits and count == main:
            why = "where its shape does not fit, the skip connection is a convolution of 1×1"
        counts = f"{count:,} weights; the block described has {main + skip:,}, biases included"
        raise Wrong(f"{case}: {why or counts}")
    model.set_weights([np.zeros_like(w) for w in model.get_weights()])
    silent = np.asarray(model(x, training=False))
    if fits and not np.any(silent):
        raise Wrong(
            f"{case}: with all weights 0 nothing comes through; the skip connection has to add x "
            "itself"
        )
    own = [rng.normal(0, 0.5, w.shape) for w in model.get_weights()]
    model.set_weights(own)
    found = np.asarray(model(x, training=False))
    pairs = list(zip(own[::2], own[1::2], strict=True))
    wide = [pair for pair in pairs if pair[0].ndim == 4 and len(pair[0]) == 3]
    narrow = [pair for pair in pairs if pair[0].ndim == 4 and len(pair[0]) == 1]
    if len(wide) != 2 or len(narrow) != (not fits):
        raise Wrong(
            f"{case}: expected two convolutions of 3×3, and one of 1×1 only where x needs it"
        )
    orders = [wide, wide[::-1]] if channels == filters else [sorted(wide, key=_inputs(channels))]
    ways = [_ways(x, order, narrow, stride) for order in orders]
    for message in (None, *ways[0]):
        if message and any(_near(found, way[message]) for way in ways if message in way):
            if message == "right":
                return
            raise Wrong(f"{case}: {message}")
    raise Wrong(f"{case}: the numbers that come out are not those of the block described")


def _inputs(channels: int) -> Any:
    return lambda pair: pair[0].shape[2] != channels


def _near(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.allclose(one, other, rtol=1e-3, atol=1e-2)


def _ways(x: np.ndarray, wide: list[Any], narrow: list[Any], stride: int) -> dict[str, np.ndarray]:
    """Return what the block gives, and what it gives with one mistake each."""
    (k1, b1), (k2, b2) = wide
    if k1.shape[2] != x.shape[-1]:
        return {}

    def relu(a: np.ndarray) -> np.ndarray:
        return np.maximum(a, 0)

    skip = _same(x, *narrow[0], stride) if narrow else x
    first = _same(x, k1, b1, stride)
    second = _same(relu(first), k2, b2, 1)
    late = _same(relu(_same(x, k1, b1, 1)), k2, b2, stride)
    ways = {
        "right": relu(second + skip),
        "the result can be negative, but ReLU follows the sum": second + skip,
        "ReLU follows the sum only; the second convolution has none before the sum": relu(
            relu(second) + skip
        ),
        "ReLU is missing between the two convolutions": relu(_same(first, k2, b2, 1) + skip),
        "ReLU has to follow the sum, not to come before it": relu(second) + skip,
        "the skip connection has no activation": relu(second + relu(skip)),
        "the input does not get to the end: the skip connection is missing": relu(second),
        "the skip connection starts at x, not behind the first convolution": relu(
            second + relu(first)
        ),
        "the first convolution has the stride, not the second": relu(late + skip),
    }
    return ways


def _same(x: np.ndarray, kernels: np.ndarray, bias: np.ndarray, stride: int) -> np.ndarray:
    """Return a convolution with padding "same" as Keras's: an odd zero more comes last."""
    k = len(kernels)
    pads = []
    for n in x.shape[1:3]:
        total = max((-(-n // stride) - 1) * stride + k - n, 0)
        pads.append((total // 2, total - total // 2))
    padded = np.pad(x, ((0, 0), *pads, (0, 0)))
    return _conv_layer(padded, kernels, bias, 0, stride)


def exercise_5(handed_over: Any) -> str:
    """Share of images that a person has to read."""
    rng = np.random.default_rng(1)
    cases = {"a good network": (400, 3.0, 0.0213), "a poor one": (300, 1.2, 0.0517)}
    for case, (n, skill, rate) in cases.items():
        y = rng.integers(0, 5, n)
        logits = rng.normal(size=(n, 5)) + skill * np.eye(5)[y]
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        _judge_share(_share(handed_over, p, y, rate, case), p, y, rate, case)
    sure = np.eye(3)[[0, 1, 2]] * np.array([[0.7], [0.6], [0.5]]) + 0.1
    none = _share(handed_over, sure, np.array([1, 2, 0]), 0.0, "all wrong")
    expect_number(none, 1.0, "all wrong: everything has to be handed over")
    everything = _share(handed_over, sure, np.array([0, 1, 2]), 0.0, "all right")
    expect_number(everything, 0.0, "all right: nothing has to be handed over")
    one = _share(handed_over, sure[:1], np.array([0]), 0.0, "one image, and it is right")
    expect_number(one, 0.0, "one image, and it is right")
    p = np.column_stack([[0.9, 0.8, 0.7, 0.6], [0.1, 0.2, 0.3, 0.4]])
    case = "the surest of four is wrong, the others are right, and a quarter may be wrong"
    first_wrong = _share(handed_over, p, np.array([1, 0, 0, 0]), 0.25, case)
    expect_number(first_wrong, 0.0, case)
    return "the machine says when it does not know"


def _share(function: Any, p: np.ndarray, y: np.ndarray, rate: float, case: str) -> float:
    return expect_share(_plain(call(function, p, y, rate, case=case)), case)


def _judge_share(found: float, p: np.ndarray, y: np.ndarray, rate: float, case: str) -> None:
    order = np.argsort(-p.max(axis=1), kind="stable")
    wrong = np.cumsum((p.argmax(axis=1) != y)[order])
    good = np.flatnonzero(wrong / np.arange(1, len(y) + 1) <= rate)
    expected = 1 - (good[-1] + 1) / len(y)
    if np.isclose(found, 1 - expected):
        raise Wrong(f"{case}: this is the share that the machine keeps; the person gets the rest")
    kept = round((1 - found) * len(y))
    if kept and wrong[kept - 1] / kept > rate:
        raise Wrong(f"{case}: the error rate of the others is {wrong[kept - 1] / kept:.2%}")
    if found > expected + 1e-3:
        raise Wrong(f"{case}: {found:.1%} are handed over, more than necessary")
    expect_number(found, expected, case, atol=1e-3)


def exercise_6(small_cnn: Any, data: Any = None) -> str:
    """A small convolutional network, trained here on images whose classes have other numbers."""
    import keras

    if data is None:  # without the notebook's data
        from helpers.datasets import load_dataset

        data = load_dataset("digits", seed=0)
    x, y = data.x_train[:IMAGES], data.y_train[:IMAGES]
    names = _renamed(data.class_count)
    keras.utils.set_random_seed(0)
    case = f"{len(x):,} images of {'×'.join(map(str, x.shape[1:]))}"
    model = _model(call(small_cnn, x, names[y], case=case), "the function")
    if (count := _weights(model)) > WEIGHTS:
        raise Wrong(f"the network has {count:,} weights; expected at most {WEIGHTS:,}")
    p = _answers(model, data.x_test, data.class_count)
    _is_convolutional(model, data.x_test[:200])
    truth = names[data.y_test]
    accuracy = float((p.argmax(axis=1) == truth).mean())
    old = p[np.arange(len(p)), data.y_test]
    others = (p.sum(axis=1) - old - p[np.arange(len(p)), truth]) / (data.class_count - 2)
    if old.mean() > FOREIGN and old.mean() > 3 * others.mean():
        raise Wrong(
            "the network answers with the original labels of the data set; it has learned from "
            "other images than those that your function received"
        )
    goal = GOALS.get(data.name, GOAL)
    if accuracy < goal:
        small = _answers(model, data.x_test / 255, data.class_count).argmax(axis=1)
        why = ""
        if (divided := float((small == truth).mean())) > accuracy + 0.1:
            why = f". Divided by 255 it is {divided:.1%}: the model has to take bytes as they are"
        raise Wrong(
            f"{accuracy:.1%} of the test images are right; expected at least {goal:.0%}{why}"
        )
    return f"{count:,} weights read {accuracy:.1%} of the test images"


def _renamed(classes: int) -> np.ndarray:
    """Return a new number for each class: no class keeps its own."""
    order = np.random.default_rng(5).permutation(classes)
    names = np.empty(classes, dtype=int)
    names[order] = np.roll(order, 1)
    return names


def _model(found: Any, what: str) -> Any:
    import keras

    if not isinstance(found, keras.Model):
        raise Wrong(f"{what} has to return a Keras model; received {kind(found)}")
    return found


def _layers(model: Any) -> list[Any]:
    """Return all layers of a model, those of the models in it too."""
    return [
        inner
        for layer in model.layers
        for inner in (_layers(layer) if hasattr(layer, "layers") else [layer])
    ]


def _weights(model: Any) -> int:
    """Count the weights, frozen ones too; ``Wrong`` where numbers can hide."""
    for part in (model, *_layers(model)):
        if type(part).__name__ == "Lambda" or not type(part).__module__.startswith("keras."):
            raise Wrong(
                f"{part.name!r} is not made of Keras's own layers alone, so it can hold numbers "
                "that nobody counts; use Sequential or the functional API, and no Lambda"
            )
    if len(re.findall(r"\d+", model.to_json())) > NUMBERS:
        raise Wrong("an array of fixed numbers is hidden in the network; all have to be weights")
    return int(model.count_params())


def _outputs(model: Any, images: np.ndarray) -> np.ndarray:
    """Return what a network gives for images, as ``predict``, without its preparations."""
    batches = [images[start : start + 500] for start in range(0, len(images), 500)]
    found = [np.asarray(model(b.astype("float32"), training=False)) for b in batches]
    return np.concatenate(found).astype(float)


def _answers(model: Any, images: np.ndarray, classes: int) -> np.ndarray:
    """Return a probability for each class and image, from bytes as they are."""
    try:
        answers = _outputs(model, images)
    except Exception as error:
        raise Wrong(f"images of shape {images.shape[1:]} do not fit: {shortened(error)}") from error
    if answers.shape != (len(images), classes):
        raise Wrong(
            f"for {len(images):,} images the result has shape {answers.shape}; expected one number "
            f"for each of {classes} classes"
        )
    if not np.isfinite(answers).all():
        raise Wrong("some of the answers are no numbers: did the training break?")
    if answers.min() >= 0 and np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        return answers
    e = np.exp(answers - answers.max(axis=1, keepdims=True))  # they are logits
    return e / e.sum(axis=1, keepdims=True)


CONVOLUTIONS = ("Conv2D", "SeparableConv2D", "DepthwiseConv2D")


def _is_convolutional(model: Any, images: np.ndarray) -> None:
    """Refuse a network without a convolution, or one whose convolution has no effect."""
    used = [layer for layer in _layers(model) if type(layer).__name__ in CONVOLUTIONS]
    if not any(max(layer.kernel_size) > 1 for layer in used):
        raise Wrong("no layer of the network is a convolution with a window larger than 1×1")
    before, kept = _outputs(model, images), model.get_weights()
    for layer in used:
        layer.set_weights([np.zeros_like(w) for w in layer.get_weights()])
    after = _outputs(model, images)
    model.set_weights(kept)
    if (after.argmax(axis=1) == before.argmax(axis=1)).mean() > 0.9:
        raise Wrong("without its convolutions the network gives the same answers")


REASONS = {"global": "b", "shuffled": "c"}


def exercise_7(prediction: Any, networks: Any = None, reasons: Any = None) -> str:
    """Four networks, and which of them still read pieces that are moved."""
    parts = (prediction, networks, reasons)
    for what, part in zip(("prediction", "networks", "reasons"), parts, strict=True):
        if not isinstance(part, dict):
            raise Wrong(f"{what}: expected a dictionary, received {kind(part)}")
    if any(value is ... for part in parts for value in part.values()):
        raise NotYet
    for name in NAMES:
        for what, part in (("prediction", prediction), ("networks", networks)):
            if name not in part:
                raise Wrong(f"{what}: {name!r} is missing")
        if not isinstance(prediction[name], bool | np.bool_):
            raise Wrong(f"the prediction for {name!r} has to be True or False")
    if len({id(networks[name]) for name in NAMES}) < len(NAMES):
        raise Wrong("two names have the same network; train four")
    for name in NAMES:
        parts = _layers(_model(networks[name], f"the training of {name!r}"))
        end = "Flatten" if name in ("flatten", "moved") else "GlobalMaxPooling2D"
        if end not in {type(part).__name__ for part in parts}:
            raise Wrong(f"{name!r} has no layer {end}: it does not end as the table says")
    shares = {name: _shares(networks[name], name) for name in NAMES}
    _is_the_experiment(shares)
    survived = {name: moved >= SURVIVES for name, (_, moved) in shares.items()}
    for name in NAMES:
        if bool(prediction[name]) != survived[name]:
            raise Wrong(
                f"you predicted that {name!r} {'survives' if prediction[name] else 'falls'}; in "
                f"your run it is right for {shares[name][0]:.0%} of the pieces in the middle and "
                f"{shares[name][1]:.0%} of the moved ones. A surprise is worth remembering: why is "
                "that? Then correct the prediction"
            )
    for name, right in REASONS.items():
        given = str(reasons.get(name, "")).strip(" ().").casefold()
        if given not in {"a", "b", "c"}:
            raise Wrong(f"reasons: expected 'a', 'b' or 'c' for {name!r}")
        if given != right:
            raise Wrong(f"the reason for {name!r}: {_WHY_NOT[name][given]}")
    return ", ".join(f"{name} {moved:.0%}" for name, (_, moved) in shares.items())


_WHY_NOT = {
    "global": {
        "a": "compare the numbers of weights of 'flatten' and 'moved', and what happened to them",
        "c": "the convolutions are the same in both, and find the piece wherever it is",
    },
    "shuffled": {
        "a": "look at its share for pieces in the middle: it has learned them",
        "b": "then it would fail for pieces in the middle too",
    },
}


def _shares(model: Any, name: str) -> tuple[float, float]:
    """Return the shares of new pictures that are right: in the middle, and moved."""
    result = []
    for seed, move in ((1007, 0), (1008, MOVED)):
        images, y = chess(240, seed, move)
        if name == "shuffled":
            images = shuffled(images)
        result.append(float((_answers(model, images, len(KINDS)).argmax(axis=1) == y).mean()))
    return result[0], result[1]


def _is_the_experiment(shares: dict[str, tuple[float, float]]) -> None:
    """Refuse networks that are untrained, exchanged, or trained on other pictures."""
    for name, (middle, moved) in shares.items():
        if middle < SURVIVES:
            raise Wrong(
                f"{name!r} is right for only {middle:.0%} of pieces in the middle: is it trained "
                "long enough, and on all pictures of its row in the table?"
            )
        if name in ("flatten", "shuffled") and moved >= SURVIVES:
            raise Wrong(
                f"{name!r} is right for {moved:.0%} of the moved pieces: is it the network of its "
                "name, and has it seen pieces in the middle only?"
            )
        if name in ("global", "moved") and moved < SURVIVES:
            raise Wrong(
                f"{name!r} is right for only {moved:.0%} of the moved pieces: is it the network of "
                "its name, has it seen the pictures of its row in the table, and for long enough?"
            )


def chess(n: int, seed: int, move: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw chess pieces in the middle of a picture, or ``move`` pixels away from it.

    Parameters
    ----------
    n
        Pictures.
    seed
        Of what differs: place (by a pixel), size, angle, brightness, noise.
    move
        So far up or down, and so far left or right.

    Returns
    -------
    images : ndarray of uint8, shape (n, 32, 32)
    kinds : ndarray of int
        0 to 5: king, queen, rook, bishop, knight, pawn.
    """
    rng, side = np.random.default_rng(seed), SIDE[7]
    y = rng.permutation(np.arange(n) % len(KINDS))
    images = np.zeros((n, side, side))
    for image, piece in zip(images, y, strict=True):
        glyph = _glyph(int(piece), int(rng.integers(13, 17)), 5 * int(rng.integers(-2, 3)))
        down, right = rng.integers(-1, 2, 2) + move * rng.choice([-1, 1], 2)
        image[4:-4, 4:-4] = rng.uniform(0.6, 1) * glyph
        image[:] = np.roll(image, (down, right), axis=(0, 1))
    noisy = images + np.abs(rng.normal(0, 8, images.shape))
    return np.clip(noisy, 0, 255).astype(np.uint8), y


def shuffled(images: np.ndarray) -> np.ndarray:
    """Return pictures with their pixels in another order, the same for all."""
    order = np.random.default_rng(7).permutation(images[0].size)
    return images.reshape(len(images), -1)[:, order].reshape(images.shape)


def coloured_chess(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw chess pieces in colour, channels first, sorted by kind, as folders of classes are.

    Returns
    -------
    images : ndarray of uint8, shape (n, 3, 24, 24)
    kinds : ndarray of int
        As ``chess`` has them, in order.
    """
    rng, side = np.random.default_rng(seed), SIDE[8]
    y = np.sort(np.arange(n) % len(KINDS))
    images = np.zeros((n, 3, side, side))
    for image, piece in zip(images, y, strict=True):
        glyph = _glyph(int(piece), int(rng.integers(17, 21)), 5 * int(rng.integers(-1, 2))) / 255
        glyph = np.roll(glyph, rng.integers(-1, 2, 2), axis=(0, 1))
        ground, paint = rng.uniform(0, 90, (3, 1, 1)), rng.uniform(140, 255, (3, 1, 1))
        image[:] = ground + (paint - ground) * glyph + rng.normal(0, 8, image.shape)
    return np.clip(images, 0, 255).astype(np.uint8), y


@functools.cache
def _glyph(piece: int, size: int, angle: int) -> np.ndarray:
    """Draw one piece in the font that comes with Matplotlib, 24×24 numbers from 0 to 255."""
    from pathlib import Path

    import matplotlib
    from PIL import Image, ImageDraw, ImageFont

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
    image = Image.new("L", (24, 24))
    font = ImageFont.truetype(str(file), size)
    ImageDraw.Draw(image).text((12, 12), "♚♛♜♝♞♟"[piece], font=font, fill=255, anchor="mm")
    return np.asarray(image.rotate(angle, Image.Resampling.BILINEAR), dtype=float)


def exercise_8(prepare: Any, train: Any = None) -> str:
    """A training without its mistakes, on pictures that the notebook does not have."""
    _judge_prepare(prepare)
    x, y = coloured_chess(480, 2001)
    prepared = call(prepare, x, case=f"{len(x)} pictures, in prepare")
    network = _model(call(train, prepared, y, case=f"{len(x)} pictures, in train"), "train")
    new, truth = coloured_chess(240, 2002)
    answers = _outputs(network, np.asarray(call(prepare, new)))
    if answers.shape != (len(new), len(KINDS)):
        raise Wrong(
            f"for {len(new)} pictures the result has shape {answers.shape}; expected one number "
            f"for each of {len(KINDS)} kinds"
        )
    if not np.isfinite(answers).all():
        raise Wrong("some of the answers are no numbers: did the training break?")
    best = answers.argmax(axis=1)
    accuracy = float((best == truth).mean())
    never = [name for number, name in enumerate(KINDS) if number not in best]
    shown = f"{accuracy:.0%} of new pictures are right"
    if len(never) == len(KINDS) - 1:
        raise Wrong(f"the answer is the same for all pictures: {shown}. It does not learn at all")
    ordered = np.sort(answers, axis=1)
    tied = ordered[:, 0] == ordered[:, 1]
    if np.allclose(answers.sum(axis=1), 1, atol=1e-3):
        tied &= ordered[:, 0] > 0  # a softmax that is very sure gives several zeros
    if tied.mean() > 0.2:
        raise Wrong(
            f"{shown}, but many outputs of the last layer are the same number: what cannot be told "
            "apart there?"
        )
    if never:
        raise Wrong(f"no picture at all is called {' or '.join(never)}: {shown}")
    if accuracy < 0.8:
        raise Wrong(f"only {shown}; without the mistakes it is more than 90%")
    if (largest := _largest_inside(network, prepared)) < 0.1:
        raise Wrong(
            f"{shown}, but the largest number that reaches the first layer with weights is "
            f"{largest:.4f}: so small that it learns late, if at all"
        )
    return shown


def _largest_inside(network: Any, prepared: Any) -> float:
    """Return the largest number that the first layer with weights receives."""
    largest = float(np.abs(np.asarray(prepared)).max())
    for layer in _layers(network):
        if layer.weights:
            break
        if type(layer).__name__ == "Rescaling":
            largest *= float(np.max(layer.scale))
    return largest


def _judge_prepare(prepare: Any) -> None:
    """Look at what goes into the network: a picture with its colours in the last axis."""
    x = np.random.default_rng(40).permutation(coloured_chess(40, 2040)[0])
    ready = {}
    for n in (40, 1):
        case = f"{n} picture{'s' * (n > 1)}"
        found = call(prepare, x[:n], case=f"{case}, in prepare")
        try:
            ready[n] = np.asarray(found, dtype=float)
        except (TypeError, ValueError) as error:
            raise Wrong(f"prepare: expected an array of numbers, received {kind(found)}") from error
        if ready[n].shape != (expected := (n, SIDE[8], SIDE[8], 3)):
            raise Wrong(f"prepare: for {case} the shape is {ready[n].shape}, not {expected}")
    if not np.allclose(ready[1][0], ready[40][0], atol=1e-3):
        raise Wrong("prepare: a picture alone comes out other than among other pictures")
    if not _alike(ready[40], x.transpose(0, 2, 3, 1)):
        if _alike(ready[40], x.transpose(0, 3, 2, 1)):
            raise Wrong("prepare: rows and columns are exchanged")
        raise Wrong(
            "prepare: the shape is right, and the picture is not: show one with imshow. "
            "The three numbers of a pixel have to stay together"
        )


def _alike(one: np.ndarray, other: np.ndarray) -> bool:
    """Tell whether pictures are the same but for the scale of each channel or of each picture."""
    return any(
        all(np.std(a) > 0 and np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.97 for a, b in pairs)
        for pairs in (
            [(one[..., c], other[..., c]) for c in range(3)],
            list(zip(one, other, strict=True)),
        )
    )
