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
from dlgn_keras.skeletons.rules import StageRules

Index = tuple[int, ...]


class Example(NamedTuple):
    """One example's network: all the factors of its paths.

    kernels, constants: {stage: array}, batch norm folded in.
    gates: {site: array of its shape}. inputs: array of the input's shape.
    """

    nodes: Nodes
    kernels: dict[str, np.ndarray]
    constants: dict[str, np.ndarray]
    gates: dict[str, np.ndarray]
    inputs: np.ndarray


class Steps(NamedTuple):
    """Steps into a unit as parallel arrays, and the constant that starts paths there.

    node: index of the node stepped from; unit: flat index in it; weight: signed.
    """

    node: np.ndarray
    unit: np.ndarray
    weight: np.ndarray
    constant: float


def example(
    net: GatedModel, x: np.ndarray, mode: str | None = None, beta: float | None = None
) -> tuple[Example, np.ndarray]:
    """Return the network of one raw input (1, *input_shape), and its logits."""
    gates = net.gates(x, mode, beta=beta)
    layers = fold(net.parameters("value"))
    found = Example(
        value_nodes(net),
        {name: layer.kernel for name, layer in layers.items()},
        {name: layer.constant for name, layer in layers.items()},
        {site: gate[0].astype(np.float64) for site, gate in gates.items()},
        net.value_inputs(x)[0].astype(np.float64),
    )
    return found, sums(found)


def sums(net: Example) -> np.ndarray:
    """Return the last node's output: for every unit the sum of its paths."""

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
    """Return the steps into one unit of node `k`, without the unit's own gate."""
    node = net.nodes[k]
    source, units, weights = WAYS(node.stage, net, node, unit)
    constant = 0.0
    if node.name in net.constants:
        constant = float(net.constants[node.name][unit[-1]])
    return Steps(np.broadcast_to(source, len(units)), units, weights, constant)


# stage, network, node, unit -> node or nodes stepped from, flat units there, weights
WAYS = StageRules("A step along a path")
Way = tuple[Any, np.ndarray, np.ndarray]


@WAYS.rule(Residual, "body", "shortcut", "gated")
def _into_sum(stage: Residual, net: Example, node: Node, unit: Index) -> Way:
    flat = np.ravel_multi_index(unit, node.shape)
    return np.array(node.inputs), np.array([flat] * 2), np.ones(2)


@WAYS.rule(Flatten)
def _into_vector(stage: Flatten, net: Example, node: Node, unit: Index) -> Way:
    return node.inputs[0], np.array(unit), np.ones(1)


@WAYS.rule(Dense, "affine", "gated")
def _into_unit(stage: Dense, net: Example, node: Node, unit: Index) -> Way:
    weights = net.kernels[node.name][:, unit[0]]
    return node.inputs[0], np.arange(len(weights)), weights


@WAYS.rule(Conv, "window", "affine", "gated")
def _into_window(stage: Conv, net: Example, node: Node, unit: Index) -> Way:
    shape = net.nodes[node.inputs[0]].shape
    offsets, places = taps(stage, unit[:-1], shape[:-1])
    units = _flat(places, shape)[:, None] + np.arange(shape[-1])
    weights = net.kernels[node.name][tuple(offsets.T)][..., unit[-1]]
    return node.inputs[0], units.ravel(), weights.ravel()


@WAYS.rule(AveragePool, "window")
@WAYS.rule(GlobalPool)
def _into_mean(stage: Any, net: Example, node: Node, unit: Index) -> Way:
    shape = net.nodes[node.inputs[0]].shape
    places = np.array(list(np.ndindex(*shape[:-1])))
    if isinstance(stage, AveragePool):
        places = taps(stage, unit[:-1], shape[:-1])[1]
    units = _flat(places, shape) + unit[-1]
    return node.inputs[0], units, np.full(len(units), 1 / len(units))


@WAYS.rule(MaxPool, "window")
def _into_selection(stage: MaxPool, net: Example, node: Node, unit: Index) -> Way:
    shape = net.nodes[node.inputs[0]].shape
    units = _flat(taps(stage, unit[:-1], shape[:-1])[1], shape) + unit[-1]
    return node.inputs[0], units, net.gates[node.name][unit]


def _flat(places: np.ndarray, shape: Index) -> np.ndarray:
    """Return the flat indices of the first channel at image places (n, axes)."""
    return np.asarray(np.ravel_multi_index(places.T, shape[:-1])) * shape[-1]


def taps(
    stage: Any, position: tuple[int, ...], sizes: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the (kernel indices, image places) read at a position: (taps, axes)."""
    read = [stage.window.taps(n)[p] for n, p in zip(sizes, position, strict=True)]
    places = np.stack(np.meshgrid(*read, indexing="ij"), -1).reshape(-1, len(sizes))
    offsets = np.array(list(np.ndindex(*map(len, read))))
    inside = (places >= 0).all(1)
    return offsets[inside], places[inside]


def _walk(
    net: Example, table: np.ndarray, join: Callable, affine: Callable
) -> list[np.ndarray]:
    """Return the tables of all nodes; `join` reduces parallel steps over axes."""
    tables = [table]
    for node in net.nodes[1:]:
        before = [tables[i] for i in node.inputs]
        table = TABLES(node.stage, net, node, before, join, affine)
        if node.gated:
            table = table * net.gates[node.name]
        tables.append(table)
    return tables


# stage, network, node, tables it reads, how to join steps, how to apply weights
# -> its table before gates
TABLES = StageRules("A sum over paths")


@TABLES.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, net: Example, node: Node, before: list, *how: Any) -> Any:
    return how[0](np.stack(before), axis=0)


@TABLES.rule(Flatten)
def _vector(stage: Flatten, net: Example, node: Node, before: list, *how: Any) -> Any:
    return before[0].reshape(len(before[0]), -1)


@TABLES.rule(Dense, "affine", "gated")
@TABLES.rule(Conv, "window", "affine", "gated")
def _weights(stage: Any, net: Example, node: Node, before: list, *how: Any) -> Any:
    return how[1](node, before[0])


@TABLES.rule(GlobalPool)
def _image(stage: GlobalPool, net: Example, node: Node, before: list, *how: Any) -> Any:
    places = tuple(range(1, before[0].ndim - 1))
    return how[0](before[0], axis=places) / np.prod(before[0].shape[1:-1])


@TABLES.rule(AveragePool, "window")
def _mean(stage: AveragePool, net: Example, node: Node, before: list, *how: Any) -> Any:
    cuts = np.stack([cut for _, cut in _cuts(before[0], node)])
    return how[0](cuts, axis=0) / len(cuts)


@TABLES.rule(MaxPool, "window")
def _select(stage: MaxPool, net: Example, node: Node, before: list, *how: Any) -> Any:
    cuts = np.stack([cut for _, cut in _cuts(before[0], node)])
    chosen = np.moveaxis(net.gates[node.name], -1, 0)[:, None]
    return how[0](cuts * chosen, axis=0)


def _cuts(table: np.ndarray, node: Node) -> Iterator[tuple[tuple, np.ndarray]]:
    """Yield (tap, the entries that it reads at all positions)."""
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


def _signs(values: np.ndarray, axis: int = 0) -> np.ndarray:
    """Return the positive part and the magnitude of the negative part, stacked."""
    return np.stack([np.maximum(values, 0), np.maximum(-values, 0)], axis)
