"""Affine maps of a gating network: batch norm folded in, stages composed.

The gating network of a DLGN is a chain of affine maps, so each site's
pre-activations are one affine map of the input: `q_l = x V_l + c_l`.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.layers import Affine, LinearGate
from dlgn_keras.models.base import GatedModel
from dlgn_keras.models.builder import as_float32, preprocess
from dlgn_keras.models.kept import Functional
from dlgn_keras.models.shallow import shallow_skeletons
from dlgn_keras.skeletons import Dense, Flatten, Residual, Stage
from dlgn_keras.skeletons.rules import StageRules


class AffineMap(NamedTuple):
    """`x @ matrix + offset`: matrix (inputs, units), offset (units,), float64."""

    matrix: np.ndarray
    offset: np.ndarray


class Folded(NamedTuple):
    """A layer as `kernel z + constant`, bias and batch norm folded in, float64.

    kernel: (in, out) for dense, (*window, in, out) for convolutions.
    constant: (out,).
    """

    kernel: np.ndarray
    constant: np.ndarray


Layers = Mapping[str, Folded]


def fold(parameters: Mapping[str, Affine]) -> dict[str, Folded]:
    """Return {stage: Folded} of a network's `parameters`."""
    return {
        name: Folded(p.kernel * p.scale, p.scale * p.bias + p.shift)
        for name, p in parameters.items()
    }


COMPOSED = StageRules("A composed gating network", "it has dense stages only")


@COMPOSED.rule(Residual, "body", "shortcut", "gated")
def _block(stage: Residual, body: np.ndarray, skip: np.ndarray) -> np.ndarray:
    return body + skip


@COMPOSED.rule(Flatten)
def _flatten(stage: Flatten, now: np.ndarray, layers: Layers) -> np.ndarray:
    return now.reshape(len(now), -1)


@COMPOSED.rule(Dense, "affine", "gated")
def _dense(stage: Dense, now: np.ndarray, layers: Layers) -> np.ndarray | None:
    if stage.name not in layers:
        return None
    now = now @ layers[stage.name].kernel
    now[0] += layers[stage.name].constant
    return now


def compose(
    net: GatedModel,
    layers: Mapping[str, Folded],
    rows: np.ndarray,
    gates: Mapping[str, np.ndarray] | None = None,
    until: str | None = None,
) -> dict[str, np.ndarray]:
    """Return a gating network's pre-activations on an affine set of inputs.

    On inputs `rows[0] + sum_k t[k] rows[k]` every stage is affine in t: its output
    is `found[0] + sum_k t[k] found[k]`.

    Args:
        net: a model of dense layers.
        layers: `fold(net.parameters("gating"))`.
        rows: (1 + d, *input_shape), preprocessed.
        gates: {site: its gates}, fixed; the other sites have none.
        until: the site to stop at; None for all.

    Returns:
        {stage: (1 + d, units)}.

    Raises:
        ValueError: a skeleton with convolutions or pooling.
    """
    found: dict[str, np.ndarray] = {}
    COMPOSED.check(net.skeleton.stages)

    def along(stages: tuple[Stage, ...], now: np.ndarray) -> np.ndarray:
        for stage in stages:
            if until in found:
                break
            if isinstance(stage, Residual):
                branches = along(stage.body, now), along(stage.shortcut, now)
                if until in found:
                    break
                after = COMPOSED(stage, *branches)
            else:
                after = COMPOSED(stage, now, layers)
            if after is None:
                break  # behind the last site: no part of the gating network
            now = after
            found[stage.name] = now
            if gates and stage.name in gates:
                now = now * gates[stage.name]
        return now

    parts = [net.skeleton]
    if net.arguments.get("shallow"):
        made = shallow_skeletons(net.skeleton, net.input_shape[1:])
        parts = list(made.values()) if until is None else [made[until]]
    for part in parts:
        along(part.stages, rows)
    return found


def affine_gates(net: GatedModel) -> dict[str, AffineMap]:
    """Return every site's pre-activations as an affine map of the network input.

    Batch norm is folded in at its moving averages. The input is flattened and
    preprocessed: in pixel space, fold `net.preprocessing` too.

    Args:
        net: a DLGN of dense layers (with or without skip connections).

    Raises:
        ValueError: not a DLGN, or a skeleton with convolutions or pooling.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> dk.models.affine_gates(net)["dense_3"].matrix.shape
        (5, 8)

    Reference: ICLR 2025 "Deep Networks Learn Features From Local Discontinuities
    in the Label Function": the hyperplanes of a DLGN.
    """
    if not net.has_linear_gates:
        raise ValueError(
            "`net` must be a DLGN: only a linear gating network collapses. "
            f"Received: {type(net).__name__} {net.name!r}."
        )
    shape = tuple(net.input_shape[1:])
    size = int(np.prod(shape))
    rows = np.concatenate([np.zeros((1, size)), np.eye(size)]).reshape(-1, *shape)
    found = compose(net, fold(net.parameters("gating")), rows)
    return {s.name: AffineMap(found[s.name][1:], found[s.name][0]) for s in net.sites}


def collapse(net: GatedModel) -> keras.Model:
    """Return a model with the logits of `net`, its gates from one matrix product.

    For inference: one wide product replaces a chain of dependent ones. The
    value network's layers are shared with `net`; the gates are a copy.

    Args:
        net: a DLGN of dense layers.

    Raises:
        ValueError: not a DLGN, or a skeleton with convolutions or pooling.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> x = np.ones((1, 5), "float32")
        >>> fast = dk.collapse(net).predict(x, verbose=0)
        >>> np.allclose(net.predict(x, verbose=0), fast, atol=1e-5)
        True
    """
    maps = affine_gates(net)
    arguments = net.arguments
    widths = [len(affine.offset) for affine in maps.values()]
    dense = keras.layers.Dense(sum(widths), name="all_pre_activations")
    gate = LinearGate(arguments["beta"], arguments["gate"], arguments["gate_scale"])

    inputs = keras.Input(net.input_shape[1:], name="inputs")
    x = preprocess(inputs, net.preprocessing)
    gates = gate(dense(keras.layers.Flatten(data_format="channels_last")(x)))
    ends = np.cumsum([0, *widths])
    made = {site: gates[:, ends[k] : ends[k + 1]] for k, site in enumerate(maps)}
    used: dict[str, Any] = {name: made[net.source_site(name)] for name in made}
    z = keras.ops.ones_like(x) if net.value_input == "ones" else x
    logits = net.value_network([z, used])
    fast = Functional(inputs, as_float32(logits), name=f"{net.name}_collapsed")
    dense.set_weights(
        [
            np.concatenate([m.matrix for m in maps.values()], axis=1),
            np.concatenate([m.offset for m in maps.values()]),
        ]
    )
    return fast
