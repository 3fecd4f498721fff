"""The compiled passes of a model over raw inputs, a batch at a time."""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dlgn_keras import gates as gate_functions
from dlgn_keras.autodiff import compiled, vjp
from dlgn_keras.interpret.explanation import TINY
from dlgn_keras.interpret.targets import chosen_outputs, one_hot
from dlgn_keras.models import DisentangledModel, GatedModel
from dlgn_keras.tools.messages import check_choice, check_count

Model = GatedModel | DisentangledModel
# (preprocessed inputs, targets, classes against them) -> a structure of tensors
Function = Callable[[Any, Any, Any], Any]


class Passes:
    """Inputs, targets and the passes that take them.

    `own_logits` are the model's own, (n, outputs), where `mode` makes others.

    Args:
        net, x, target, against, batch_size, mode, beta: as `explain` takes them.
    """

    def __init__(
        self,
        net: Any,
        x: Any,
        target: Any,
        batch_size: int,
        against: Any = None,
        mode: str | None = None,
        beta: float | None = None,
    ) -> None:
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
        self.x = x
        self.z = net.preprocessed(x)
        number = len(keras.tree.flatten(self.z)[0])
        shape = net.output_shape[1:]
        self.target, self.against = chosen_outputs(target, against, number, shape)
        self.own_logits: Any = None
        self.mode, self.beta = None, None
        mode, beta = check_mode(net, mode, beta)
        if mode is not None:  # the predicted class is the model's own
            found = self("own logits", answering)
            self.target, self.against = found["target"], found["against"]
            self.own_logits = found["logits"]
            self.mode, self.beta = mode, beta

    def __call__(self, name: str, make: Callable, rows: Any = slice(None)) -> Any:
        """Return what the passes of `make(net)` give for some of the examples.

        They take preprocessed inputs, targets and classes against them.
        """

        net = self.net
        if self.mode is not None:
            net = Switched(self.net, self.mode, self.beta)
            name += f" at {self.mode} gates of beta {self.beta}"

        def compile_it() -> Any:
            function, like = make(net), keras.tree.map_structure(id, self.z)
            pack = keras.tree.pack_sequence_as
            return compiled(lambda *z: function(pack(like, z[:-2]), *z[-2:]), self.net)

        passes: Any = self.net.view(name, compile_it)
        given = [*keras.tree.flatten(self.z), self.target, self.against]
        return passes(*(a[rows] for a in given), batch_size=self.batch_size)


def check_net(net: Any) -> Any:
    """Return `net` if it is a model of this library, else raise a TypeError."""
    if not isinstance(net, GatedModel | DisentangledModel):
        raise TypeError(
            "`net` must be a dk.DNN, dk.DGN or dk.DLGN, or a twin made by "
            f"dk.disentangle. Received: net of type {type(net).__name__}."
        )
    return net


def check_mode(
    net: Any, mode: str | None, beta: float | None
) -> tuple[str | None, float | None]:
    """Return mode and slope of gates that are not the model's own, else None, None."""
    if mode is not None:
        check_choice("mode", mode, ("hard", "soft"))
    if beta is not None and mode != "soft":
        raise ValueError(
            "`beta` is the slope of soft gates and goes with mode='soft'. "
            f"Received: beta={beta!r}, mode={mode!r}."
        )
    if mode is None:
        return None, None
    if not net.switches:
        raise ValueError(
            "`mode` needs gates that switch, such as those of a ReLU; "
            f"{net.name!r} has none. Received: mode={mode!r}."
        )
    beta = float(net.beta) if beta is None else beta
    gate_functions.check(mode, beta)
    if mode == "hard":
        return (mode, None) if net.gate_mode == "soft" else (None, None)
    return (None, None) if (net.gate_mode, net.beta) == (mode, beta) else (mode, beta)


class Switched:
    """A model whose value network is fed with gates of another mode.

    The gating network stays, and so does what the gates are made of.
    """

    has_gating_network = True

    def __init__(self, net: Any, mode: str, beta: float | None) -> None:
        self.net, self.mode, self.beta = net, mode, beta

    def __getattr__(self, name: str) -> Any:
        return getattr(self.net, name)

    def gates_from(self, pre_activations: dict[str, Any]) -> dict[str, Any]:
        return self.net.gates_from(pre_activations, self.mode, self.beta)


def value_inputs(net: Any, z: Any) -> tuple[Any, dict[str, Any]]:
    """Return what the value network is fed: its input and {site: gates}, float32."""
    q = net.gating_network(z, training=False)
    gates = net.gates_from({k: ops.cast(v, "float32") for k, v in q.items()})
    if net.value_input == "ones":
        z = keras.tree.map_structure(ops.ones_like, z)
    return z, gates


def value_logits(net: Any, z: Any, gates: dict[str, Any]) -> Any:
    """Return the value network's outputs, flattened to (n, outputs), float32."""
    logits = ops.cast(net.value_network([z, gates], training=False), "float32")
    return ops.reshape(logits, (-1, math.prod(logits.shape[1:])))


def answering(net: Any) -> Function:
    """Return the pass of the logits and of the classes chosen by them."""

    def passes(z: Any, target: Any, against: Any) -> dict[str, Any]:
        logits = value_logits(net, *value_inputs(net, z))
        target, against, _ = one_hot(logits, target, against)
        return {"logits": logits, "target": target, "against": against}

    return passes


def explaining(net: Any) -> Function:
    """Return the pass of an explanation at the input.

    The bias is measured for the example in which most cancels, else NaN.
    """
    each = keras.tree.map_structure

    def passes(z: Any, target: Any, against: Any) -> dict[str, Any]:
        gates: dict[str, Any] = {}
        if net.has_gating_network:
            z, gates = value_inputs(net, z)
            logits, pull_back = vjp(lambda z: value_logits(net, z, gates), z)
        else:
            # The gates of a ReLU network are its ReLUs' own slopes.
            network = net.relu_network
            logits, pull_back = vjp(lambda z: network(z, training=False), z)
        target, against, chosen = one_hot(logits, target, against)
        contributions = each(ops.multiply, pull_back(chosen), z)
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
            z, gates = value_inputs(net, z)
        constant = _constant(net, z, gates, chosen)
        return {
            "logits": logits,
            "contributions": contributions,
            "target": target,
            "against": against,
            "bias": ops.where(here, constant, float("nan")),
        }

    return passes


def constants(net: Any) -> Function:
    """Return the pass of the bias at the input: the logits of zeros at the gates."""

    def passes(z: Any, target: Any, against: Any) -> Any:
        z, gates = value_inputs(net, z)
        blank = ops.zeros((1, math.prod(net.output_shape[1:])))
        return _constant(net, z, gates, one_hot(blank, target, against)[2])

    return passes


def explaining_site(net: Any, site: str, skips: bool) -> Function:
    """Return the pass of an explanation at a site; `skips`: some paths do."""

    def passes(z: Any, target: Any, against: Any) -> dict[str, Any]:
        z, gates = value_inputs(net, z)
        gate = gates[site]
        logits, pull_back = vjp(
            lambda gate: value_logits(net, z, {**gates, site: gate}), gate
        )
        target, against, chosen = one_hot(logits, target, against)
        contributions = gate * pull_back(chosen)
        shut = {**gates, site: ops.zeros_like(gate)}
        bias = _constant(net, z, shut, chosen)
        skipped = ops.zeros_like(bias)
        if skips:
            skipped = ops.sum(chosen * value_logits(net, z, shut), axis=1) - bias
        return {
            "logits": logits,
            "contributions": contributions,
            "target": target,
            "against": against,
            "bias": bias,
            "skipped": skipped,
        }

    return passes


def explaining_all(net: Any, sites: tuple[str, ...]) -> Function:
    """Return the pass of the contributions at the input and at some sites."""

    def passes(z: Any, target: Any, against: Any) -> dict[str, Any]:
        z, gates = value_inputs(net, z)
        cut = {site: gates[site] for site in sites}
        logits, pull_back = vjp(
            lambda given: value_logits(net, given[0], {**gates, **given[1]}), (z, cut)
        )
        target, against, chosen = one_hot(logits, target, against)
        slopes, at_sites = pull_back(chosen)
        contributions = {site: cut[site] * at_sites[site] for site in sites}
        contributions["input"] = keras.tree.map_structure(ops.multiply, slopes, z)
        return {
            "logits": logits,
            "contributions": contributions,
            "target": target,
            "against": against,
        }

    return passes


def explaining_gates(net: Any) -> Function:
    """Return the pass of the contributions of all gates, {site: ...}."""

    def passes(z: Any, target: Any, against: Any) -> dict[str, Any]:
        z, gates = value_inputs(net, z)
        logits, pull_back = vjp(lambda gates: value_logits(net, z, gates), gates)
        slopes = pull_back(one_hot(logits, target, against)[2])
        return {site: gates[site] * slopes[site] for site in gates}

    return passes


def _constant(net: Any, z: Any, gates: dict[str, Any], chosen: Any) -> Any:
    """Return the chosen logit of an input of zeros at these gates, (n,)."""
    logits = value_logits(net, keras.tree.map_structure(ops.zeros_like, z), gates)
    return ops.sum(chosen * logits, axis=1)
