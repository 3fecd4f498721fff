"""A training step on torch as one graph of operators, traced once and replayed.

Eager Keras spends more time in Python between two operators than a small net
spends in them: of a step of the fully connected DLGN, nine tenths.
"""

from typing import Any

import keras


class CapturedStep:
    """Train a chain of layers on a batch, as Keras' own `train_step` on torch does.

    Forward pass, loss, gradient and metrics are one graph, made by torch's tracer
    with every variable an input. The tracer raises an error where Python asks for
    the number in a tensor, so that none is frozen into the graph. What does ask runs
    as Keras has it: augmentation, which seeds its draws, and the optimiser.

    Args:
        model: a functional chain of layers, compiled, optimiser and metrics built:
            what looks examples up, their augmentation, the net to train.
        batch: (indices, labels, weights); every later one must have its shapes.
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
