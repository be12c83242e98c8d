"""Checks of the exercises of lesson 06: recurrent networks."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from helpers.classroom.checks.lesson_03 import sigmoid, softmax
from helpers.classroom.exercises import (
    Wrong,
    call,
    expect_array,
    expect_count,
    expect_parts,
    kind,
    refuse,
)

STORM = 0.9  # of new storms in exercise 6, at least
RIVAL = 1.2  # times the error of an honest forecast in exercise 7, at most
NAMES = 60  # that exercise 8 asks for
WORDS = 200  # of one's own in exercise 8, at least
NEW, DIFFERENT = 0.6, 0.8  # shares of invented names, at least
NEAR = 0.6  # more of them than of true words may be nearly a word, or a piece of one, at most
LIKELY = 0.4  # of what true words gain over shuffled ones, at least


def exercise_1(count_weights: Any) -> str:
    """Weights of a recurrent layer with a dense one after it."""
    for features, units, classes in ((28, 32, 10), (5, 3, 2), (7, 1, 18)):
        one, dense = features * units + units * units + units, units * classes + classes
        for cell, times in (("SimpleRNN", 1), ("LSTM", 4), ("GRU", 3)):
            case = f"{cell}, {features} features, {units} units, {classes} classes"
            found = call(count_weights, cell, features, units, classes, case=case)
            extra = 3 * units if cell == "GRU" else 0
            traps = {
                "each gate, and the candidate, has weights of its own": one + dense,
                "the old state has a matrix too": times * (features * units + units) + dense,
                "the bias is missing": times * (one - units) + dense,
                "the dense layer is missing": times * one + extra,
                "an LSTM has three gates and a candidate": 3 * one + dense,
            }
            if cell == "GRU":
                traps["the matrices are right; how many biases has Keras's GRU?"] = 3 * one + dense
                del traps["an LSTM has three gates and a candidate"]
            right = times * one + extra + dense
            refuse(found, {text: trap for text, trap in traps.items() if trap != right}, case)
            expect_count(found, right, case)
    return "the length of the sequence does not matter"


def exercise_2(clip: Any) -> str:
    """Gradients cut to a common norm."""
    rng = np.random.default_rng(0)

    def drawn(*shapes: tuple[int, ...], size: float = 1.0) -> list[np.ndarray]:
        return [size * rng.normal(size=shape) for shape in shapes]

    cases = {
        "three gradients, limit 1": (drawn((3, 4), (4,), (4, 2)), 1.0),
        "one gradient, limit 0.5": (drawn((5, 2)), 0.5),
        "together too long, each alone short, limit 1": (
            drawn((9, 9), (9,), (9, 9), size=0.1),
            1.0,
        ),
        "small gradients, limit 1": (drawn((3, 2), (2,), size=1e-3), 1.0),
        "one large, one small, limit 5": (drawn((6, 6), size=9.0) + drawn((6,), size=0.1), 5.0),
        "all gradients 0, limit 1": ([np.zeros((2, 3)), np.zeros(3)], 1.0),
        "gradients of 1e30 in float32, limit 2": (
            [g.astype("float32") for g in drawn((4, 3), (3,), size=1e30)],
            2.0,
        ),
    }
    for case, (gradients, limit) in cases.items():
        found = call(clip, list(gradients), limit, case=case)
        found = expect_parts(found, len(gradients), f"a list of {len(gradients)} arrays")
        exact = [g.astype(np.float64) for g in gradients]
        norm = np.sqrt(sum((g**2).sum() for g in exact))
        expected = [g * min(1.0, limit / norm) if norm else g for g in exact]
        if all(np.shape(a) == b.shape for a, b in zip(found, expected, strict=True)):
            _look_at_clipped(found, exact, expected, limit, norm, case)
        for place, (own, right) in enumerate(zip(found, expected, strict=True)):
            expect_array(own, right, f"{case}, gradient {place}", atol=1e-6)
    return "the length is cut, the direction stays"


def _look_at_clipped(
    found: Any, exact: Any, expected: Any, limit: float, norm: float, case: str
) -> None:
    """Refuse what is known to go wrong: each alone, each number, always, overflow."""
    flat = _flat(found)
    if not np.isfinite(flat).all() or (norm > limit and not flat.any()):
        why = "; float32 ends at 3.4e38, and a square comes earlier" if norm > 1e20 else ""
        raise Wrong(f"{case}: the result is {'not finite' if flat.any() else 'all 0'}{why}")
    if np.allclose(flat, _flat(expected), rtol=1e-4):
        return
    alone = [g * min(1.0, limit / max(np.linalg.norm(g), 1e-300)) for g in exact]
    traps = {
        "nothing is cut": exact,
        "each gradient is cut on its own, and the direction changes": alone,
        "each number is cut on its own": [np.clip(g, -limit, limit) for g in exact],
        "the gradients are short enough, and yet they change": [
            g * limit / max(norm, 1e-300) for g in exact
        ],
        "the common norm is not the sum of the norms": [
            g * min(1.0, limit / max(sum(map(np.linalg.norm, exact)), 1e-300)) for g in exact
        ],
    }
    refuse(flat, {text: _flat(trap) for text, trap in traps.items()}, case)


def _flat(arrays: Sequence[Any]) -> np.ndarray:
    return np.concatenate([np.asarray(array, dtype=np.float64).ravel() for array in arrays])


def exercise_3(gru_step: Any) -> str:
    """One step of the GRU of the paper."""
    rng = np.random.default_rng(1)
    for batch, features, units, dtype in ((4, 3, 5, "f8"), (1, 2, 2, "f4"), (7, 1, 4, "f8")):
        shapes = ((batch, features), (batch, units), (features, 3 * units), (units, 3 * units))
        x, h, w, u = (rng.normal(size=shape).astype(dtype) for shape in shapes)
        b = rng.normal(size=3 * units).astype(dtype)
        case = f"{batch} sequences, {features} features, {units} units"
        found = call(gru_step, x, h, w, u, b, case=case)
        traps = {
            "this resets after the product with U, as the lesson's cell does": _gru(
                x, h, w, u, b, after=True
            ),
            "keep and renew have changed places: z keeps the old state": _gru(
                x, h, w, u, b, swapped=True
            ),
            "the three parts of w, u and b are z, r and the candidate, in this order": _gru(
                x, h, *(np.roll(a, -units, axis=-1) for a in (w, u, b))
            ),
            "z and r have changed places": _gru(
                x, h, *(_exchanged(a, units) for a in (w, u, b))
            ),
            "the bias is missing": _gru(x, h, w, u, 0 * b),
            "the old state is not reset": _gru(x, h, w, u, b, reset=False),
            "this is the candidate; the new state mixes it with the old one": _gru(
                x, h, w, u, b, mixed=False
            ),
        }  # fmt: skip
        refuse(found, traps, case)
        expect_array(found, _gru(x, h, w, u, b), case)
        again = call(gru_step, x, h, w, u, b, case=case)
        expect_array(again, _gru(x, h, w, u, b), f"{case}, the same call again")
    _compare_with_keras(gru_step, rng)
    return "five steps of it equal keras.layers.GRU(reset_after=False)"


def _exchanged(array: np.ndarray, units: int) -> np.ndarray:
    z, r, candidate = np.split(array, [units, 2 * units], axis=-1)
    return np.concatenate([r, z, candidate], axis=-1)


def _gru(
    x: Any, h: Any, w: Any, u: Any, b: Any, *,
    after: bool = False, swapped: bool = False, reset: bool = True, mixed: bool = True,
) -> np.ndarray:  # fmt: skip
    n = h.shape[1]
    gates = sigmoid(x @ w[:, : 2 * n] + h @ u[:, : 2 * n] + b[: 2 * n])
    z, r = gates[:, :n], gates[:, n:] if reset else 1.0
    old = r * (h @ u[:, 2 * n :]) if after else (r * h) @ u[:, 2 * n :]
    candidate = np.tanh(x @ w[:, 2 * n :] + old + b[2 * n :])
    if swapped:
        z = 1 - z
    return z * h + (1 - z) * candidate if mixed else candidate


def _compare_with_keras(gru_step: Any, rng: np.random.Generator) -> None:
    import keras

    layer = keras.layers.GRU(6, reset_after=False, bias_initializer="random_normal")
    x = rng.normal(size=(3, 5, 4)).astype("float32")
    expected = np.asarray(layer(x))
    state = np.zeros((3, 6), "float32")
    for step in range(5):
        new = call(gru_step, x[:, step], state, *layer.get_weights(), case="five steps")
        state = np.asarray(new)  # of a list or a tensor
    expect_array(state, expected, "five steps with Keras's weights")


def exercise_4(choices: Any) -> str:
    """Probabilities of the best letters at a temperature."""
    rng = np.random.default_rng(2)
    forbidden = rng.normal(0, 2, (2, 7))
    forbidden[:, [1, 4]] = -np.inf
    cases = {
        "7 letters, temperature 0.7, the best 3": (rng.normal(0, 2, 7), 0.7, 3),
        "4 names, temperature 2, the best 2": (rng.normal(0, 2, (4, 6)), 2.0, 2),
        "temperature 1, more letters wanted than there are": (rng.normal(0, 2, (3, 5)), 1.0, 9),
        "logits of shape (2, 3, 6), the best 4": (rng.normal(0, 2, (2, 3, 6)), 0.5, 4),
        "only the best 1": (rng.normal(0, 2, (3, 8)), 1.5, 1),
        "logits of −inf": (forbidden, 0.8, 6),
        "temperature 0.001": (rng.normal(0, 2, (3, 8)), 1e-3, 5),
        "small logits, temperature 0.001": (rng.normal(0, 2e-3, (3, 8)), 1e-3, 5),
        "logits beyond 10,000": (10_000 + rng.normal(0, 2, (2, 9)).astype("f4"), 1.0, 4),
        "logits below −10,000": (-10_100 + rng.normal(0, 2, (2, 9)).astype("f4"), 1.0, 4),
    }
    for case, (logits, temperature, k) in cases.items():
        found = call(choices, logits, temperature, k, case=case)
        expected = _best(logits / temperature, k)
        if np.shape(found) == expected.shape:
            values = np.asarray(found, dtype=float)
            if not np.isfinite(values).all():
                raise Wrong(f"{case}: a probability is not finite; keep to logits, exp comes last")
            if not np.allclose(values, expected, rtol=1e-4, atol=1e-6):
                _refuse_other_choices(values, logits, temperature, k, case)
        expect_array(found, expected, case, atol=1e-6)
        if values[~_are_kept(logits, k)].any():
            raise Wrong(f"{case}: a letter that may not be drawn is only unlikely; expected 0")
    return "bold at a high temperature, careful at a low one, and never nonsense"


def _best(z: np.ndarray, k: int) -> np.ndarray:
    z = z.astype(np.float64)
    return softmax(np.where(_are_kept(z, k), z, -np.inf))


def _are_kept(z: np.ndarray, k: int) -> np.ndarray:
    least = np.sort(z, axis=-1)[..., -min(k, z.shape[-1]), np.newaxis]
    return (z >= least) & np.isfinite(z)


def _refuse_other_choices(
    found: np.ndarray, logits: np.ndarray, temperature: float, k: int, case: str
) -> None:
    z = logits.astype(np.float64) / temperature
    kept = _best(z, k) > 0
    traps = {
        "all letters are left, not only the best": softmax(z),
        "the temperature has no effect": _best(logits, k),
        "the temperature multiplies; it has to divide": _best(logits * temperature, k),
        "the letters that are left add up to less than 1": np.where(kept, softmax(z), 0),
    }
    refuse(found, traps, case)
    if found.min() < 0 or not np.allclose(found.sum(axis=-1), 1, atol=1e-4):
        raise Wrong(f"{case}: along the last axis the result has to be probabilities")
    for left, wanted in zip((found > 0).sum(axis=-1).flat, kept.sum(axis=-1).flat, strict=True):
        if left != wanted:
            raise Wrong(f"{case}: letters that may be drawn: {left}; expected {wanted}")


ORDER = {
    "A": ("same", 1),
    "B": ("changes", 2),
    "C": ("same", 3),
    "D": ("changes", 2),
    "E": ("changes", 4),
    "F": ("same", 5),
    "G": ("changes", 6),
    "H": ("same", 7),
}


def exercise_5(predictions: Any) -> str:
    """What changes an answer, and what does not."""
    if not isinstance(predictions, dict):
        raise Wrong(f"expected a dictionary, received {kind(predictions)}")
    if missing := [case for case in ORDER if case not in predictions]:
        raise Wrong(f"the case {missing[0]} is missing")
    words, reasons = {}, {}
    for case in ORDER:
        pair = expect_parts(predictions[case], 2, f"a word and a number for {case}")
        words[case] = str(pair[0]).strip().casefold()
        if words[case] not in ("same", "changes"):
            raise Wrong(f'{case}: expected "same" or "changes", received {kind(pair[0])}')
        if str(pair[1]).strip() not in list("1234567"):
            raise Wrong(f"{case}: expected a reason from 1 to 7, received {kind(pair[1])}")
        reasons[case] = int(str(pair[1]))
    right = sum(words[case] == word for case, (word, _) in ORDER.items())
    if right < len(ORDER):
        raise Wrong(f"{right} of {len(ORDER)} predictions are right; run the ones you doubt")
    fit = sum(reasons[case] == reason for case, (_, reason) in ORDER.items())
    if fit < len(ORDER):
        raise Wrong(f"the predictions are right, and {fit} of {len(ORDER)} reasons")
    return "you know what a network cannot see"


def exercise_6(train_storm: Any) -> str:
    """A network that learns what it is shown, on storms of other lengths."""
    import keras

    shares = []
    for seed, steps, turned in ((11, 10, False), (12, 8, True)):
        x, y = storms(600, steps, seed)
        case = f"storms of {steps} steps" + ", labels turned round" * turned
        model = call(train_storm, x, 1 - y if turned else y, seed, case=case)
        if not isinstance(model, keras.Model):
            raise Wrong(f"expected a trained Keras model, received {kind(model)}")
        new, truth = storms(500, steps, 100 + seed)
        try:
            p = np.asarray(model(new, training=False), dtype=float)
        except Exception as error:
            raise Wrong(f"{case}: the model does not take {new.shape}") from error
        if p.shape not in {(500, 1), (500,)}:
            raise Wrong(f"{case}: the answer has shape {p.shape}; expected (500, 1)")
        if p.min() < 0 or p.max() > 1:
            raise Wrong(f"{case}: the answer is not from 0 to 1, as a probability is")
        shares.append(((p.ravel() > 0.5) == (truth != turned)).mean())
        if shares[-1] < STORM:
            _diagnose(model, p.ravel(), new, shares[-1], case)
    return "{:.0%} and {:.0%} of new storms are right".format(*shares)


def _diagnose(model: Any, p: Any, new: Any, share: float, case: str) -> None:
    right = f"{case}: {share:.0%} of new ones are right"
    if np.ptp(p) < 1e-6:
        raise Wrong(f"{right}: the answer is {p[0]:.2g} for every storm; can it be another one?")
    turned = np.asarray(model(new[:, ::-1], training=False), dtype=float).ravel()
    if np.allclose(turned, p, atol=1e-4):
        raise Wrong(f"{right}: the answer stays when time runs backwards; does it pass the LSTM?")
    if share < 1 - STORM:
        raise Wrong(f"{right}: it answers the opposite of the labels that it was given")
    more = "do the weights move, and do the storms still have their own labels?"
    if share > 0.6:
        more = "it learns, and not yet enough; another learning rate, or more epochs?"
    raise Wrong(f"{right}; expected at least {STORM:.0%}: {more}")


def storms(n: int, steps: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draw thunderstorms: light and sound at each step; 1 where the flash comes before the thunder.

    Returns
    -------
    x : ndarray, shape (n, steps, 2)
    y : ndarray of 0 and 1
    """
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0, 0.1, (n, steps, 2)), rng.integers(0, 2, n)
    for row, flash_first in zip(x, y, strict=True):
        first, second = sorted(rng.choice(steps, 2, replace=False))
        row[first, 1 - flash_first] += 1
        row[second, flash_first] += 1
    return x.astype("float32"), y


def exercise_7(prepare: Any) -> str:
    """A forecast that does not know the future."""
    errors = []
    for n, window, ahead, share in ((400, 8, 1, 0.7), (331, 12, 6, 0.5), (500, 5, 3, 0.8)):
        series, cut = river(n, seed=n), int(share * n)
        case = f"{n} hours, {window} in a row, {ahead} ahead"

        def prepared(
            values: np.ndarray, options: tuple = (window, ahead, share), case: str = case
        ) -> list[np.ndarray]:
            parts = expect_parts(call(prepare, values, *options, case=case), 4, "four arrays")
            return [np.asarray(part, dtype=float) for part in parts]

        found = prepared(series)
        _has_the_shapes(found, window, case)
        train, test = (_hours(y, series, case) for y in (found[1], found[3]))
        _is_split_in_time(train, test, cut, n, window + ahead, case)
        rng = np.random.default_rng(n)

        def changed(
            hours: Any, series: np.ndarray = series, rng: np.random.Generator = rng
        ) -> np.ndarray:
            other = series.copy()
            other[hours] += rng.uniform(50, 90, len(other[hours]))
            return other

        after = prepared(changed(slice(cut, n)))[0]
        if _moved(found[0], after, case).any():
            rows = np.abs(after - found[0]).max(axis=1)
            if np.median(rows) > 0.1:
                raise Wrong(f"{case}: values after the cut change all training rows: the scale")
            raise Wrong(
                f"{case}: values after the cut change the last training rows; does something look "
                "ahead?"
            )
        for place in (0, ahead, len(test) // 2, len(test) - 1):
            known = test[place] - ahead
            unknown = slice(max(known + 1, cut), n)  # hours before the cut may move the scale
            moved = _moved(found[2], prepared(changed(unknown))[2], case)[place]
            if moved.all():
                raise Wrong(
                    f"{case}: later values change a whole row of x_test: the scale, or is it the "
                    "row of another hour?"
                )
            if moved.any():
                raise Wrong(
                    f"{case}: in a row of x_test, {moved.sum()} of {window} numbers change with "
                    "values that nobody knows yet when the forecast is made"
                )
            moved = _moved(found[2], prepared(changed([known]))[2], case)[place]
            if not moved.any():
                raise Wrong(f"{case}: the newest value that is known is not in the row")
            oldest = _moved(found[2], prepared(changed([known - window + 1]))[2], case)[place]
            if not (moved[-1] and oldest[0]):
                raise Wrong(
                    f"{case}: a row of x_test does not go from the oldest of its {window} hours, "
                    "at the left, to the newest"
                )
        if abs(found[0].mean()) > 0.5 or not 0.3 < found[0].std() < 3:
            raise Wrong(f"{case}: x_train is no longer standardised")
        rival = _honest(series, window, ahead, cut)
        errors.append((_error(*found), _error(*rival)))
        if errors[-1][0] > RIVAL * errors[-1][1]:
            raise Wrong(
                f"{case}: honest, but a linear model is wrong by {errors[-1][0]:.1f} cm with it, "
                f"where {errors[-1][1]:.1f} is possible: do rows and targets belong together, and "
                "has every row the same scale?"
            )
    return f"wrong by {errors[0][0]:.1f} cm one hour ahead, and that is true"


def _has_the_shapes(found: list[np.ndarray], window: int, case: str) -> None:
    for name, x, y in (("train", *found[:2]), ("test", *found[2:])):
        if y.ndim != 1 or x.shape != (len(y), window) or not len(y):
            raise Wrong(
                f"{case}: x_{name} has shape {x.shape}, y_{name} {y.shape}; expected (rows, "
                f"{window}) and (rows,)"
            )
        if not (np.isfinite(x).all() and np.isfinite(y).all()):
            raise Wrong(f"{case}: some of x_{name} or y_{name} is not finite")


def _moved(before: np.ndarray, after: np.ndarray, case: str) -> np.ndarray:
    if before.shape != after.shape:
        raise Wrong(f"{case}: the number of rows depends on the values")
    return ~np.isclose(before, after, rtol=1e-6, atol=1e-9)


def _hours(y: np.ndarray, series: np.ndarray, case: str) -> np.ndarray:
    """Return the hour of each target, which is found by its value."""
    near = np.abs(series - y[:, np.newaxis]).argmin(axis=1)
    if not np.allclose(series[near], y, rtol=0, atol=1e-4):  # float32 will do
        raise Wrong(f"{case}: the targets have to be values of the series, in cm")
    return near


def _is_split_in_time(
    train: np.ndarray, test: np.ndarray, cut: int, n: int, slack: int, case: str
) -> None:
    if train.max() > test.min():
        raise Wrong(f"{case}: training rows lie between the test rows; a forecast looks ahead")
    if train.max() >= cut or test.min() < cut:
        raise Wrong(f"{case}: the cut is not at {cut}, counted by the targets")
    if (np.diff(train) != 1).any() or (np.diff(test) != 1).any():
        raise Wrong(f"{case}: the rows are not in the order of time, one for each hour")
    for name, hours, first, last in (("train", train, 0, cut - 1), ("test", test, cut, n - 1)):
        if hours[0] > first + slack + 5 or hours[-1] < last - slack:
            raise Wrong(f"{case}: only {len(hours)} rows in x_{name}; there can be more")


def _honest(series: np.ndarray, window: int, ahead: int, cut: int) -> list[np.ndarray]:
    sums = np.concatenate([[0.0], series.cumsum()])
    hours = np.arange(len(series))
    start = np.maximum(hours - 4, 0)
    smooth = (sums[hours + 1] - sums[start]) / (hours + 1 - start)
    smooth = (smooth - smooth[:cut].mean()) / smooth[:cut].std()
    targets = np.arange(window + ahead - 1, len(series))
    x = np.stack([smooth[t - ahead - window + 1 : t - ahead + 1] for t in targets])
    early = targets < cut
    return [x[early], series[targets[early]], x[~early], series[targets[~early]]]


def _error(x: np.ndarray, y: np.ndarray, x_test: np.ndarray, y_test: np.ndarray) -> float:
    """Return the mean absolute error of a linear model."""
    weights = np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y, rcond=None)[0]
    return float(np.abs(np.column_stack([x_test, np.ones(len(x_test))]) @ weights - y_test).mean())


def river(hours: int, seed: int = 0) -> np.ndarray:
    """Draw the level of a river in cm, hour by hour: it rises with rain, and falls slowly."""
    rng = np.random.default_rng(seed)
    rain = rng.gamma(0.2, 10, hours + 100)
    level = np.zeros(hours + 100)
    for hour in range(1, len(level)):
        level[hour] = 0.95 * level[hour - 1] + rain[hour]
    daily = 5 * np.sin(2 * np.pi * np.arange(hours) / 24)
    return 200 + level[100:] + daily + rng.normal(0, 1, hours)


def exercise_8(invent: Any, my_words: Any = ()) -> str:
    """Names in one's own language, and in one that nobody has seen."""
    own = _words(my_words)
    examples = []
    for case, words in (("an unknown language", island(240)), ("your words", own)):
        order = np.random.default_rng(7).permutation(len(words))
        half = [words[place] for place in order[: len(words) // 2]]
        rest = [words[place] for place in order[len(words) // 2 :]]
        found = call(invent, half, NAMES, 3, case=case)
        names = _names(found, half, case)
        likelier = [_gain(some, rest) for some in (names, rest[:NAMES])]
        if likelier[0] < LIKELY * likelier[1]:
            raise Wrong(
                f"{case}: the letters follow each other hardly as in the words: shuffling the "
                f"letters of a name costs {likelier[0]:.2f} bits a letter, of a word "
                f"{likelier[1]:.2f}"
            )
        near, usual = (_near(some, half) for some in (names, rest))
        if near > usual + NEAR:
            raise Wrong(
                f"{case}: {near:.0%} of the names are given words, pieces of one, one with more at "
                f"an end, or one letter away from one; of other true words {usual:.0%} are"
            )
        known = {word.casefold() for word in half}
        examples = [name for name in dict.fromkeys(names) if name.casefold() not in known]
    return f"the machine says {', '.join(examples[:8])}"


def _words(my_words: Any) -> list[str]:
    if not isinstance(my_words, list | tuple | np.ndarray):
        raise Wrong(f"expected a list of words, received {kind(my_words)}")
    if not all(isinstance(word, str) for word in my_words):
        raise Wrong("expected words, and nothing else, in your list")
    words = list(dict.fromkeys(str(word) for word in my_words if len(word) >= 3))
    if len(words) < WORDS:
        raise Wrong(f"{len(words)} different words of three letters or more; expected {WORDS}")
    return words


def _names(found: Any, words: list[str], case: str) -> list[str]:
    names = list(found) if isinstance(found, list | tuple | np.ndarray) else []
    if len(names) != NAMES or not all(isinstance(name, str) for name in names):
        raise Wrong(f"{case}: expected a list of {NAMES} names, received {kind(found)}")
    names = [str(name) for name in names]
    if not all(names):
        raise Wrong(f"{case}: a name is empty")
    if strange := set("".join(names)) - set("".join(words)):
        raise Wrong(f"{case}: the letter {min(strange)!r} does not occur in the words")
    lengths = [np.mean([len(text) for text in texts]) for texts in (names, words)]
    if not 0.5 < lengths[0] / lengths[1] < 2:
        raise Wrong(
            f"{case}: a name has {lengths[0]:.1f} letters on average, a word {lengths[1]:.1f}"
        )
    if len(set(names)) < DIFFERENT * NAMES:
        raise Wrong(f"{case}: only {len(set(names))} of {NAMES} names are different")
    known = {word.casefold() for word in words}
    new = np.mean([name.casefold() not in known for name in names])
    if new < NEW:
        raise Wrong(f"{case}: {new:.0%} of the names are new, the others copies; {NEW:.0%} needed")
    return names


def _near(names: Sequence[str], words: Sequence[str]) -> float:
    """Return the share of names that are hardly new.

    They are one letter away from one of the words, at most, or a piece of one, or have one in them.
    """
    known, others = set().union(*map(_shortened, words)), [word.casefold() for word in words]
    count = 0
    for name in names:
        text = name.casefold()
        pieces = any(text in word or word in text for word in others)
        count += pieces or not known.isdisjoint(_shortened(text))
    return count / len(names)


def _shortened(word: str) -> set[str]:
    """Return a word, and it without each of its letters: neighbours have one of them in common."""
    text = word.casefold()
    return {text, *(text[:place] + text[place + 1 :] for place in range(len(text)))}


def _gain(names: list[str], words: list[str]) -> float:
    """Return how many bits a letter a name loses, by the groups of three in words, if shuffled."""
    rng = np.random.default_rng(0)
    counts = [Counter[str](), Counter[str](), Counter[str]()]
    before = [Counter[str](), Counter[str](), Counter[str]()]
    for word in words:
        text = f"  {word}\n"
        for end in range(2, len(text)):
            for size in range(3):
                counts[size][text[end - size : end + 1]] += 1
                before[size][text[end - size : end]] += 1

    def bits(name: str) -> float:
        text, total = f"  {name}\n", 0.0
        for end in range(2, len(text)):
            p = 1 / 200
            for size in range(3):
                start = text[end - size : end]
                p = (counts[size][start + text[end]] + 3 * p) / (before[size][start] + 3)
            total -= np.log2(p)
        return float(total / (len(name) + 1))

    shuffled = ["".join(rng.permutation(list(name))) for name in names for _ in range(5)]
    return float(np.mean([bits(s) for s in shuffled]) - np.mean([bits(n) for n in names]))


def island(n: int, seed: int = 5) -> list[str]:
    """Draw different words of a language that nobody speaks."""
    rng = np.random.default_rng(seed)
    words: dict[str, None] = {}
    while len(words) < n:
        syllables = rng.integers(2, 5)
        word = "".join(
            rng.choice(list("kmtrhw")) + rng.choice(list("aaeiou")) for _ in range(syllables)
        )
        words[word + rng.choice(["", "ng", "s"])] = None
    return list(words)
