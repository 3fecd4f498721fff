"""Exact contributions: every logit as a sum over the value network's input and gates.

At the gates of an input the value network is affine in its own input z,
`logits = A(x) z + b(x)`. Its gradient is the row of A, whatever the model is made of.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from keras import ops

from dlgn_keras.autodiff import compiled, vjp
from dlgn_keras.models import DisentangledModel, GatedModel
from dlgn_keras.tools.messages import check_count

Model = GatedModel | DisentangledModel
PREDICTED = -1


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

    def __repr__(self) -> str:
        """Return one line an example, ten at most."""
        lines = [
            f"{i}: logit {self.logits[i, k]:.4g} of class {k} = contributions "
            f"{self.contributions[i].sum():.4g} + bias {self.bias[i]:.4g}"
            for i, k in enumerate(self.target[:10])
        ]
        more = len(self.target) - len(lines)
        return "\n".join([*lines, f"... and {more} more"] if more > 0 else lines)

    def plot(self, x: Any, class_names: Any = None) -> Any:
        """Draw the inputs x beside their contribution maps; return the Figure.

        Args:
            x: the raw inputs that were explained, (n, *input_shape).
            class_names: names for the classes, such as `net.class_names`.
        """
        from dlgn_keras.interpret.plots import plot_contributions

        return plot_contributions(x, self, class_names)


def explain(
    net: Model, x: Any, target: Any = None, batch_size: int = 32
) -> Explanation:
    """Take logits apart, exactly: `logit = sum(contributions) + bias`.

    At the gates of x the value network is affine in its input z,
    `logits = A(x) z + b(x)`. One forward pass gives the gates, one backward pass
    the row of A; `b = logit - A z`. z is x after preprocessing, `x * scale + offset`:
    a pixel that preprocessing maps to 0 contributes nothing.

    Args:
        net: a DNN, DGN or DLGN, or the twin that `dk.disentangle` makes of a Keras
            model; batch norm runs at inference.
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
    found = _run("explain", _explaining, net, x, target, batch_size)
    found["target"] = found["target"].astype("int64")
    return Explanation(**found, value_input=net.value_input)


def gate_contributions(
    net: Model, x: Any, target: Any = None, batch_size: int = 64
) -> dict[str, np.ndarray]:
    """Return, for every gate, the sum of all paths through it.

    `c[u] = G[u] dlogit/dG[u]`: the logit is linear in each gate, so this part of it
    would go if gate u closed and the other gates stayed. At a site that every path
    crosses (any chain; the gate after a residual addition) the entries add up to the
    logit less the biases behind the site.

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
    found = _run("gate_contributions", _explaining_gates, net, x, target, batch_size)
    return {site: found[site] for site, _ in net.sites}


def check_net(net: Any) -> Any:
    """Return `net` if it is a model of this library, else raise a TypeError."""
    if not isinstance(net, GatedModel | DisentangledModel):
        raise TypeError(
            "`net` must be a dk.DNN, dk.DGN or dk.DLGN, or a twin made by "
            f"dk.disentangle. Received: net of type {type(net).__name__}."
        )
    return net


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


def _run(
    name: str, make: Callable, net: Any, x: Any, target: Any, batch_size: int
) -> dict[str, Any]:
    """Run the compiled passes of a model over raw inputs, a batch at a time."""
    net = check_net(net)
    if net.quantized:
        raise ValueError(
            "`net` must be a float model: a quantised one rounds its inputs and is "
            "not affine, take the float model apart. "
            f"Received: {net.name!r} in int8."
        )
    if len(net.output_shape) != 2:
        raise ValueError(
            "`net` must end in one vector of logits to be explained. "
            f"Received: {net.name!r} with outputs of shape {net.output_shape[1:]}."
        )
    if net.arguments.get("value") == "tensor":
        net.parameters("value")  # raises: it has no value network
    batch_size = check_count("batch_size", batch_size)
    z = net.preprocessed(x)
    classes = check_target(target, len(z), net.num_classes)
    if classes is None:
        classes = np.full(len(z), PREDICTED)
    passes: Any = net.view(name, lambda: compiled(make(net), net))
    return passes(z, classes.astype("int32"), batch_size=batch_size)


def _explaining(net: Any) -> Callable[[Any, Any], dict[str, Any]]:
    """Return (preprocessed inputs, classes) -> the fields of an Explanation."""

    def passes(z: Any, target: Any) -> dict[str, Any]:
        if net.has_gating_network:
            z, gates = _value_inputs(net, z)
            logits, pull_back = vjp(lambda z: _logits(net, z, gates), z)
        else:
            # The gates of a ReLU network are its ReLUs' own slopes.
            network = net.relu_network
            logits, pull_back = vjp(lambda z: network(z, training=False), z)
        target, chosen = _one_hot(logits, target)
        contributions = pull_back(chosen) * z
        total = ops.sum(contributions, axis=tuple(range(1, z.ndim)))
        return {
            "logits": logits,
            "contributions": contributions,
            "bias": ops.sum(chosen * logits, axis=1) - total,
            "target": target,
        }

    return passes


def _explaining_gates(net: Any) -> Callable[[Any, Any], dict[str, Any]]:
    """Return (preprocessed inputs, classes) -> {site: gate contributions}."""

    def passes(z: Any, target: Any) -> dict[str, Any]:
        z, gates = _value_inputs(net, z)
        logits, pull_back = vjp(lambda gates: _logits(net, z, gates), gates)
        slopes = pull_back(_one_hot(logits, target)[1])
        return {site: gates[site] * slopes[site] for site in gates}

    return passes


def _value_inputs(net: Any, z: Any) -> tuple[Any, dict[str, Any]]:
    """Return what the value network is fed: its input and {site: gates}, float32."""
    q = net.gating_network(z, training=False)
    gates = net.gates_from({k: ops.cast(v, "float32") for k, v in q.items()})
    return ops.ones_like(z) if net.value_input == "ones" else z, gates


def _logits(net: Any, z: Any, gates: dict[str, Any]) -> Any:
    return ops.cast(net.value_network([z, gates], training=False), "float32")


def _one_hot(logits: Any, target: Any) -> tuple[Any, Any]:
    """Return the classes, predicted ones filled in, and their one-hot rows."""
    best = ops.cast(ops.argmax(logits, axis=1), "int32")
    target = ops.where(target < 0, best, target)
    return target, ops.one_hot(target, logits.shape[-1], dtype="float32")
