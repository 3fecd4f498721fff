"""A skeleton as a list of nodes, each with the nodes it reads.

Top paths and filters walk this list. Node 0 is the input; a residual block is a node
with two inputs.
"""

from typing import Any, NamedTuple

from dlgn_keras.models import GatedModel, shallow_skeletons
from dlgn_keras.skeletons import (
    Dense,
    Flatten,
    Residual,
    Skeleton,
    Stage,
    output_shapes,
)


class Node(NamedTuple):
    """One stage and its connections.

    name: the stage's name, "inputs" for node 0, "logits" for the last layer.
    inputs: indices of the nodes it reads, all smaller.
    shape: of its output, without the batch.
    """

    name: str
    stage: Any  # a Stage; None for node 0
    inputs: tuple[int, ...]
    shape: tuple[int, ...]

    @property
    def gated(self) -> bool:
        """Whether gates multiply the output; a max pooling's act on its input."""
        return bool(self.stage) and self.stage.gated and not self.stage.selects


Nodes = tuple[Node, ...]


def check_model(net: Any) -> GatedModel:
    """Return `net` if it is a model on a skeleton, else raise a TypeError."""
    if not isinstance(net, GatedModel):
        raise TypeError(
            "`net` must be a dk.DNN, dk.DGN or dk.DLGN. "
            f"Received: net of type {type(net).__name__}."
        )
    return net


def value_nodes(net: GatedModel) -> Nodes:
    """Return the nodes of the value network; the last one is "logits"."""
    nodes = _nodes(net.skeleton.stages, tuple(net.input_shape[1:]))
    logits = Dense(net.num_classes, gated=False, name="logits")
    last = Node("logits", logits, (len(nodes) - 1,), (net.num_classes,))
    return (*nodes, last)


def gating_nodes(net: GatedModel, site: str) -> Nodes:
    """Return the nodes of the gating network up to a site, which is the last one."""
    shape = tuple(net.input_shape[1:])
    if net.arguments.get("shallow", False):
        return _nodes(shallow_skeletons(net.skeleton, shape)[site].stages, shape)
    nodes = _nodes(net.skeleton.stages, shape)
    return nodes[: index_of(nodes, site) + 1]


def index_of(nodes: Nodes, name: str) -> int:
    return next(k for k, node in enumerate(nodes) if node.name == name)


def _nodes(stages: tuple[Stage, ...], input_shape: tuple[int, ...]) -> Nodes:
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
