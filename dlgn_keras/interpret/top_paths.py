"""The paths with the largest contributions to a logit, exact for any number of paths.

Dynamic programming tabulates the largest product that reaches each unit. The tables
guide a best-first search backwards from the logit: complete paths leave its queue in
exact order, so k paths cost k walks, not an enumeration.
"""

import heapq
import itertools
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.local import one_example
from dlgn_keras.interpret.nodes import Node, check_model, index_of
from dlgn_keras.interpret.passes import check_mode
from dlgn_keras.interpret.path_tables import (
    Example,
    best_prefixes,
    example,
    steps,
    sums,
    taps,
)
from dlgn_keras.interpret.targets import check_target
from dlgn_keras.models import GatedModel
from dlgn_keras.skeletons import Conv, Dense
from dlgn_keras.tools.messages import check_choice, check_count

Unit = tuple[str, tuple[int, ...]]
SIGNS = {"magnitude": (0, 1), "positive": (0,), "negative": (1,)}


class Path(NamedTuple):
    """One path, unit by unit, and its contribution to the logit.

    contribution: start * weights * gates * pooling factors, signed.
    units: ((stage, index), ...) from the start of the path to the logit. The first
        is an entry of "inputs", or a unit of the stage whose bias or batch norm
        shift starts the path.
    bundle: the sum over all paths with the same weights (this path moved to other
        positions of the image); without convolutions, the path's own contribution.
    """

    contribution: float
    units: tuple[Unit, ...]
    bundle: float


class TopPaths(NamedTuple):
    """The top paths of one example's logit, largest first.

    paths: tuple of Path. target: the class. logit: its value.
    share: sum of the paths' contributions, divided by the logit; can exceed 1, since
        paths of opposite signs cancel.
    magnitude_share: sum of the paths' magnitudes, divided by that of all paths, 0 to 1.
    """

    paths: tuple[Path, ...]
    target: int
    logit: float
    share: float
    magnitude_share: float


def top_paths(
    net: GatedModel,
    x: Any,
    target: int | None = None,
    k: int = 10,
    by: str = "magnitude",
    include_bias: bool = True,
    mode: str | None = None,
    beta: float | None = None,
) -> TopPaths:
    """Return the k paths with the largest contributions to a logit, found exactly.

    A path p runs from an entry of the value network's input through one unit of
    every layer to the logit; `contribution = z[i_0] prod_l G_l[i_l] W_l[i_l, i_{l-1}]`
    with batch norm folded into W, and the contributions of all paths sum to the
    logit. In a convolutional net a unit is a channel at a position.

    Args:
        net: a DNN, DGN or DLGN.
        x: one raw input, (*input_shape) or (1, *input_shape).
        target: class; the predicted one if None.
        k: number of paths; fewer are returned if fewer have nonzero contributions.
        by: "magnitude" (largest magnitude first), "positive" (positive paths only)
            or "negative" (negative paths only).
        include_bias: whether paths that start at biases and batch norm shifts are
            included. The shares always refer to all paths.
        mode, beta: of the gates, as in `explain`; the class that None predicts, and the
            logit, are those at these gates.

    Returns:
        TopPaths.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: more than one example, or an argument out of range.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (4,), num_classes=3, seed=0)
        >>> top = top_paths(net, np.ones(4), target=0, k=5)
        >>> [stage for stage, _ in top.paths[0].units]
        ['inputs', 'flatten_1', 'dense_1', 'dense_2', 'dense_3', 'logits']

    Reference: arXiv 2006.10529, section 2 (paths); the search is ours.
    """
    net, k = check_model(net), check_count("k", k)
    check_choice("by", by, SIGNS)
    x = one_example(net, x)
    classes = check_target(target, 1, net.num_classes)
    whole, logits = example(net, x, *check_mode(net, mode, beta))
    chosen = int(logits.argmax() if classes is None else classes[0])
    searched = whole
    if not include_bias:
        none = {name: np.zeros_like(c) for name, c in whole.constants.items()}
        searched = whole._replace(constants=none)
    found = tuple(
        Path(value, units, _bundle(whole, value, units))
        for value, units in _search(searched, chosen, k, SIGNS[by])
    )
    logit = float(logits[chosen])
    values = [path.contribution for path in found]
    total = _all_magnitude(whole, chosen)
    return TopPaths(
        found,
        chosen,
        logit,
        float(np.sum(values)) / logit if logit else float("nan"),
        float(np.abs(values).sum()) / total if total else 0.0,
    )


class _Choice(NamedTuple):
    """The steps into a unit with products of one sign, best first.

    node -1 stands for the constant that starts a path here.
    """

    value: np.ndarray  # weight * best product before it
    weight: np.ndarray
    node: np.ndarray
    unit: np.ndarray
    sign: np.ndarray


def _search(
    net: Example, target: int, k: int, signs: tuple[int, ...]
) -> list[tuple[float, tuple[Unit, ...]]]:
    """Return the k largest paths as (contribution, units), in order."""
    tables = best_prefixes(net)
    flat = [table.reshape(2, -1) for table in tables]
    last = len(net.nodes) - 1
    known: dict[tuple[int, int, int], _Choice] = {}
    order = itertools.count()
    queue: list[tuple] = []

    def choices(node: int, unit: int, sign: int) -> _Choice:
        if (node, unit, sign) not in known:
            known[node, unit, sign] = _choices(net, flat, node, unit, sign)
        return known[node, unit, sign]

    def push(tail: Any, scale: float, sign: int, ways: _Choice, rank: int) -> None:
        if rank < len(ways.value):
            bound = scale * float(ways.value[rank])
            heapq.heappush(queue, (-bound, next(order), tail, scale, sign, ways, rank))

    for sign in signs:
        push((last, target, None), 1.0, sign, choices(last, target, sign), 0)
    found = []
    while queue and len(found) < k:
        bound, _, tail, scale, total, ways, rank = heapq.heappop(queue)
        push(tail, scale, total, ways, rank + 1)
        node, unit = int(ways.node[rank]), int(ways.unit[rank])
        if node <= 0:
            tail = tail if node < 0 else (0, unit, tail)
            found.append((bound if total else -bound, _units(net, tail)))
            continue
        inside = choices(node, unit, int(ways.sign[rank]))
        push((node, unit, tail), scale * float(ways.weight[rank]), total, inside, 0)
    return found


def _choices(
    net: Example, tables: list[np.ndarray], k: int, unit: int, sign: int
) -> _Choice:
    node = net.nodes[k]
    index = tuple(int(i) for i in np.unravel_index(unit, node.shape))
    gate = float(net.gates[node.name][index]) if node.gated else 1.0
    into = steps(net, k, index)
    signs = np.where(into.weight < 0, 1 - sign, sign)
    weights = np.abs(into.weight) * gate
    sources = set(into.node.tolist())
    before = np.zeros(len(weights))
    for source in sources:
        here = into.node == source
        before[here] = tables[source][signs[here], into.unit[here]]
    starts = (into.constant < 0) == bool(sign) and into.constant != 0
    start = np.array([abs(into.constant) * gate] if starts else [])
    none = np.full(len(start), -1)
    values = np.concatenate([weights * before, start])
    best = np.argsort(-values, kind="stable")
    best = best[values[best] > 0]
    return _Choice(
        values[best],
        np.concatenate([weights, start])[best],
        np.concatenate([into.node, none])[best],
        np.concatenate([into.unit, none])[best],
        np.concatenate([signs, none])[best],
    )


def _units(net: Example, tail: Any) -> tuple[Unit, ...]:
    units = []
    while tail is not None:
        k, unit, tail = tail
        index = np.unravel_index(unit, net.nodes[k].shape)
        units.append((net.nodes[k].name, tuple(int(i) for i in index)))
    return tuple(units)


def _all_magnitude(net: Example, target: int) -> float:
    """Return the sum of the magnitudes of all paths to a logit."""
    kernels = {name: np.abs(kernel) for name, kernel in net.kernels.items()}
    constants = {name: np.abs(constant) for name, constant in net.constants.items()}
    inputs = np.abs(net.inputs)
    net = net._replace(kernels=kernels, constants=constants, inputs=inputs)
    return float(sums(net)[target])


def _bundle(net: Example, contribution: float, units: tuple[Unit, ...]) -> float:
    """Return the sum over all paths with the same weights as the given path.

    Shared kernels bundle paths: the same chain of kernel entries starts from every
    position of the image. The path's stages are run alone, each with only the
    weight that the path uses.
    """
    places = [index_of(net.nodes, name) for name, _ in units]
    if not any(isinstance(net.nodes[k].stage, Conv) for k in places):
        return contribution
    starts_inside = units[0][0] != "inputs"
    nodes: list[Node] = []
    if starts_inside:
        source = net.nodes[net.nodes[places[0]].inputs[0]]
        nodes.append(source._replace(stage=None, inputs=()))
    kernels, constants = {}, {}
    for step, k in enumerate(places):
        node = net.nodes[k]
        if node.name in net.kernels:
            kernel = np.zeros_like(net.kernels[node.name])
            constant = np.zeros_like(net.constants[node.name])
            if step:
                shape = net.nodes[places[step - 1]].shape
                entry = _entry(node, units[step - 1][1], units[step][1], shape)
                kernel[entry] = net.kernels[node.name][entry]
            else:
                last = units[0][1][-1]
                constant[last] = net.constants[node.name][last]
            kernels[node.name], constants[node.name] = kernel, constant
        nodes.append(node._replace(inputs=(len(nodes) - 1,) if nodes else ()))
    inputs = np.zeros(nodes[0].shape) if starts_inside else net.inputs
    chain = Example(tuple(nodes), kernels, constants, net.gates, inputs)
    return float(sums(chain)[units[-1][1]])


def _entry(
    node: Node, source: tuple[int, ...], unit: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the index of the kernel entry between two units of a stage."""
    if isinstance(node.stage, Dense):
        return (*source, *unit)
    offsets, places = taps(node.stage, unit[:-1], shape[:-1])
    offset = offsets[(places == np.array(source[:-1])).all(1)][0]
    return (*(int(j) for j in offset), source[-1], unit[-1])
