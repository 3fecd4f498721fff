"""One pass forward and one transposed pass back over a batch, compiled as one.

Written once in `keras.ops`, compiled by the backend as `predict` is: nothing but
the answer leaves the device.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.interpret.forward import Forward
from dlgn_keras.interpret.graph import value_graph
from dlgn_keras.interpret.transposed import Folded, pull_back
from dlgn_keras.layers import Gated
from dlgn_keras.models import GatedModel, predict_arrays

PREDICTED = -1


def run_passes(
    net: GatedModel, x: Any, target: np.ndarray | None, batch_size: int
) -> dict[str, np.ndarray]:
    """Return {"logits", "contributions", "bias", "target"} of raw inputs, as arrays.

    Args:
        net, x, batch_size: as in `explain`.
        target: (n,) classes; None takes each example's predicted class.
    """
    x = net.raw_inputs(x).astype("float32")
    z = x if net.preprocessing is None else net.preprocessing.apply(x)
    target = np.full(len(x), PREDICTED) if target is None else target
    passes: Any = net.view("passes", lambda: Passes(net))
    inputs = [z, target.astype("int32")]
    return predict_arrays(passes, inputs, batch_size)


class Passes(keras.Model):
    """[preprocessed inputs (n, *input_shape), classes (n,)] -> what `explain` returns.

    A class below 0 stands for the predicted one. The model's variables are read
    when it is called, so that it stays right while they change.

    Args:
        net: a DNN, DGN or DLGN.
    """

    def __init__(self, net: GatedModel) -> None:
        super().__init__(dtype="float32", name="passes")
        self.net = net
        self.gating = net.gating_network
        self.value = net.value_network
        self.nodes = value_graph(net)
        self.built = True  # of built layers: Keras need not call it to find out

    def call(self, inputs: Any) -> dict[str, Any]:
        z, target = inputs
        net = self.net
        q = {name: _float32(value) for name, value in self.gating(z).items()}
        gates = net.gates_from(q)
        layers = live_layers(net)
        masks: dict[str, Any] = {}
        if net.family == "dnn":
            # Its pre-activations hold all but the end of its forward pass.
            values = Forward(self.nodes, layers, gates, z, q)
            logits, masks = values.output(len(self.nodes) - 1), values.masks()
        else:
            z = ops.ones_like(z) if net.value_input == "ones" else z
            logits = _float32(self.value([z, gates]))
        best = ops.cast(ops.argmax(logits, axis=1), "int32")
        target = ops.where(target < 0, best, target)
        cotangent = ops.one_hot(target, net.num_classes, dtype="float32")
        back = pull_back(self.nodes, layers, gates, cotangent, masks=masks)
        return {
            "logits": logits,
            "contributions": back.row * z,
            "bias": back.offset,
            "target": target,
        }


def live_layers(net: GatedModel) -> dict[str, Folded]:
    """Return {stage: Folded} of the value network, as tensors of its variables."""
    folded = {}
    for name, layer in net.network_layers("value").items():
        if not isinstance(layer, Gated):
            continue
        kernel: Any = ops.convert_to_tensor(layer.affine.kernel)
        constant: Any = None
        if layer.use_bias:
            constant = ops.convert_to_tensor(layer.affine.bias)
        norm = layer.batch_norm
        if norm is not None:
            scale = norm.gamma / ops.sqrt(norm.moving_variance + norm.epsilon)
            kernel = kernel * scale
            shift = norm.beta - scale * norm.moving_mean
            constant = shift if constant is None else shift + scale * constant
        folded[name] = Folded(kernel, constant)
    return folded


def _float32(value: Any) -> Any:
    return ops.cast(value, "float32")
