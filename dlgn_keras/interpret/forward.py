"""The same nodes read forwards: activations at fixed gates, and max pools' choices."""

import math
from collections.abc import Mapping
from typing import Any

from keras import ops

from dlgn_keras.interpret.graph import Graph, Node, pads
from dlgn_keras.interpret.transposed import LAST, Folded, tensor
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
)


class Forward:
    """Outputs of the nodes at fixed gates, each computed when first asked for.

    Args:
        nodes: see `dlgn_keras.interpret.graph`.
        parameters: {stage: Folded}.
        gates: {site: (n or 1, *shape)}.
        inputs: what node 0 holds, (n, *input_shape).
        known: {site: pre-activations} that need no computing, such as a DNN's.
        masks: {max pool: one-hot of the entries it chose}; its maxima if missing.
    """

    def __init__(
        self,
        nodes: Graph,
        parameters: Mapping[str, Folded],
        gates: Mapping[str, Any],
        inputs: Any,
        known: Mapping[str, Any] | None = None,
        masks: Mapping[str, Any] | None = None,
    ) -> None:
        self.nodes = nodes
        self.parameters = parameters
        self.gates = gates
        self.known = known or {}
        self.given_masks = masks or {}
        self.outputs: dict[int, Any] = {0: tensor(inputs)}

    def output(self, k: int) -> Any:
        """Return the output of node `k`, its gate applied: tensor (n, *shape)."""
        if k not in self.outputs:
            node = self.nodes[k]
            if node.name in self.known:
                q = tensor(self.known[node.name])
            else:
                q = self._stage(node, [self.output(i) for i in node.inputs])
            if node.gated and node.name in self.gates:
                q = q * ops.cast(tensor(self.gates[node.name]), "float32")
            self.outputs[k] = q
        return self.outputs[k]

    def masks(self) -> dict[str, Any]:
        """Return {max pool: one-hot of each window's first largest entry}."""
        return {
            node.name: _chosen(self.output(node.inputs[0]), node.stage.pool_size)
            for node in self.nodes
            if isinstance(node.stage, MaxPool)
        }

    def _stage(self, node: Node, inputs: list) -> Any:
        stage, z = node.stage, inputs[0]
        if isinstance(stage, Residual):
            return sum(inputs)
        if isinstance(stage, Dense | Conv):
            layer = self.parameters[node.name]
            if isinstance(stage, Dense):
                q = ops.matmul(z, tensor(layer.kernel))
            else:
                q = convolve(stage, layer.kernel, z)
            return q if layer.constant is None else q + tensor(layer.constant)
        if isinstance(stage, Flatten):
            return ops.reshape(z, (-1, math.prod(z.shape[1:])))
        if isinstance(stage, GlobalPool):
            return ops.mean(z, axis=tuple(range(1, len(z.shape) - 1)))
        if not isinstance(stage, AveragePool | MaxPool):
            raise TypeError(f"No forward pass is known for the stage {stage!r}.")
        size = stage.pool_size
        options = {"strides": size, "padding": "valid", "data_format": LAST}
        if isinstance(stage, AveragePool):
            return ops.average_pool(z, size, **options)
        if node.name not in self.given_masks:
            return ops.max_pool(z, size, **options)
        kept = z * tensor(self.given_masks[node.name])
        return ops.average_pool(kept, size, **options) * size ** (len(z.shape) - 2)


def convolve(stage: Conv, kernel: Any, z: Any) -> Any:
    """Convolve a padded `z` with a kernel, without bias."""
    sizes = tuple(z.shape[1:-1])
    for axis, (before, after) in enumerate(pads(stage, sizes), start=1):
        if not before and not after:
            continue
        if stage.padding == "circular":
            n = sizes[axis - 1]
            places = [(i - before) % n for i in range(before + n + after)]
            z = ops.take(z, places, axis=axis)
        else:
            widths = [(0, 0)] * len(z.shape)
            widths[axis] = (before, after)
            z = ops.pad(z, widths)
    kernel = tensor(kernel)
    return ops.conv(z, kernel, stage.strides, "valid", data_format=LAST)


def _chosen(z: Any, size: int) -> Any:
    _, *sizes, channels = z.shape
    counts = [s // size for s in sizes]
    cut = z
    for axis, count in enumerate(counts, start=1):
        cut = cut[(slice(None),) * axis + (slice(0, count * size),)]
    split = [part for count in counts for part in (count, size)]
    blocks = ops.reshape(cut, (-1, *split, channels))
    outer = [1 + 2 * k for k in range(len(counts))]
    inner = [2 + 2 * k for k in range(len(counts))]
    order = (0, *outer, 1 + 2 * len(counts), *inner)
    windows = ops.transpose(blocks, order)
    flat = ops.reshape(windows, (-1, *counts, channels, size ** len(counts)))
    one_hot = ops.one_hot(ops.argmax(flat, axis=-1), size ** len(counts))
    back = ops.reshape(one_hot, (-1, *counts, channels, *(size for _ in counts)))
    inverse = sorted(range(len(order)), key=order.__getitem__)
    mask = ops.reshape(ops.transpose(back, inverse), (-1, *cut.shape[1:]))
    widths = [(0, 0), *((0, s - c * size) for s, c in zip(sizes, counts, strict=True))]
    return ops.cast(ops.pad(mask, [*widths, (0, 0)]), "float32")
