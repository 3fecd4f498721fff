"""The dual side: exact contributions of the value network's input to a logit."""

from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.forward import Forward
from dlgn_keras.interpret.functional import FunctionalWalk
from dlgn_keras.interpret.graph import check_model, value_graph
from dlgn_keras.interpret.passes import run_passes
from dlgn_keras.interpret.transposed import PullBack, array, fold, pull_back
from dlgn_keras.models import DisentangledModel, GatedModel, predict_arrays
from dlgn_keras.tools.messages import check_count


class Explanation(NamedTuple):
    """`logits[i, target[i]] = contributions[i].sum() + bias[i]`.

    logits: (n, num_classes) float32.
    contributions: (n, *input_shape) float32, `A(x) * z`: what each entry of the
        value network's input z adds to the logit at the gates of x.
    bias: (n,) float32, `b(x)`: what biases and batch norm shifts add.
    target: (n,) int64, the class whose logit is explained.
    value_input: "input": z is the preprocessed image and contributions are of its
        pixels; "ones": z is all ones, entry i is the sum of the paths that start
        at place i, and x acts through the gates alone (see `gate_contributions`).
    """

    logits: np.ndarray
    contributions: np.ndarray
    bias: np.ndarray
    target: np.ndarray
    value_input: str


def explain(
    net: GatedModel | DisentangledModel,
    x: Any,
    target: Any = None,
    batch_size: int = 32,
) -> Explanation:
    """Take logits apart, exactly: `logit = sum(contributions) + bias`.

    The dual linearity: at the gates of x the value network is affine in its
    input z, `logits = A(x) z + b(x)`. One pass forward gives the gates, one
    transposed pass back gives the row of A and the entry of b for a whole batch.
    z is x after preprocessing, `x * scale + offset`: contributions are of z, so a
    pixel at the preprocessing's zero contributes nothing.

    Args:
        net: a DNN, DGN or DLGN, or the twin that `dk.disentangle` makes of a Keras
            model; batch norm acts by its moving averages.
        x: raw inputs (n, *input_shape), as `predict` takes them.
        target: class to explain, one for all or one per example; None takes each
            example's predicted class.
        batch_size: how many examples are held at a time; 32 stay in a
            processor's cache.

    Returns:
        Explanation, a NamedTuple.

    Raises:
        TypeError: `net` is no model of this library.
        ValueError: x of another shape, or a target that is no class.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (8, 8, 3), num_classes=10, seed=0)
        >>> e = explain(net, np.ones((2, 8, 8, 3)), target=3)
        >>> np.allclose(e.contributions.sum((1, 2, 3)) + e.bias, e.logits[:, 3])
        True

    Reference: arXiv 2110.03403, section 2 (dual linearity).
    """
    functional = isinstance(net, DisentangledModel)
    known: Any = net if functional else check_model(net)
    if known.quantized:
        raise ValueError(
            "A quantised model rounds what comes in and is not affine: take the "
            f"float model apart. Received: {known.name!r} in int8."
        )
    batch_size = check_count("batch_size", batch_size)
    targets = check_target(target, len(np.asarray(x)), known.num_classes)
    if not functional:
        if known.arguments.get("value") == "tensor":
            known.parameters("value")  # raises, and says why there is none
        found = run_passes(known, x, targets, batch_size)
        found["target"] = found["target"].astype("int64")
        return Explanation(**found, value_input=known.value_input)
    walk = FunctionalWalk(known)
    parts = []
    for start in range(0, max(len(np.asarray(x)), 1), batch_size):
        batch = slice(start, start + batch_size)
        state = walk.forward(np.asarray(x)[batch])
        chosen = state.logits.argmax(1) if targets is None else targets[batch]
        back = walk.back(state, chosen)
        parts.append(
            (
                state.logits,
                array(back.row) * state.inputs,
                array(back.offset),
                chosen,
            )
        )
    logits, contributions, bias, chosen = map(np.concatenate, zip(*parts, strict=True))
    chosen = chosen.astype("int64")
    return Explanation(logits, contributions, bias, chosen, known.value_input)


def gate_contributions(
    net: GatedModel, x: Any, target: Any = None, batch_size: int = 64
) -> dict[str, np.ndarray]:
    """Return, for every gate, the sum of all paths that run through it.

    `c_l[u] = G_l[u] q_l[u] dlogit/d(output of u)`: the part of the logit that
    would go if gate u closed and the other gates stayed. It holds for either value
    input. At a site that every path crosses (any chain; the gate after a residual
    addition) the entries add up to the logit less the biases behind the site.

    Args:
        net, x, target, batch_size: as in `explain`.

    Returns:
        {site: (n, *shape) float32}.

    Raises:
        TypeError, ValueError: as `explain`.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (4,), 3, value_input="ones", seed=0)
        >>> gate_contributions(net, np.ones((5, 4)))["dense_1"].shape
        (5, 8)

    Reference: arXiv 2006.10529, section 2 (a path is a product of its gates).
    """
    net, batch_size = check_model(net), check_count("batch_size", batch_size)
    targets = check_target(target, len(np.asarray(x)), net.num_classes)
    walk = ValueWalk(net)
    parts = []
    for start in range(0, max(len(np.asarray(x)), 1), batch_size):
        batch = slice(start, start + batch_size)
        state = walk.forward(np.asarray(x)[batch])
        chosen = state.logits.argmax(1) if targets is None else targets[batch]
        at_gates = walk.back(state, chosen, keep=True).at_gates
        found = {
            node.name: array(state.values.output(k) * at_gates[node.name])
            for k, node in enumerate(walk.nodes)
            if node.gated
        }
        parts.append(found)
    return {site: np.concatenate([p[site] for p in parts]) for site in parts[0]}


class State(NamedTuple):
    """What the forward pass over one batch leaves for the pass back."""

    inputs: np.ndarray
    gates: dict[str, np.ndarray]
    logits: np.ndarray
    values: Forward


class ValueWalk:
    """The value network of a model, walked forward once and back once a batch."""

    def __init__(self, net: GatedModel) -> None:
        self.net = net
        self.nodes = value_graph(net)
        self.parameters = fold(net.parameters("value"))

    def forward(self, x: Any) -> State:
        net = self.net
        z = net.value_inputs(x)
        size = max(len(z), 1)
        if net.family == "dnn":
            # Its pre-activations hold all but the end of its forward pass.
            known = net.pre_activations(x, size)
            gates = {site: q > 0 for site, q in known.items()}
            values = Forward(self.nodes, self.parameters, gates, z, known)
            logits = array(values.output(len(self.nodes) - 1))
        else:
            gates = net.gates(x, batch_size=size)
            values = Forward(self.nodes, self.parameters, gates, z)
            inputs = [z, gates]
            logits = predict_arrays(net.value_network, inputs, size)
        return State(z, gates, np.asarray(logits, "float32"), values)

    def back(self, state: State, target: np.ndarray, keep: bool = False) -> PullBack:
        cotangent = np.eye(self.net.num_classes, dtype="float32")[target]
        masks = state.values.masks()
        return pull_back(
            self.nodes, self.parameters, state.gates, cotangent, None, masks, keep
        )


def check_target(target: Any, number: int, num_classes: int) -> np.ndarray | None:
    """Return the class of every example as int64, or None for "the predicted one"."""
    if target is None:
        return None
    classes = np.asarray(target)
    if classes.shape not in ((), (number,)) or classes.dtype.kind not in "iu":
        raise ValueError(
            "`target` must be None, a class, or one class per example "
            f"({number}). Received: target={target!r}."
        )
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
        raise ValueError(
            f"`target` must be a class from 0 to {num_classes - 1}. "
            f"Received: target={target!r}."
        )
    return np.broadcast_to(classes, (number,)).astype("int64")
