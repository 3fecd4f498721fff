"""A skeleton as a list of nodes, each with the nodes it reads: what is walked here.

Everything in this package that follows a network, forward or backward, follows
this list. Node 0 is the input; a residual block is a node with two inputs.
"""

from typing import Any, NamedTuple

from dlgn_keras.models import DLGN, GatedModel, shallow_skeletons
from dlgn_keras.skeletons import (
    Conv,
    Dense,
    Flatten,
    Residual,
    Skeleton,
    Stage,
    output_shapes,
)


class Node(NamedTuple):
    """One stage at its place.

    name: the stage's name, "inputs" for node 0, "logits" for the last layer.
    stage: None for node 0. inputs: indices of the nodes it reads, all smaller.
    shape: of its output, without the batch.
    """

    name: str
    stage: Stage | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def gated(self) -> bool:
        return bool(getattr(self.stage, "gated", False))


Graph = tuple[Node, ...]


def check_model(net: Any) -> GatedModel:
    """Return `net` if it is a model of ours, else raise a TypeError."""
    if not isinstance(net, GatedModel):
        raise TypeError(
            "`net` must be a dk.DNN, dk.DGN or dk.DLGN. "
            f"Received: net of type {type(net).__name__}."
        )
    return net


def value_graph(net: GatedModel) -> Graph:
    """Return the nodes of the value network; the last one is "logits"."""
    shape = tuple(net.input_shape[1:])
    stages = net.skeleton.stages
    nodes = make_graph(stages, shape)
    logits = Dense(net.num_classes, gated=False, name="logits")
    last = Node("logits", logits, (len(nodes) - 1,), (net.num_classes,))
    return (*nodes, last)


def gating_graph(net: GatedModel, site: str) -> Graph:
    """Return the nodes of the gating network up to a site, which is the last one."""
    shape = tuple(net.input_shape[1:])
    if net.arguments.get("shallow", False):
        return make_graph(shallow_skeletons(net.skeleton, shape)[site].stages, shape)
    nodes = make_graph(net.skeleton.stages, shape)
    return nodes[: index_of(nodes, site) + 1]


def gating_parameters(net: GatedModel) -> dict[str, Any]:
    """Return the numbers behind the pre-activations; a DNN's are its own."""
    return net.parameters("value" if net.family == "dnn" else "gating")


def is_linear(net: GatedModel) -> bool:
    """Tell whether pre-activations are affine in the input everywhere."""
    return isinstance(net, DLGN)


def index_of(nodes: Graph, name: str) -> int:
    return next(k for k, node in enumerate(nodes) if node.name == name)


def make_graph(stages: tuple[Stage, ...], input_shape: tuple[int, ...]) -> Graph:
    """Return the nodes of some stages in the order data meets them."""
    closed = Skeleton((*stages, Flatten(name="end_of_graph")))
    shapes = output_shapes(closed, input_shape)
    nodes = [Node("inputs", None, (), input_shape)]

    def along(stages: tuple[Stage, ...], now: int) -> int:
        for stage in stages:
            inputs: tuple[int, ...] = (now,)
            if isinstance(stage, Residual):
                inputs = (along(stage.body, now), along(stage.shortcut, now))
            nodes.append(Node(stage.name, stage, inputs, shapes[stage.name]))
            now = len(nodes) - 1
        return now

    along(stages, 0)
    return tuple(nodes)


def pads(stage: Conv, sizes: tuple[int, ...]) -> list[tuple[int, int]]:
    """Return (before, after) for each image axis: what the convolution pads."""
    return [stage.window.pads(n) for n in sizes]
