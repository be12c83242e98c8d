"""What makes the training loop quick: wrappers around its functions, which compute the same."""

import time
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import tensorflow as tf

from helpers.hardware import Plan
from helpers.layers import flat_layers
from helpers.training.data import TrainingError
from helpers.training.distribution import count_rows

# AutoGraph would read and rewrite the source of all that is called, Keras's too: 4 s in each
# process before the first step. Loops are ``tf.while_loop`` instead.
compiled = partial(tf.function, autograph=False)
CALL_SECONDS = 0.25  # of steps in one call: the bar moves four times a second
MIN_SHARD = 16  # samples; fewer are not worth a core of their own
Gradients = tuple[tf.Tensor, Any, list[tf.Tensor]]  # the loss, what was predicted, the gradients


def accelerate(gradients: Any, update: Any, plan: Plan) -> tuple[Any, Any]:
    """Return both functions as a plan says: by XLA, in shards or microbatches.

    The update then returns 0, or NaN where a gradient is not a finite number.
    """

    def checked(slopes: list[tf.Tensor]) -> tf.Tensor:
        update(slopes)
        if plan.precision == "mixed_float16":  # whose optimizer skips what is not finite
            return tf.constant(0.0)
        # Some processors' ReLU turns a NaN into 0: the loss looks sound, a gradient does not.
        return tf.add_n([tf.reduce_sum(s) for s in slopes]) * 0.0

    quick_update = checked if plan.xla == "none" else compiled(checked, jit_compile=True)
    return _accelerated(gradients, plan), quick_update


def _accelerated(gradients: Callable[..., Gradients], plan: Plan) -> Callable[..., Gradients]:
    if plan.microbatches > 1:
        return _in_microbatches(gradients, plan.microbatches)
    if plan.xla != "step":
        return gradients
    by_xla = compiled(gradients, jit_compile=True)

    def quick(x: Any, *others: Any) -> Gradients:
        rows = keras.tree.flatten(x)[0].shape[0]
        if rows is None:  # an odd last batch is not worth a compilation
            return gradients(x, *others)
        most = min(plan.shards, rows // MIN_SHARD)
        shards = max((n for n in range(1, most + 1) if rows % n == 0), default=1)
        return by_xla(x, *others) if shards == 1 else _in_shards(by_xla, shards, x, *others)

    return quick


def _in_shards(gradients: Callable[..., Gradients], shards: int, *batch: Any) -> Gradients:
    """Compute equal shards of a batch side by side, one on each core."""
    pieces = [_each(lambda a, n=n: tf.split(a, shards)[n], batch) for n in range(shards)]
    losses, predicted, slopes = zip(*(gradients(*p) for p in pieces), strict=True)
    whole = keras.tree.map_structure(lambda *p: tf.concat(p, 0), *predicted)
    means = [tf.add_n(shard) / shards for shard in zip(*slopes, strict=True)]
    return tf.add_n(losses) / shards, whole, means


def _in_microbatches(gradients: Callable[..., Gradients], count: int) -> Callable[..., Gradients]:
    """Add up the gradients of microbatches one after the other, in the memory of one."""
    gradients = compiled(gradients)  # traced once for all of them

    def quick(*batch: Any) -> Gradients:
        *batch, share = batch
        rows = count_rows(batch)
        size = -(-rows // count)

        def part(start: Any) -> Gradients:
            own = _each(lambda a: a[start : start + size], batch)
            loss, predicted, slopes = gradients(*own, share)
            part = tf.cast(count_rows(own), tf.float32) / tf.cast(rows, tf.float32)
            return loss * part, predicted, [s * part for s in slopes]

        def add(start: Any, loss: Any, seen: Any, sums: Any) -> tuple[Any, ...]:
            more, predicted, slopes = part(start)
            seen = keras.tree.map_structure(lambda *p: tf.concat(p, 0), seen, predicted)
            sums = [a + b for a, b in zip(sums, slopes, strict=True)]
            return start + size, loss + more, seen, sums

        first = (size, *part(0))
        grows = keras.tree.map_structure(lambda p: tf.TensorShape([None, *p.shape[1:]]), first[2])
        shapes = (first[0].shape, first[1].shape, grows, [s.shape for s in first[3]])
        _, loss, seen, sums = tf.while_loop(lambda start, *_: start < rows, add, first, shapes)
        return loss, seen, sums

    return quick


def _each(function: Callable[[Any], Any], batch: Any) -> Any:
    """Apply a function to every array of a batch; a missing weight stays None."""
    return keras.tree.map_structure(lambda a: None if a is None else function(a), batch)


class Execution:
    """Takes steps, several in a call, and in microbatches where memory does not suffice.

    ``take_steps`` makes, for a plan, what takes so many steps and returns the last loss.
    """

    def __init__(
        self, take_steps: Callable[[Plan], Callable[[int], float]], plan: Plan,
        batches: Any, model: keras.Model,
    ) -> None:  # fmt: skip
        self.plan, self._make, self._batches, self._model = plan, take_steps, batches, model
        self._take = take_steps(plan)
        self._calls: list[tuple[int, float]] = []  # steps and seconds of each

    def take(self) -> float:
        """Take the next steps; return the last loss."""
        before, start = self._batches.position, time.perf_counter()
        loss = self._take_with_less_memory(self.plan.steps_per_execution or self._pace())
        self._calls.append((self._batches.position - before, time.perf_counter() - start))
        return loss

    def samples_per_second(self) -> float:
        """Return the speed of the steps without the first call, which compiles; NaN for none."""
        steps, seconds = (sum(call[i] for call in self._calls[1:]) for i in (0, 1))
        return steps * self._batches.batch_size / seconds if seconds else float("nan")

    def _pace(self) -> int:
        """Return how many steps the next call takes: the clock decides, and no result follows."""
        if len(self._calls) < 2:  # the first one compiles
            return 1
        steps, seconds = self._calls[-1]
        return max(1, min(int(steps * CALL_SECONDS / max(seconds, 1e-6)), 4 * max(steps, 1)))

    def _take_with_less_memory(self, count: int) -> float:
        while True:
            try:
                return self._take(count)
            except tf.errors.ResourceExhaustedError as error:
                rows = self._batches.batch_size
                if self.plan.microbatches >= rows:
                    raise TrainingError(
                        "Out of memory even with one sample at a time: use a smaller model, or "
                        "smaller images"
                    ) from error
                self.plan = self.plan.in_microbatches()
                count = self.plan.microbatches
                said = (
                    f"Out of memory: every batch of {rows} is now computed in {count} microbatches "
                    f"of {-(-rows // count)}, whose gradients are added up"
                )
                kind = keras.layers.BatchNormalization
                if any(isinstance(layer, kind) for layer in flat_layers(self._model)):
                    said += (
                        ". That is not the same mathematics: batch normalization now takes its "
                        "statistics from a microbatch"
                    )
                warnings.warn(said, stacklevel=4)
                self._take, count = self._make(self.plan), 1
