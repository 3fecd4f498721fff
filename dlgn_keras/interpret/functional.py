"""The dual side of any functional model's twin: by gradients at fixed gates.

A skeleton is walked back stage by stage; of a Keras model's own layers nothing is
known but that at fixed gates they are affine, so that their gradient is the row of
A, and their output for zeros is b.
"""

from typing import Any, NamedTuple

import numpy as np
from keras import ops

from dlgn_keras.interpret.gradients import input_gradients
from dlgn_keras.interpret.transposed import PullBack
from dlgn_keras.models import DisentangledModel


class State(NamedTuple):
    """What the forward pass over one batch leaves for the pass back."""

    inputs: np.ndarray
    gates: dict[str, Any]
    logits: np.ndarray


class FunctionalWalk:
    """The value network of a twin, forward once and back once a batch."""

    def __init__(self, net: DisentangledModel) -> None:
        if len(net.output_shape) != 2:
            raise ValueError(
                "`net` must end in one vector of logits to be explained. "
                f"Received: {net.name!r} with outputs of shape {net.output_shape[1:]}."
            )
        self.net = net

    def forward(self, x: Any) -> State:
        size = max(len(x), 1)
        z = self.net.value_inputs(x, size)
        made = self.net.gates(x, batch_size=size)
        gates = {site: ops.convert_to_tensor(gate) for site, gate in made.items()}
        return State(z, gates, self._value(gates, z))

    def back(self, state: State, target: np.ndarray) -> PullBack:
        fixed = _AtFixedGates(self.net, state.gates)
        row = input_gradients(fixed, state.inputs, target, len(state.inputs))
        offsets = self._value(state.gates, np.zeros_like(state.inputs))
        return PullBack(row, offsets[np.arange(len(target)), target], {})

    def _value(self, gates: dict[str, Any], z: np.ndarray) -> np.ndarray:
        fixed = _AtFixedGates(self.net, gates)
        logits = ops.convert_to_numpy(fixed(ops.convert_to_tensor(z)))
        return np.asarray(logits, "float32")


class _AtFixedGates:
    """The value network as a function of its input alone."""

    def __init__(self, net: DisentangledModel, gates: dict[str, Any]) -> None:
        self.network: Any = net.value_network
        self.gates = gates
        self.output_shape = net.output_shape

    def __call__(self, z: Any, training: bool = False) -> Any:
        return self.network([z, self.gates], training=training)
