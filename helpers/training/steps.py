"""One step of gradient descent, and one of validation, under a plan."""

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from helpers.hardware import Plan
from helpers.training.problem import as_input, scales_itself

# AutoGraph would read and rewrite the source of all that is called, Keras's too: 4 s in each
# process before the first step. Loops are ``tf.while_loop`` instead.
compiled = partial(tf.function, autograph=False)
MIN_PART = 16  # samples; a smaller part of a batch is not worth a core of its own


class Steps:
    """The steps of one model, to be called inside a ``tf.function``.

    Parameters
    ----------
    model
        Compiled with its optimizer, loss and metrics.
    plan
        Precision is the model's own by now; XLA, parts and pieces are done here.
    strategy
        Where the steps run; ``tf.distribute.get_strategy()`` for one device.
    augmentation
        Changes a batch of images ``(n, h, w, channels)`` during training, or None.
    class_weight
        A weight for each class, or None.
    mean_loss
        Where the losses are added up.
    """

    def __init__(
        self,
        model: keras.Model,
        plan: Plan,
        strategy: tf.distribute.Strategy,
        *,
        augmentation: Any = None,
        class_weight: Any = None,
        mean_loss: keras.metrics.Mean,
    ) -> None:
        self.model, self.plan, self.strategy = model, plan, strategy
        self._mean_loss = mean_loss
        # A function of the user's may hold an ``if`` on a tensor, which needs AutoGraph.
        own = augmentation is None or isinstance(augmentation, keras.Layer)
        self._augmentation = augmentation if own else tf.function(augmentation)
        self._class_weight = None if class_weight is None else tf.constant(class_weight)
        self._scaled = scales_itself(model)
        self._variables = model.trainable_variables
        self._fast_gradients = self._gradients
        self._update = self._apply
        if plan.xla == "step":
            self._fast_gradients = compiled(self._gradients, jit_compile=True)
        if plan.xla != "none":
            self._update = compiled(self._apply, jit_compile=True)

    def train(self, batch: tuple[Any, ...], *, compiled: bool) -> tf.Tensor:
        """Take one step on a batch ``(x, y)`` or ``(x, y, weight)``; return its loss.

        ``compiled`` says that it has the usual size: a last, smaller one is not worth compiling.
        """
        return self._on_replicas(lambda part: self._train(part, compiled), batch)

    def validate(self, batch: tuple[Any, ...]) -> None:
        """Add a batch to the loss and the metrics."""
        self._on_replicas(self._validate, batch)

    def _train(self, batch: tuple[Any, ...], compiled: bool) -> tf.Tensor:
        x, y, weight = self._prepared(batch, training=True)
        differentiate = self._fast_gradients if compiled else self._gradients
        if self.plan.pieces > 1:
            differentiate = self._in_pieces
        elif compiled and self._parts(x) > 1:
            differentiate = self._in_parts
        loss, predicted, gradients = differentiate(x, y, weight)
        share = self._share(x)
        # Nothing changes before all is computed: a step that runs out of memory leaves no trace.
        with tf.control_dependencies([loss, *gradients]):
            self._measure(x, y, predicted, weight)
            self._track(loss, x)
            if share is not None:  # replicas are summed up; each counts by its samples
                loss, gradients = loss * share, [g * share for g in gradients]
            self._update(gradients)
            return tf.identity(loss)

    def _gradients(self, x: Any, y: Any, weight: Any) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        with tf.GradientTape() as tape:
            predicted = self.model(x, training=True)
            loss = self._loss(x, y, predicted, weight, training=True)
            scaled = self.model.optimizer.scale_loss(loss)  # for float16; else the loss itself
        zero = tf.UnconnectedGradients.ZERO
        return loss, predicted, tape.gradient(scaled, self._variables, unconnected_gradients=zero)

    def _apply(self, gradients: list[tf.Tensor]) -> None:
        self.model.optimizer.apply_gradients(zip(gradients, self._variables, strict=True))

    def _in_parts(self, x: Any, y: Any, weight: Any) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        """Compute the gradients of equal parts side by side, one on each core."""
        parts = self._parts(x)
        pieces = [_split((x, y, weight), parts, part) for part in range(parts)]
        results = [self._fast_gradients(*piece) for piece in pieces]
        losses, predictions, gradients = zip(*results, strict=True)
        predicted = keras.tree.map_structure(lambda *p: tf.concat(p, 0), *predictions)
        means = [tf.add_n(g) / parts for g in zip(*map(_dense, gradients), strict=True)]
        return tf.add_n(losses) / parts, predicted, means

    def _in_pieces(self, x: Any, y: Any, weight: Any) -> tuple[tf.Tensor, Any, list[tf.Tensor]]:
        """Add up the gradients of pieces one after the other, in the memory of one."""
        count = _count(x)
        size = -(-count // self.plan.pieces)
        loss, sums = tf.constant(0.0), [tf.zeros_like(v) for v in self._variables]
        form = self.model.compute_output_spec(x)
        seen = [
            tf.TensorArray(o.dtype, self.plan.pieces, infer_shape=False)
            for o in keras.tree.flatten(form)
        ]

        def add(number: tf.Tensor, loss: tf.Tensor, sums: Any, seen: Any) -> tuple[Any, ...]:
            start = number * size
            piece = _map(lambda a: a[start : start + size], (x, y, weight))
            part_loss, predicted, gradients = self._gradients(*piece)
            share = tf.cast(_count(piece[0]), tf.float32) / tf.cast(count, tf.float32)
            sums = [s + g * share for s, g in zip(sums, _dense(gradients), strict=True)]
            flat = keras.tree.flatten(predicted)
            seen = [a.write(number, p) for a, p in zip(seen, flat, strict=True)]
            return number + 1, loss + part_loss * share, sums, seen

        _, loss, sums, seen = tf.while_loop(
            lambda number, *_: number * size < count, add, (tf.constant(0), loss, sums, seen)
        )
        whole = keras.tree.pack_sequence_as(form, [a.concat() for a in seen])
        whole = keras.tree.map_structure(lambda p, o: tf.ensure_shape(p, o.shape), whole, form)
        return loss, whole, sums

    def _validate(self, batch: tuple[Any, ...]) -> tf.Tensor:
        x, y, weight = self._prepared(batch, training=False)
        predicted = self.model(x, training=False)
        loss = self._loss(x, y, predicted, weight, training=False)
        self._measure(x, y, predicted, weight)
        self._track(loss, x)
        return loss

    def _prepared(self, batch: tuple[Any, ...], *, training: bool) -> tuple[Any, Any, Any]:
        x, y, weight = keras.utils.unpack_x_y_sample_weight(batch)
        x = as_input(x, scaled=self._scaled)
        if training and self._augmentation is not None:
            x = keras.tree.map_structure(self._augmented, x)
        if training and weight is None and self._class_weight is not None:
            weight = tf.gather(self._class_weight, tf.cast(y, tf.int32))
        return x, y, weight

    def _augmented(self, x: tf.Tensor) -> tf.Tensor:
        if x.shape.rank == 3:
            return self._augmentation(x[..., None], training=True)[..., 0]
        return self._augmentation(x, training=True)

    def _loss(self, x: Any, y: Any, predicted: Any, weight: Any, *, training: bool) -> tf.Tensor:
        return self.model.compute_loss(
            x=x, y=y, y_pred=predicted, sample_weight=weight, training=training
        )

    def _measure(self, x: Any, y: Any, predicted: Any, weight: Any) -> None:
        self.model.compute_metrics(x, y, predicted, sample_weight=weight)

    def _track(self, loss: tf.Tensor, x: Any) -> None:
        replicas = self.strategy.num_replicas_in_sync
        # Keras divides the loss of a replica by their number, so that their sum is the mean.
        self._mean_loss.update_state(loss * replicas, sample_weight=_count(x))

    def _parts(self, x: Any) -> int:
        rows = keras.tree.flatten(x)[0].shape[0]
        if rows is None:
            return 1
        most = min(self.plan.parts, rows // MIN_PART)
        return max((p for p in range(1, most + 1) if rows % p == 0), default=1)

    def _share(self, x: Any) -> tf.Tensor | None:
        """Return this replica's samples divided by the replicas' mean; None for a single one."""
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return None
        own = tf.cast(_count(x), tf.float32)
        return own * replicas / tf.distribute.get_replica_context().all_reduce("SUM", own)

    def _on_replicas(self, function: Any, batch: tuple[Any, ...]) -> tf.Tensor:
        replicas = self.strategy.num_replicas_in_sync
        if replicas == 1:
            return function(batch)

        def on_own_rows(batch: tuple[Any, ...]) -> tf.Tensor:
            count = _count(batch[0])
            number = tf.distribute.get_replica_context().replica_id_in_sync_group
            first, last = count * number // replicas, count * (number + 1) // replicas
            return function(keras.tree.map_structure(lambda a: a[first:last], batch))

        losses = self.strategy.run(on_own_rows, args=(batch,))
        return self.strategy.reduce("SUM", losses, axis=None)


def _map(function: Any, batch: Any) -> Any:
    """Apply a function to every array of a batch; a missing weight stays None."""
    return keras.tree.map_structure(lambda a: None if a is None else function(a), batch)


def _count(x: Any) -> tf.Tensor:
    return tf.shape(keras.tree.flatten(x)[0])[0]


def _split(batch: Any, parts: int, number: int) -> Any:
    return _map(lambda a: tf.split(a, parts)[number], batch)


def _dense(gradients: list[Any]) -> list[tf.Tensor]:
    return [tf.convert_to_tensor(g) for g in gradients]
