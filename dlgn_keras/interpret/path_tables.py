"""One example's network in NumPy, float64: sums and maxima over its paths.

One walk over the nodes serves both: `sums` adds the paths that reach a unit,
`best_prefixes` keeps the largest product of each sign. The maxima make the search for
the top paths exact.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.nodes import Node, Nodes, value_nodes
from dlgn_keras.models import GatedModel, fold
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
)


class Example(NamedTuple):
    """One example's network: all the factors of its paths.

    kernels, constants: {stage: array}, batch norm folded in.
    gates: {site: array of its shape}. masks: {max pool: one-hot of the entries it
    takes, in its input's shape}. inputs: array of the input's shape.
    """

    nodes: Nodes
    kernels: dict[str, np.ndarray]
    constants: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    masks: dict[str, np.ndarray]
    inputs: np.ndarray


class Steps(NamedTuple):
    """Ways into a unit: parallel arrays, and the constant that starts paths there.

    node: index of the node stepped from; unit: flat index in it; weight: signed.
    """

    node: np.ndarray
    unit: np.ndarray
    weight: np.ndarray
    constant: float


def example(net: GatedModel, x: np.ndarray) -> tuple[Example, np.ndarray]:
    """Return the network of one raw input (1, *input_shape), and its logits."""
    layers = fold(net.parameters("value"))
    found = Example(
        value_nodes(net),
        {name: layer.kernel for name, layer in layers.items()},
        {name: layer.constant for name, layer in layers.items()},
        {site: gate[0].astype(np.float64) for site, gate in net.gates(x).items()},
        {},
        net.value_inputs(x)[0].astype(np.float64),
    )
    return found, sums(found)


def sums(net: Example) -> np.ndarray:
    """Return the last node's output: for every unit the sum of its paths.

    The masks of max pools that have none yet are filled in, in place.
    """

    def affine(node: Node, table: np.ndarray) -> np.ndarray:
        parts = (cut @ net.kernels[node.name][tap] for tap, cut in _cuts(table, node))
        return sum(parts, net.constants[node.name])

    return _walk(net, net.inputs[None], np.sum, affine)[-1][0]


def best_prefixes(net: Example) -> list[np.ndarray]:
    """Return, for every node, (2, *shape): largest positive and negative product.

    Row 0 holds the largest product above 0, row 1 the largest magnitude of a
    product below 0; 0 where there is none. Gates are applied.
    """

    def affine(node: Node, table: np.ndarray) -> np.ndarray:
        start = _signs(net.constants[node.name])
        ones = (1,) * (len(node.shape) - 1)
        best = np.broadcast_to(start.reshape(2, *ones, -1), (2, *node.shape)).copy()
        for tap, cut in _cuts(table, node):
            for i, (up, down) in enumerate(_signs(net.kernels[node.name][tap], 1)):
                plus, minus = cut[0, ..., i, None], cut[1, ..., i, None]
                np.maximum(best[0], plus * up, out=best[0])
                np.maximum(best[0], minus * down, out=best[0])
                np.maximum(best[1], plus * down, out=best[1])
                np.maximum(best[1], minus * up, out=best[1])
        return best

    return _walk(net, _signs(net.inputs), np.max, affine)


def steps(net: Example, k: int, unit: tuple[int, ...]) -> Steps:
    """Return the ways into one unit of node `k`, its own gate left out."""
    node = net.nodes[k]
    stage, source = node.stage, node.inputs[0]
    shape = net.nodes[source].shape
    if isinstance(stage, Residual):
        flat = np.ravel_multi_index(unit, node.shape)
        return Steps(np.array(node.inputs), np.array([flat] * 2), np.ones(2), 0.0)
    constant, units, weights = 0.0, np.array(unit), np.ones(1)
    if isinstance(stage, Dense):
        units, weights = np.arange(shape[0]), net.kernels[node.name][:, unit[0]]
    elif isinstance(stage, Conv):
        offsets, places = taps(stage, unit[:-1], shape[:-1])
        first = np.asarray(np.ravel_multi_index(places.T, shape[:-1])) * shape[-1]
        units = (first[:, None] + np.arange(shape[-1])).ravel()
        weights = net.kernels[node.name][tuple(offsets.T)][..., unit[-1]].ravel()
    elif not isinstance(stage, Flatten):
        if isinstance(stage, GlobalPool):
            places = np.array(list(np.ndindex(*shape[:-1])))
        else:
            places = taps(stage, unit[:-1], shape[:-1])[1]
        first = np.asarray(np.ravel_multi_index(places.T, shape[:-1])) * shape[-1]
        units = first + unit[-1]
        weights = np.full(len(units), 1 / len(units))
        if isinstance(stage, MaxPool):
            weights = net.masks[node.name].ravel()[units]
    if node.name in net.constants:
        constant = float(net.constants[node.name][unit[-1]])
    return Steps(np.full(len(units), source), units, weights, constant)


def taps(
    stage: Any, position: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return (kernel indices, image places) a position reads: (taps, axes) each."""
    read = [stage.window.taps(n)[p] for n, p in zip(sizes, position, strict=True)]
    places = np.stack(np.meshgrid(*read, indexing="ij"), -1).reshape(-1, len(sizes))
    offsets = np.array(list(np.ndindex(*map(len, read))))
    inside = (places >= 0).all(1)
    return offsets[inside], places[inside]


def _walk(
    net: Example, table: np.ndarray, join: Callable, affine: Callable
) -> list[np.ndarray]:
    """Return the tables of all nodes; `join` reduces parallel ways over axes."""
    tables = [table]
    for node in net.nodes[1:]:
        stage, table = node.stage, tables[node.inputs[0]]
        rank = table.ndim - 2
        if isinstance(stage, Residual):
            table = join(np.stack([tables[i] for i in node.inputs]), axis=0)
        elif isinstance(stage, Flatten):
            table = table.reshape(len(table), -1)
        elif isinstance(stage, GlobalPool):
            axes = tuple(range(1, rank + 1))
            table = join(table, axis=axes) / np.prod(table.shape[1:-1])
        elif isinstance(stage, AveragePool | MaxPool):
            if isinstance(stage, AveragePool):
                table = table / stage.pool_size**rank
            else:
                if node.name not in net.masks:
                    net.masks[node.name] = _first_largest(table[0], node)
                table = table * net.masks[node.name]
            table = join(np.stack([cut for _, cut in _cuts(table, node)]), axis=0)
        elif isinstance(stage, Dense | Conv):
            table = affine(node, table)
        else:
            raise TypeError(f"No paths are known through the stage {stage!r}.")
        if node.gated:
            table = table * net.gates[node.name]
        tables.append(table)
    return tables


def _cuts(table: np.ndarray, node: Node) -> Iterator[tuple[tuple, np.ndarray]]:
    """Yield (tap, the entry that it reads for every position)."""
    if isinstance(node.stage, Dense):
        yield (), table
        return
    stage: Any = node.stage
    window, sizes = stage.window, table.shape[1:-1]
    pads = [(0, 0), *(window.pads(n) for n in sizes), (0, 0)]
    mode = "wrap" if window.padding == "circular" else "constant"
    padded = np.pad(table, pads, mode=mode)
    for tap in np.ndindex(*(window.size,) * len(sizes)):
        starts = (window.offsets[j] for j in tap)
        slices = (
            slice(first, first + (n - 1) * window.strides + 1, window.strides)
            for first, n in zip(starts, node.shape[:-1], strict=True)
        )
        yield tap, padded[(slice(None), *slices)]


def _first_largest(values: np.ndarray, node: Node) -> np.ndarray:
    """Return the one-hot of each window's first largest entry."""
    places = np.arange(values.size, dtype=np.float64).reshape(values.shape)
    entries = np.concatenate([cut for _, cut in _cuts(values[None], node)])
    indices = np.concatenate([cut for _, cut in _cuts(places[None], node)])
    best = np.take_along_axis(indices, entries.argmax(0)[None], 0)
    mask = np.zeros(values.size)
    mask[best.astype(int).ravel()] = 1
    return mask.reshape(values.shape)


def _signs(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the positive part and the magnitude of the negative part, stacked."""
    return np.stack([np.maximum(values, 0), np.maximum(-values, 0)], axis)
