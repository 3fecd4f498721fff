"""collapse: all gates of a fully connected DLGN from one matrix product.

The gating network of a DLGN is a chain of affine maps, so each site's
pre-activations are one affine map of the input: `q_l = x V_l + c_l`.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.layers import Affine, LinearGate
from dlgn_keras.models.base import GatedModel, as_float32, preprocess
from dlgn_keras.models.families import DLGN
from dlgn_keras.skeletons import Dense, Flatten, Residual, Stage


class AffineMap(NamedTuple):
    """`x @ matrix + offset`: matrix (inputs, units), offset (units,), float64."""

    matrix: np.ndarray
    offset: np.ndarray


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
    if not isinstance(net, DLGN):
        raise ValueError(
            "`net` must be a DLGN: only a linear gating network collapses. "
            f"Received: {type(net).__name__} {net.name!r}."
        )
    parameters = net.parameters("gating")
    size = int(np.prod(net.input_shape[1:]))
    start = AffineMap(np.eye(size), np.zeros(size))
    found: dict[str, AffineMap] = {}
    if net.arguments["shallow"]:
        for site in net.sites:
            found[site.name] = _compose(start, parameters[site.name])
        return found
    _along(net.skeleton.stages, start, parameters, found)
    return {site.name: found[site.name] for site in net.sites}


def _compose(before: AffineMap, layer: Affine) -> AffineMap:
    matrix = before.matrix @ layer.kernel * layer.scale
    offset = (before.offset @ layer.kernel + layer.bias) * layer.scale + layer.shift
    return AffineMap(matrix, offset)


def _along(
    stages: tuple[Stage, ...],
    now: AffineMap,
    parameters: dict[str, Affine],
    found: dict[str, AffineMap],
) -> AffineMap:
    for stage in stages:
        if isinstance(stage, Residual):
            body = _along(stage.body, now, parameters, found)
            skip = _along(stage.shortcut, now, parameters, found)
            now = AffineMap(body.matrix + skip.matrix, body.offset + skip.offset)
        elif isinstance(stage, Dense):
            if stage.name not in parameters:
                return now  # past the last site: no part of the gating network
            now = _compose(now, parameters[stage.name])
        elif not isinstance(stage, Flatten):
            raise ValueError(
                "`net` must have dense stages only to collapse. "
                f"Received: stage {stage.name!r} ({type(stage).__name__})."
            )
        found[stage.name] = now
    return now


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
    fast = keras.Model(inputs, as_float32(logits), name=f"{net.name}_collapsed")
    dense.set_weights(
        [
            np.concatenate([m.matrix for m in maps.values()], axis=1),
            np.concatenate([m.offset for m in maps.values()]),
        ]
    )
    return fast
