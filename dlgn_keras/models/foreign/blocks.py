"""Normalisations, gated linear units and attention, written out in simpler steps."""

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from dlgn_keras.layers import Centred, NormGate, ScaleShift
from dlgn_keras.models.foreign.calls import Call

Shapes = list[tuple[int, ...]]
OPERATORS = ("add", "sub", "mul", "truediv", "matmul")


def written_out(call: Call, shapes: Shapes) -> keras.Model | None:
    """Return a model of simpler steps that computes what a call does, or None.

    Args:
        call: of one of Keras' layers or operations.
        shapes: of its tensors, without the batch.
    """
    layer = call.layer
    make = BLOCKS.get(type(layer))
    if make is None and type(layer).__module__.startswith("keras."):
        make = OPERATIONS.get(type(layer).__name__)
    if make is None:
        return None
    inputs, args, kwargs = call.refilled(shapes)
    made = make(layer, *args, **kwargs)
    return None if made is None else keras.Model(inputs, made)


def traced(call: Call, shapes: Shapes) -> keras.Model | None:
    """Return the graph that a layer's `call` makes of symbolic tensors, or None."""
    if not call.is_layer or call.layer.__class__.call is keras.layers.Layer.call:
        return None
    inputs, args, kwargs = call.refilled(shapes)
    if call.is_told_training:
        kwargs["training"] = False
    try:
        with _symbols_beside_variables():
            made = call.layer.call(*args, **kwargs)
        return keras.Model(inputs, made)
    except Exception:  # of a layer that may be anyone's
        return None


@contextlib.contextmanager
def _symbols_beside_variables() -> Iterator[None]:
    """Let `variable * symbol` make a node of a graph, as `symbol * variable` does.

    Keras computes the former at once, which fails for a tensor without values.
    """

    def either(name: str) -> Callable:
        def operator(variable: Any, other: Any) -> Any:
            if isinstance(other, keras.KerasTensor):
                return getattr(other, f"__r{name}__")(variable)
            return getattr(super(keras.Variable, variable), f"__{name}__")(other)

        return operator

    names = [n for n in OPERATORS if f"__{n}__" not in vars(keras.Variable)]
    for name in names:
        setattr(keras.Variable, f"__{name}__", either(name))
    try:
        yield
    finally:
        for name in names:
            delattr(keras.Variable, f"__{name}__")


# -- normalisations: what is centred times one over its size, scaled and shifted ------


def _layer_norm(layer: Any, x: Any) -> Any:
    if layer.rms_scaling:
        return None
    axes = _axes(layer, x)
    x = Centred(axes, name="centred", dtype=layer.dtype_policy)(x)
    x = _normed(layer, x, axes, epsilon=layer.epsilon)
    return _scaled(layer, x, axes, layer.gamma, layer.beta)


def _group_norm(layer: Any, x: Any) -> Any:
    axes = _axes(layer, x)
    x = Centred(axes, layer.groups, name="centred", dtype=layer.dtype_policy)(x)
    x = _normed(layer, x, axes, groups=layer.groups, epsilon=layer.epsilon)
    return _scaled(layer, x, axes, layer.gamma, layer.beta)


def _rms_norm(layer: Any, x: Any) -> Any:
    axes = _axes(layer, x)
    x = _normed(layer, x, axes, epsilon=layer.epsilon)
    return _scaled(layer, x, axes, layer.scale, None)


def _unit_norm(layer: Any, x: Any) -> Any:
    # Keras takes the root of no less than 1e-24.
    return _normed(layer, x, _axes(layer, x), epsilon=1e-24, total=True)


def _axes(layer: Any, x: Any) -> list[int]:
    return [range(x.ndim)[k] for k in np.atleast_1d(layer.axis)]


def _normed(layer: Any, x: Any, axes: list[int], **options: Any) -> Any:
    dtype = layer.dtype_policy
    gate = NormGate(axes, name="size", dtype=dtype, **options)(x)
    return layers.Multiply(name="norm", dtype=dtype)([x, gate])


def _scaled(layer: Any, x: Any, axes: list[int], gamma: Any, beta: Any) -> Any:
    parts = [w for w in (gamma, beta) if w is not None]
    if not parts:
        return x
    options = {"name": "scaled", "dtype": layer.dtype_policy}
    made = ScaleShift(axes, gamma is not None, beta is not None, **options)
    x = made(x)
    made.set_weights([ops.convert_to_numpy(w) for w in parts])
    made.trainable = layer.trainable
    return x


# -- products -------------------------------------------------------------------------


def _glu(operation: Any, x: Any) -> Any:
    a, b = ops.split(x, 2, axis=operation.axis)
    return layers.Multiply(name="glu", dtype=x.dtype)([a, ops.sigmoid(b)])


def _attend(
    operation: Any,
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
) -> Any:
    """Write out `ops.dot_product_attention`, which MultiHeadAttention calls too."""
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    scores = ops.einsum("btnh,bsnh->bnts", query * scale, key)
    if operation.attn_logits_soft_cap is not None:
        cap = operation.attn_logits_soft_cap
        scores = cap * ops.tanh(scores / cap)
    if bias is not None:
        scores = scores + bias
    least = -3e4 if scores.dtype == "float16" else -2e38
    if operation.is_causal:
        seen = np.tril(np.ones(scores.shape[-2:], bool))[None, None]
        scores = ops.where(seen, scores, least)
    if mask is not None:
        scores = ops.where(mask, scores, least)
    weights = ops.softmax(scores, axis=-1)
    return ops.einsum("bnts,bsnh->btnh", weights, value)


BLOCKS: dict[type, Callable] = {
    keras.layers.LayerNormalization: _layer_norm,
    keras.layers.GroupNormalization: _group_norm,
    keras.layers.RMSNormalization: _rms_norm,
    keras.layers.UnitNormalization: _unit_norm,
}
OPERATIONS = {"Glu": _glu, "DotProductAttention": _attend}
