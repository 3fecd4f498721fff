"""The value network by hand: forwards at fixed gates, and transposed, stage by stage.

An independent road to contributions, which the package takes from gradients: a
cotangent is pulled back through the transpose of every stage. Each bias and each
batch norm shift on the way meets the cotangent and adds to the offset.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from dlgn_keras.interpret.nodes import Node, Nodes, value_nodes
from dlgn_keras.layers import Affine
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
)

LAST = "channels_last"


def pads(stage, sizes):
    """(before, after) for each image axis: what the convolution pads."""
    if stage.padding == "valid":
        return [(0, 0)] * len(sizes)
    window, stride = stage.kernel_size, stage.strides
    totals = [max((-(-n // stride) - 1) * stride + window - n, 0) for n in sizes]
    return [(total // 2, total - total // 2) for total in totals]


def tensor(array: Any) -> Any:
    return ops.convert_to_tensor(array)


def array(tensor: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(tensor))


class PullBack(NamedTuple):
    """`cotangent . node(z) = row . z + offset` for every example.

    row: tensor (n, *input_shape).
    offset: tensor (n,), what the biases and shifts on the way add.
    at_gates: {site: tensor (n, *shape)}, the cotangent of what comes out of each
        gate; empty unless kept.
    """

    row: Any
    offset: Any
    at_gates: dict[str, Any]


class Folded(NamedTuple):
    """A layer as `kernel z + constant`, batch norm and bias folded in, float32.

    Arrays or tensors; constant None adds nothing.
    """

    kernel: Any
    constant: Any


def fold(parameters: Mapping[str, Affine]) -> dict[str, Folded]:
    """Return {stage: Folded}, what the passes read."""
    folded = {}
    for name, p in parameters.items():
        constant = (p.scale * p.bias + p.shift).astype("float32")
        kernel = (p.kernel * p.scale).astype("float32")
        folded[name] = Folded(kernel, constant if constant.any() else None)
    return folded


def pull_back(
    nodes: Nodes,
    parameters: Mapping[str, Folded],
    gates: Mapping[str, Any],
    cotangent: Any,
    start: int | None = None,
    masks: Mapping[str, Any] | None = None,
    keep: bool = False,
) -> PullBack:
    """Pull a cotangent of one node's pre-activation back to the input.

    Args:
        nodes: see `dlgn_keras.interpret.nodes`.
        parameters: {stage: Folded}.
        gates: {site: (n or 1, *shape)}, numbers or booleans; a site that is missing
            has no gate.
        cotangent: (n, *shape) of the node to start from.
        start: index of that node; the last one if None. Its own gate is left out.
        masks: {max pool: one-hot of the chosen entries, in its input's shape}.
        keep: whether to return the cotangents at the gates; they hold memory.

    Returns:
        PullBack.
    """
    start = len(nodes) - 1 if start is None else start
    pending: dict[int, Any] = {start: tensor(cotangent)}
    size = math.prod(nodes[start].shape)
    offset: Any = ops.zeros_like(ops.reshape(pending[start], (-1, size))[:, 0])
    at_gates: dict[str, Any] = {}
    for k in range(start, 0, -1):
        if k not in pending:
            continue
        node, u = nodes[k], pending.pop(k)
        if node.gated and k != start:
            if keep:
                at_gates[node.name] = u
            if node.name in gates:
                u = u * ops.cast(tensor(gates[node.name]), "float32")
        if isinstance(node.stage, Dense | Conv):
            layer = parameters[node.name]
            if layer.constant is not None:
                axes = tuple(range(1, len(u.shape) - 1))
                total = ops.sum(u, axes) if axes else u
                offset = offset + ops.matmul(total, tensor(layer.constant))
            u = transposed_affine(node.stage, layer.kernel, u, nodes[node.inputs[0]])
        elif not isinstance(node.stage, Residual):
            mask = (masks or {}).get(node.name)
            u = transposed_pool(node, u, nodes[node.inputs[0]], mask)
        for source in node.inputs:
            pending[source] = pending[source] + u if source in pending else u
    row = pending[0] if 0 in pending else None
    if row is None:
        raise ValueError("`start` must be a node that reads the input.")
    return PullBack(row, offset, at_gates)


def transposed_affine(stage: Dense | Conv, kernel: Any, u: Any, source: Node) -> Any:
    """Apply the transpose of a dense or convolutional kernel to `u`."""
    kernel = tensor(kernel)
    if isinstance(stage, Dense):
        return ops.matmul(u, ops.transpose(kernel))
    sizes = source.shape[:-1]
    even = all(before == after for before, after in pads(stage, sizes))
    if stage.padding == "same" and stage.strides == 1 and even:
        return ops.conv_transpose(u, kernel, 1, "same", data_format=LAST)
    v = ops.conv_transpose(u, kernel, stage.strides, "valid", data_format=LAST)
    for axis, (n, (before, after)) in enumerate(
        zip(sizes, pads(stage, sizes), strict=True), start=1
    ):
        v = _fit(v, axis, before + n + after)
        if before or after:
            inside = _slice(v, axis, before, before + n)
            if stage.padding == "circular":
                # What was read from beyond one edge came from the opposite one.
                head = _slice(v, axis, 0, before)
                tail = _slice(v, axis, before + n, before + n + after)
                inside = inside + _place(head, axis, n - before, n)
                inside = inside + _place(tail, axis, 0, n)
            v = inside
    return v


def transposed_pool(node: Node, u: Any, source: Node, mask: Any) -> Any:
    """Apply the transpose of a pool (or of flatten) to `u`."""
    stage, shape = node.stage, source.shape
    if isinstance(stage, Flatten):
        return ops.reshape(u, (-1, *shape))
    if isinstance(stage, GlobalPool):
        sizes = shape[:-1]
        u = ops.reshape(u / math.prod(sizes), (-1, *(1 for _ in sizes), shape[-1]))
        return u * ops.ones((1, *shape), u.dtype)
    if not isinstance(stage, AveragePool | MaxPool):
        raise TypeError(f"No transpose is known for the stage {stage!r}.")
    for axis, n in enumerate(shape[:-1], start=1):
        u = _fit(ops.repeat(u, stage.pool_size, axis=axis), axis, n)
    if isinstance(stage, MaxPool):
        return u * tensor(mask)
    return u / stage.pool_size ** (len(shape) - 1)


def _slice(v: Any, axis: int, start: int, stop: int) -> Any:
    return v[(slice(None),) * axis + (slice(start, stop),)]


def _place(v: Any, axis: int, start: int, size: int) -> Any:
    """Return `v` at `start` on an axis of length `size`, zeros around it."""
    widths = [(0, 0)] * len(v.shape)
    widths[axis] = (start, size - start - v.shape[axis])
    return ops.pad(v, widths)


def _fit(v: Any, axis: int, size: int) -> Any:
    """Cut an axis to `size`, or fill it up with zeros: entries no window reads."""
    if v.shape[axis] >= size:
        return _slice(v, axis, 0, size)
    return _place(v, axis, 0, size)


class Forward:
    """Outputs of the nodes at fixed gates, each computed when first asked for.

    Args:
        nodes: see `dlgn_keras.interpret.nodes`.
        parameters: {stage: Folded}.
        gates: {site: (n or 1, *shape)}.
        inputs: what node 0 holds, (n, *input_shape).
        known: {site: pre-activations} that need no computing, such as a DNN's.
        masks: {max pool: one-hot of the entries it chose}; its maxima if missing.
    """

    def __init__(
        self,
        nodes: Nodes,
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


class ValueWalk:
    """The value network of a model at the gates of some inputs: forward and back."""

    def __init__(self, net: Any, x: Any) -> None:
        self.net = net
        self.nodes = value_nodes(net)
        self.parameters = fold(net.parameters("value"))
        self.inputs = net.value_inputs(x)
        self.gates = net.gates(x)
        self.values = Forward(self.nodes, self.parameters, self.gates, self.inputs)
        self.logits = array(self.values.output(len(self.nodes) - 1))

    def back(self, target: Any, keep: bool = False) -> PullBack:
        cotangent = np.eye(self.net.num_classes, dtype="float32")[target]
        masks = self.values.masks()
        return pull_back(
            self.nodes, self.parameters, self.gates, cotangent, None, masks, keep
        )

    def contributions(self, target: Any) -> tuple[np.ndarray, np.ndarray]:
        """`A z` and `b` of the logits of `target`."""
        back = self.back(target)
        return array(back.row) * self.inputs, array(back.offset)

    def gate_contributions(self, target: Any) -> dict[str, np.ndarray]:
        """`G q dlogit/d(output)` for every gate."""
        at_gates = self.back(target, keep=True).at_gates
        return {
            node.name: array(self.values.output(k) * at_gates[node.name])
            for k, node in enumerate(self.nodes)
            if node.gated
        }
