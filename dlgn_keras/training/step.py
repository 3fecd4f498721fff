"""Training steps: many in one call, compiled in a way of each backend.

The data set is a variable of a layer, so the device holds it once; a call passes only
indices. `model.fit` sees a chunk of steps as one batch, and `train_step` runs its
steps in a compiled loop: a scan on JAX, a graph loop on TensorFlow, a graph that is
traced once and replayed on torch.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.data.stored import Stored
from dlgn_keras.training.ingredients import AlternatingFlip
from dlgn_keras.training.targets import Mixing, Teacher, mixed_labels, teacher_loss


class ResidentData(keras.layers.Layer):
    """Look examples up by their index in an array kept on the device.

    Args:
        x: (n, ...) array of raw inputs, in their own dtype.

    Input shape: (batch,) whole numbers below n.
    Output shape: (batch, ...) float32.
    """

    def __init__(self, x: np.ndarray) -> None:
        super().__init__(trainable=False, name="resident_data", dtype="float32")
        self.array = self.add_weight(
            shape=x.shape,
            dtype=str(x.dtype),
            initializer="zeros",
            trainable=False,
            autocast=False,
            name="x",
        )
        self.array.assign(x)
        self.built = True

    def call(self, indices: Any) -> Any:
        return ops.cast(ops.take(self.array, indices, axis=0), "float32")

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return (*input_shape, *self.array.shape[1:])

    def compute_output_spec(self, indices: Any) -> keras.KerasTensor:
        return keras.KerasTensor(self.compute_output_shape(indices.shape), "float32")


class GivenData(keras.layers.Layer):
    """Take inputs as they come, in their own dtype; return them as float32."""

    def __init__(self) -> None:
        super().__init__(trainable=False, name="resident_data", dtype="float32")
        self.built = True

    def call(self, inputs: Any) -> Any:
        return ops.cast(inputs, "float32")

    def compute_output_spec(self, inputs: Any) -> keras.KerasTensor:
        return keras.KerasTensor(inputs.shape, "float32")


class FirstNonFinite(keras.metrics.Metric):
    """The first step of the epoch (from 0) whose logits are not finite, or -1."""

    def __init__(self) -> None:
        super().__init__(name="bad_step", dtype="int32")
        self.step = self.add_variable((), "zeros", dtype="int32", name="step")
        self.first = self.add_variable((), "zeros", dtype="int32", name="first")

    def update_state(self, y_true: Any, y_pred: Any, sample_weight: Any = None) -> None:
        self.step.assign(self.step + 1)
        bad = ops.logical_not(ops.all(ops.isfinite(y_pred)))
        is_first = ops.logical_and(bad, ops.equal(self.first, 0))
        self.first.assign(ops.where(is_first, self.step.value, self.first.value))

    def result(self) -> Any:
        return ops.subtract(self.first, 1)

    def reset_state(self) -> None:
        self.step.assign(0)
        self.first.assign(0)


class CapturedStep:
    """Train a chain of layers on a batch as one graph of torch operators.

    For small networks, eager Keras spends most of a step (90 % for the dense DLGN) in
    Python, not in operators. Forward pass, loss, gradient and metrics become one graph
    here, made by torch's tracer with every variable an input; the numbers are those of
    Keras' `train_step` on torch. The tracer raises an error where Python asks for the
    number in a tensor, so no number is frozen into the graph. Augmentation, which seeds
    its draws, and the optimizer do ask: they run outside the graph.

    Args:
        model: a functional chain of layers, compiled, optimizer and metrics built:
            lookup of examples, augmentation, the net to train.
        batch: (indices, labels, weights); every later batch must have its shapes.
    """

    def __init__(self, model: Any, batch: tuple) -> None:
        from torch.fx.experimental.proxy_tensor import make_fx

        self.model = model
        lookup, *augmentation, net = model.layers[1:]
        self.front = keras.Sequential([lookup, *augmentation]) if augmentation else None
        self.rest = net if augmentation else keras.Sequential([lookup, net])
        self.trainable = model.trainable_variables
        self.others = [
            *model.non_trainable_variables,
            *model.metrics_variables,
            *model.optimizer.variables,
        ]
        # Keras assigns in place on torch: these stay the variables' own tensors.
        groups = (self.trainable, self.others)
        self.tensors = tuple([v.value for v in group] for group in groups)
        trace = make_fx(lambda *batch: self._step(*batch), tracing_mode="fake")
        self.graph = trace(*self.tensors, *self._prepared(batch, training=False))
        self.graph.graph.eliminate_dead_code()
        self.graph.recompile()

    def _prepared(self, batch: tuple, training: bool) -> tuple:
        if self.front is None:
            return batch
        indices, labels, weights = batch
        return self.front(indices, training=training), labels, weights

    def _step(
        self, trainable: list, others: list, inputs: Any, labels: Any, weights: Any
    ) -> tuple[tuple, list]:
        """Return the gradients, and the new value of each other variable or None."""
        import torch

        model = self.model
        variables = [*self.trainable, *self.others]
        state = list(zip(variables, [*trainable, *others], strict=True))
        with keras.StatelessScope(state_mapping=state) as scope:
            logits = self.rest(inputs, training=True)
            loss = model.compute_loss(inputs, labels, logits, weights, training=True)
            model._loss_tracker.update_state(loss, sample_weight=len(labels))
            model.compute_metrics(inputs, labels, logits, sample_weight=weights)
            scaled = model.optimizer.scale_loss(loss)
            gradients = torch.autograd.grad(scaled, trainable, allow_unused=True)
            after = [scope.get_current_value(variable) for variable in self.others]
        changed = zip(after, others, strict=True)
        return gradients, [new if new is not old else None for new, old in changed]

    def __call__(self, batch: tuple) -> None:
        """Run the step; metrics are read by the model's `get_metrics_result`."""
        import torch

        with torch.no_grad():
            gradients, after = self.graph(*self.tensors, *self._prepared(batch, True))
            for tensor, value in zip(self.tensors[1], after, strict=True):
                if value is not None:
                    tensor.copy_(value)
            self.model.optimizer.apply(list(gradients), self.trainable)


class ChunkTrainer(keras.Model):
    """A functional model whose `train_step` runs every step of a chunk.

    Make it with `make_trainer`; `batch_size` says how many examples one step
    takes. A chunk is (indices, labels, weights), laid out as `IndexChunks` does.
    """

    batch_size = 1
    distillation = (0.0, 1.0)  # share of the teacher's loss, temperature
    is_chain = True  # what `CapturedStep` can take
    captured: CapturedStep | None = None

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the loss on the labels, as mixed, and on the teacher's logits."""
        given = y_pred if isinstance(y_pred, dict) else {"logits": y_pred}
        if "order" in given:
            y = mixed_labels(given, y)
        loss = super().compute_loss(x, y, given["logits"], sample_weight, training)
        if "teacher" not in given:
            return loss
        weight, temperature = self.distillation
        taught = teacher_loss(given, sample_weight, temperature)
        return (1.0 - weight) * loss + weight * taught

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> Any:
        """Update the metrics, which know class numbers and logits alone."""
        logits = y_pred["logits"] if isinstance(y_pred, dict) else y_pred
        return super().compute_metrics(x, y, logits, sample_weight)

    def train_step(self, *arguments: Any) -> Any:
        """Run the steps of a chunk; the signature is the backend's own."""
        chunk = arguments[-1]
        backend = keras.backend.backend()
        if chunk[0].shape[0] == self.batch_size and backend != "torch":
            return super().train_step(*arguments)
        batches = tuple(
            ops.swapaxes(
                ops.reshape(part, (self.batch_size, -1, *part.shape[1:])), 0, 1
            )
            for part in chunk
        )
        loops = {"jax": self._scan, "torch": self._captured_loop}
        loop = loops.get(backend, self._graph_loop)
        return loop(*arguments[:-1], batches)

    def _scan(self, state: Any, batches: tuple) -> Any:
        step = super().train_step

        def body(state: Any, batch: tuple) -> Any:
            logs, state = step(state, batch)
            return state, logs

        state, logs = ops.scan(body, state, batches)
        return keras.tree.map_structure(lambda log: log[-1], logs), state

    def _graph_loop(self, batches: tuple) -> Any:
        step = super().train_step

        def body(k: Any, done: Any) -> Any:
            step(tuple(part[k] for part in batches))
            return done + 1

        ops.fori_loop(0, ops.shape(batches[0])[0], body, 0)
        return self.get_metrics_result()

    def _captured_loop(self, batches: tuple) -> Any:
        for batch in zip(*batches, strict=True):
            if self.captured is None and self.is_chain:
                self.captured = CapturedStep(self, batch)
            step = self.captured or super().train_step
            step(batch)
        return self.get_metrics_result()


def make_trainer(
    net: keras.Model,
    x: np.ndarray | Stored,
    augmentation: list,
    batch_size: int,
    mixing: Mixing | None = None,
    teacher: Teacher | None = None,
) -> ChunkTrainer:
    """Return the trainer of `net` on the array `x`, sharing the net's weights.

    Args:
        net: the model to train, raw inputs to logits.
        x: (n, ...) raw inputs of every part of the data set, training part first. Of
            stored inputs, the trainer is given batches instead of indices.
        augmentation: layers applied to raw inputs while training.
        batch_size: examples a step.
        mixing: how images are mixed with each other while training.
        teacher: a model whose logits are learnt too.
    """
    if isinstance(x, Stored):
        given = keras.Input(x.shape[1:], dtype=str(x.dtype), name="examples")
        inputs = GivenData()(given)
    else:
        given = keras.Input((), dtype="int32", name="indices")
        inputs = ResidentData(x)(given)
    by_index = [layer for layer in augmentation if isinstance(layer, AlternatingFlip)]
    if by_index and isinstance(x, Stored):
        raise ValueError(
            "`alternating_flip` needs data in memory: give more of it (`memory`, "
            "--memory). Received: inputs that are read from disk."
        )
    for layer in augmentation:
        inputs = layer(inputs, given) if layer in by_index else layer(inputs)
    more = {}
    if mixing is not None:
        inputs, more["order"], more["share"] = mixing(inputs)
    if teacher is not None:
        more["teacher"] = teacher(inputs)
    logits = net(inputs)
    outputs = {"logits": logits, **more} if more else logits
    trainer = ChunkTrainer(given, outputs, name="trainer")
    trainer.batch_size = batch_size
    trainer.is_chain = not more and not by_index
    return trainer


def fixed_variables(trainer: keras.Model) -> list[Any]:
    """Return the variables that no step changes: the data, a teacher's weights."""
    names = {layer.name for layer in trainer.layers} & {"resident_data", "teacher"}
    return [v for name in sorted(names) for v in trainer.get_layer(name).variables]
