"""The value network read backwards: one pass gives a whole row of its affine map.

At fixed gates every node is an affine map, so a cotangent at some node can be
pulled back to the input by the transposed maps, stage by stage. On the way each
bias and each batch norm shift meets the cotangent and adds to one offset.
Written in `keras.ops` alone: the same on every backend, no gradient tape.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from dlgn_keras.interpret.graph import Graph, Node, pads
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


def tensor(array: Any) -> Any:
    """Return an array as the backend's tensor, whatever Keras types it as."""
    return ops.convert_to_tensor(array)


def array(tensor: Any) -> np.ndarray:
    """Return the backend's tensor as a NumPy array."""
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
    nodes: Graph,
    parameters: Mapping[str, Folded],
    gates: Mapping[str, Any],
    cotangent: Any,
    start: int | None = None,
    masks: Mapping[str, Any] | None = None,
    keep: bool = False,
) -> PullBack:
    """Pull a cotangent of one node's pre-activation back to the input.

    Args:
        nodes: see `dlgn_keras.interpret.graph`.
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
