"""Exact contributions: every logit as a sum over the value network's input and gates.

At the gates of an input the value network is affine in its own input z,
`logits = A(x) z + b(x)`. Its gradient is the row of A, whatever the model is made of.
"""

import math
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dlgn_keras.autodiff import compiled, vjp
from dlgn_keras.models import DisentangledModel, GatedModel
from dlgn_keras.tools.messages import check_count

Model = GatedModel | DisentangledModel
PREDICTED = -1
# Float32 keeps about 1e-7 of the sum of absolute contributions, times a factor that
# grows with the depth. It is measured from this multiple of the largest logit on, and
# a residual above this share of it is told.
CANCELLING, TOLERANCE = 100.0, 0.01
TINY = float(np.finfo("float32").tiny)


class Explanation(NamedTuple):
    """`logits[i, target[i]] = contributions[i].sum() + bias[i]`, but for rounding.

    logits: (n, num_classes) float32; (n, *output_shape) of a model that ends in a map.
    contributions: (n, *input_shape) float32, `A(x) * z`: what each entry of the
        value network's input z adds to the logit at the gates of x. Of several inputs
        a list or {name: array}, as the model takes them.
    bias: (n,) float64, `b(x)`: what biases and batch norm shifts add.
    target: (n,) int64, the class whose logit is explained; (n, axes of the output) in
        a map, the entry.
    value_input: "input": z is the preprocessed image and contributions are of its
        pixels; "ones": z is all ones, entry i is the sum of the paths that start
        at place i, and x acts through the gates alone (see `gate_contributions`).
    residual: (n,) float64, `logit - (contributions.sum() + bias)` where it was
        measured: sums are in float64, and the bias is the value network's own answer
        to an input of zeros at the same gates. Measured is one example of each batch,
        every one whose absolute contributions sum to more than 100 times its largest
        logit, and all where one of these is off by 1 %, or in half precision. For
        the others the bias is what the sum leaves of the logit, and this is NaN.
    """

    logits: np.ndarray
    contributions: Any
    bias: np.ndarray
    target: np.ndarray
    value_input: str
    residual: np.ndarray

    def __repr__(self) -> str:
        """Return one line an example, ten at most."""
        total = _total(self.contributions)
        lines = [
            f"{i}: logit {self.logit(i):.4g} of {self.label(i)} = contributions "
            f"{total[i]:.4g} + bias {self.bias[i]:.4g}{self._rest(i)}"
            for i in range(min(10, len(self.target)))
        ]
        more = len(self.target) - len(lines)
        return "\n".join([*lines, f"... and {more} more"] if more > 0 else lines)

    def logit(self, i: int) -> float:
        """Return the logit of example i that is explained."""
        return float(self.logits[(i, *np.atleast_1d(self.target[i]))])

    def label(self, i: int, class_names: Any = None) -> str:
        """Return the name of what is explained of example i."""
        if self.target.ndim > 1:
            return f"entry {tuple(self.target[i].tolist())}"
        k = int(self.target[i])
        return class_names[k] if class_names else f"class {k}"

    def missed(self) -> np.ndarray:
        """Return the absolute residual over the largest logit, (n,); NaN as there."""
        size = np.abs(self.logits).reshape(len(self.logits), -1).max(axis=1)
        size = size.astype("float64")
        return np.abs(self.residual) / np.maximum(size, TINY)

    def _rest(self, i: int) -> str:
        rest = self.residual[i]
        return "" if np.isnan(rest) else f" + residual {rest:.2g}"

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

    The sum is exact but for rounding, which grows with the contributions that cancel:
    some 1e-6 of the logit in float32. A `mixed_bfloat16` model computes with 8 bits,
    and there a sum may miss the logit by 1 %; explain it in float32 for more.
    `residual` is what is left over: b is computed on its own for one example of each
    batch and wherever contributions cancel to less than a hundredth. A warning tells
    if a residual exceeds 1 % of the largest logit.

    Args:
        net: a DNN, DGN or DLGN, or the twin that `dk.disentangle` makes of a Keras
            model; batch norm runs at inference.
        x: raw inputs (n, *input_shape), as `predict` takes them.
        target: class to explain, one for all or one per example; None takes each
            example's predicted class. Of a model that ends in a map, such as a
            segmentation, an entry (row, column, channel); None takes the largest.
        batch_size: number of examples held at a time; 32 stay in a
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
    run = _Passes(net, x, target, batch_size)
    found = run("explain", _explaining)
    logits, contributions = found["logits"], found["contributions"]
    run.target = found["target"]
    total = _total(contributions)
    cancelling = _total(keras.tree.map_structure(np.abs, contributions))
    logit = logits[np.arange(len(logits)), run.target].astype("float64")
    bias = found["bias"].astype("float64")
    size = np.maximum(np.abs(logits).max(axis=1), TINY)
    doubtful = cancelling > _cancelling(net) * size
    if (np.abs(logit - total - bias) > TOLERANCE * size).any():
        doubtful[:] = True
    doubtful &= np.isnan(bias)
    if doubtful.any():
        bias[doubtful] = run("bias", _constants, doubtful)
    residual = logit - total - bias
    bias = np.where(np.isnan(bias), logit - total, bias)
    target, shape = run.target.astype("int64"), net.output_shape[1:]
    if len(shape) > 1:
        target = np.stack(np.unravel_index(target, shape), axis=1)
        logits = logits.reshape(-1, *shape)
    fields = logits, contributions, bias, target, net.value_input, residual
    explanation = Explanation(*fields)
    _warn_of_rounding(net.name, explanation.missed())
    return explanation


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
    run = _Passes(net, x, target, batch_size)
    found = run("gate_contributions", _explaining_gates)
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


def _flat_target(target: Any, number: int, shape: tuple) -> np.ndarray | None:
    """Return what to explain as places in flattened outputs, None for the largest."""
    if len(shape) == 1 or target is None:
        return check_target(target, number, shape[0])
    entries = np.asarray(target)
    whole = entries.dtype.kind in "iu"
    if entries.shape not in ((len(shape),), (number, len(shape))) or not (
        whole and (entries >= 0).all() and (entries < shape).all()
    ):
        raise ValueError(
            f"`target` must be None or an entry of the outputs of shape {shape}, such "
            f"as {(0,) * len(shape)}, or one per example ({number}). "
            f"Received: target={target!r}."
        )
    flat = np.ravel_multi_index(tuple(np.moveaxis(entries, -1, 0)), shape)
    return np.broadcast_to(flat, (number,)).astype("int64")


def _total(contributions: Any) -> np.ndarray:
    """Return the sum over all entries of all inputs, (n,) float64."""
    parts = [
        part.reshape(len(part), -1).sum(axis=1, dtype="float64")
        for part in keras.tree.flatten(contributions)
    ]
    return np.sum(parts, axis=0)


class _Passes:
    """The compiled passes of a model over raw inputs, a batch at a time.

    Args:
        net, x, target, batch_size: as `explain` takes them.
    """

    def __init__(self, net: Any, x: Any, target: Any, batch_size: int) -> None:
        self.net = check_net(net)
        if net.quantized:
            raise ValueError(
                "`net` must be a float model: a quantised one rounds its inputs and "
                "is not affine, take the float model apart. "
                f"Received: {net.name!r} in int8."
            )
        if net.arguments.get("value") == "tensor":
            net.parameters("value")  # raises: it has no value network
        self.batch_size = check_count("batch_size", batch_size)
        self.z = net.preprocessed(x)
        number = len(keras.tree.flatten(self.z)[0])
        target = _flat_target(target, number, net.output_shape[1:])
        if target is None:
            target = np.full(number, PREDICTED)
        self.target = target.astype("int32")

    def __call__(self, name: str, make: Callable, rows: Any = slice(None)) -> Any:
        """Return what the passes of `make(net)` give for some of the examples."""

        def compile_it() -> Any:
            function, like = make(self.net), keras.tree.map_structure(id, self.z)
            pack = keras.tree.pack_sequence_as
            return compiled(lambda *z: function(pack(like, z[:-1]), z[-1]), self.net)

        passes: Any = self.net.view(name, compile_it)
        given = [*keras.tree.flatten(self.z), self.target]
        return passes(*(a[rows] for a in given), batch_size=self.batch_size)


def _cancelling(net: Any) -> float:
    """Return the sum of absolute contributions, in logits, that calls for a check."""
    known = {getattr(layer, "compute_dtype", "") for layer in net._flatten_layers()}
    return 0 if known & {"float16", "bfloat16"} else CANCELLING


def _warn_of_rounding(name: str, missed: np.ndarray) -> None:
    number = int((missed > TOLERANCE).sum())
    if number:
        warnings.warn(
            f"{name}: contributions and bias miss the logit in {number} of "
            f"{len(missed)} examples, by up to {np.nanmax(missed):.0%} of the largest "
            "logit: so much cancels that rounding shows. See `residual`.",
            stacklevel=3,
        )


def _explaining(net: Any) -> Callable[[Any, Any], dict[str, Any]]:
    """Return (preprocessed inputs, classes) -> the fields of an Explanation."""
    each = keras.tree.map_structure

    def passes(z: Any, target: Any) -> dict[str, Any]:
        gates: dict[str, Any] = {}
        if net.has_gating_network:
            z, gates = _value_inputs(net, z)
            logits, pull_back = vjp(lambda z: _logits(net, z, gates), z)
        else:
            # The gates of a ReLU network are its ReLUs' own slopes.
            network = net.relu_network
            logits, pull_back = vjp(lambda z: network(z, training=False), z)
        target, chosen = _one_hot(logits, target)
        contributions = each(ops.multiply, pull_back(chosen), z)
        # In which example does most cancel? Its bias is computed on its own.
        total = sum(
            ops.sum(ops.abs(c), axis=tuple(range(1, c.ndim)))
            for c in keras.tree.flatten(contributions)
        )
        total = total / ops.maximum(ops.max(ops.abs(logits), axis=1), TINY)
        worst = ops.cast(ops.argmax(total), "int32")
        here = ops.cast(ops.cumsum(ops.ones_like(total)), "int32") - 1 == worst
        z, gates, chosen = each(
            lambda t: ops.take(t, ops.reshape(worst, (1,)), axis=0), (z, gates, chosen)
        )
        if not net.has_gating_network:
            z, gates = _value_inputs(net, z)
        constant = _constant(net, z, gates, chosen)
        return {
            "logits": logits,
            "contributions": contributions,
            "target": target,
            "bias": ops.where(here, constant, float("nan")),
        }

    return passes


def _constants(net: Any) -> Callable[[Any, Any], Any]:
    """Return (preprocessed inputs, classes) -> the logits of zeros at their gates."""

    def passes(z: Any, target: Any) -> Any:
        z, gates = _value_inputs(net, z)
        chosen = ops.one_hot(target, math.prod(net.output_shape[1:]), dtype="float32")
        return _constant(net, z, gates, chosen)

    return passes


def _constant(net: Any, z: Any, gates: dict[str, Any], chosen: Any) -> Any:
    """Return the chosen logit of an input of zeros at these gates, (n,)."""
    logits = _logits(net, keras.tree.map_structure(ops.zeros_like, z), gates)
    return ops.sum(chosen * logits, axis=1)


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
    if net.value_input == "ones":
        z = keras.tree.map_structure(ops.ones_like, z)
    return z, gates


def _logits(net: Any, z: Any, gates: dict[str, Any]) -> Any:
    logits = ops.cast(net.value_network([z, gates], training=False), "float32")
    return ops.reshape(logits, (-1, math.prod(logits.shape[1:])))


def _one_hot(logits: Any, target: Any) -> tuple[Any, Any]:
    """Return the classes, predicted ones filled in, and their one-hot rows."""
    best = ops.cast(ops.argmax(logits, axis=1), "int32")
    target = ops.where(target < 0, best, target)
    return target, ops.one_hot(target, logits.shape[-1], dtype="float32")
