"""Max-product tables over the paths of one example, and the steps between units.

For every unit the largest product that a path from the input (or from a
constant) brings to it, once for positive and once for negative products. In
float64 and NumPy; the tables make the search for the top paths exact.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

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


class Steps(NamedTuple):
    """Ways into a unit: parallel arrays, and the constant that starts paths there.

    node: index of the node stepped from; unit: flat index in it; weight: signed.
    """

    node: np.ndarray
    unit: np.ndarray
    weight: np.ndarray
    constant: float


class Example(NamedTuple):
    """One example's network: everything a path is a product of.

    kernels, constants: {stage: array}, batch norm folded in.
    gates: {site: array of its shape}. masks: {max pool: array in its input's shape}.
    inputs: array of the input's shape.
    """

    nodes: Graph
    kernels: dict[str, np.ndarray]
    constants: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    inputs: np.ndarray


def example(
    nodes: Graph,
    parameters: Mapping[str, Affine],
    gates: Mapping[str, np.ndarray],
    masks: Mapping[str, np.ndarray],
    inputs: np.ndarray,
) -> Example:
    """Return the Example, in float64, with batch norm folded into the kernels."""
    kernels = {name: p.kernel * p.scale for name, p in parameters.items()}
    constants = {name: p.scale * p.bias + p.shift for name, p in parameters.items()}

    def float64(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {name: np.asarray(a, np.float64) for name, a in arrays.items()}

    return Example(
        nodes,
        float64(kernels),
        float64(constants),
        float64(gates),
        float64(masks),
        np.asarray(inputs, np.float64),
    )


def best_prefixes(net: Example) -> list[np.ndarray]:
    """Return, for every node, (2, *shape): largest positive and negative product.

    Row 0 holds the largest product above 0, row 1 the largest magnitude of a
    product below 0; 0 where there is none. Gates are applied.
    """
    tables = [np.stack([np.maximum(net.inputs, 0), np.maximum(-net.inputs, 0)])]
    for node in net.nodes[1:]:
        table = _through(net, node, [tables[i] for i in node.inputs])
        if node.gated:
            table = table * net.gates[node.name]
        tables.append(table)
    return tables


def _through(net: Example, node: Node, tables: list[np.ndarray]) -> np.ndarray:
    stage, table = node.stage, tables[0]
    if isinstance(stage, Residual):
        return np.maximum(*tables)
    if isinstance(stage, Flatten):
        return table.reshape(2, -1)
    if isinstance(stage, GlobalPool):
        axes = tuple(range(1, table.ndim - 1))
        return table.max(axes) / np.prod(table.shape[1:-1])
    if isinstance(stage, AveragePool | MaxPool):
        size, rank = stage.pool_size, table.ndim - 2
        if isinstance(stage, MaxPool):
            table = table * net.masks[node.name]
        else:
            table = table / size**rank
        return np.max([cut for _, cut in _windows(table, node, size, size, None)], 0)
    if not isinstance(stage, Dense | Conv):
        raise TypeError(f"No paths are known through the stage {stage!r}.")
    kernel, constant = net.kernels[node.name], net.constants[node.name]
    start = np.stack([np.maximum(constant, 0), np.maximum(-constant, 0)])
    ones = (1,) * (len(node.shape) - 1)
    best = np.broadcast_to(start.reshape(2, *ones, -1), (2, *node.shape)).copy()
    if isinstance(stage, Dense):
        cuts = [((), table)]
    else:
        cuts = _windows(table, node, stage.kernel_size, stage.strides, stage)
    for offset, cut in cuts:
        taps = kernel[offset]
        for i in range(cut.shape[-1]):
            up, down = np.maximum(taps[i], 0), np.maximum(-taps[i], 0)
            plus, minus = cut[0, ..., i, None], cut[1, ..., i, None]
            np.maximum(best[0], plus * up, out=best[0])
            np.maximum(best[0], minus * down, out=best[0])
            np.maximum(best[1], plus * down, out=best[1])
            np.maximum(best[1], minus * up, out=best[1])
    return best


def _windows(
    table: np.ndarray, node: Node, size: int, stride: int, stage: Conv | None
) -> list[tuple[tuple[int, ...], np.ndarray]]:
    """Return (offset in the window, the table seen there by every position)."""
    sizes = table.shape[1:-1]
    if stage is not None:
        wrap = stage.padding == "circular"
        widths = [(0, 0), *pads(stage, sizes), (0, 0)]
        table = np.pad(table, widths, mode="wrap" if wrap else "constant")
    found = []
    for offset in np.ndindex(*(size,) * len(sizes)):
        slices = tuple(
            slice(j, j + (n - 1) * stride + 1, stride)
            for j, n in zip(offset, node.shape[:-1], strict=True)
        )
        found.append((offset, table[(slice(None), *slices)]))
    return found


def steps(net: Example, k: int, unit: tuple[int, ...]) -> Steps:
    """Return the ways into one unit of node `k`, its own gate left out."""
    node = net.nodes[k]
    stage, source = node.stage, node.inputs[0]
    shape = net.nodes[source].shape
    if isinstance(stage, Residual):
        flat = np.ravel_multi_index(unit, node.shape)
        return Steps(np.array(node.inputs), np.array([flat] * 2), np.ones(2), 0.0)
    constant, units, weights = 0.0, np.array(unit), np.ones(1)
    if isinstance(stage, Flatten):
        pass
    elif isinstance(stage, Dense):
        units, weights = np.arange(shape[0]), net.kernels[node.name][:, unit[0]]
        constant = float(net.constants[node.name][unit])
    elif isinstance(stage, Conv):
        kernel = net.kernels[node.name]
        offsets, places = taps(stage, unit[:-1], shape[:-1])
        first = np.asarray(np.ravel_multi_index(places.T, shape[:-1])) * shape[-1]
        units = (first[:, None] + np.arange(shape[-1])).ravel()
        weights = kernel[tuple(offsets.T)][..., unit[-1]].ravel()
        constant = float(net.constants[node.name][unit[-1]])
    else:
        sizes = shape[:-1]
        axes = [np.arange(n) for n in sizes]
        if isinstance(stage, AveragePool | MaxPool):
            size = stage.pool_size
            axes = [np.arange(p * size, (p + 1) * size) for p in unit[:-1]]
        grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, len(sizes))
        units = np.asarray(np.ravel_multi_index(grid.T, sizes)) * shape[-1] + unit[-1]
        weights = np.full(len(units), 1 / len(units))
        if isinstance(stage, MaxPool):
            weights = net.masks[node.name].ravel()[units]
    return Steps(np.full(len(units), source), units, weights, constant)


def taps(
    stage: Conv, position: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (offsets, image places) a position reads: two arrays (taps, axes)."""
    window = np.stack(np.meshgrid(*[np.arange(stage.kernel_size)] * len(sizes)), -1)
    offsets = window.reshape(-1, len(sizes))
    before = np.array([pad[0] for pad in pads(stage, sizes)])
    places = offsets + np.array(position) * stage.strides - before
    if stage.padding == "circular":
        return offsets, places % np.array(sizes)
    inside = ((places >= 0) & (places < np.array(sizes))).all(1)
    return offsets[inside], places[inside]
