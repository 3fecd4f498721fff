"""What a layer means to a gated network, where its class or its values tell.

Whatever is not named here is probed: see `dlgn_keras.models.foreign.probe`.
"""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import keras

from dlgn_keras.layers import SMOOTH, NormGate, SmoothGate, piecewise_problem
from dlgn_keras.models.foreign.activations import (
    IDENTITY,
    Curve,
    Piecewise,
    recognise,
)


def _classes(names: str) -> frozenset[type]:
    """Return the classes of these names that this version of Keras has."""
    found = (getattr(keras.layers, name, None) for name in names.split())
    return frozenset(cls for cls in found if cls is not None)


def _ranks(names: str) -> str:
    return " ".join(f"{name}{rank}D" for name in names.split() for rank in "123")


# An affine map and then an `activation`: known, so that these are not probed.
FUSED = _classes(
    "Dense EinsumDense DepthwiseConv1D DepthwiseConv2D SeparableConv1D "
    "SeparableConv2D " + _ranks("Conv") + " Conv1DTranspose Conv2DTranspose "
    "Conv3DTranspose"
)
MAX_POOLS = _classes(_ranks("MaxPooling GlobalMaxPooling"))
# Behind the input they are part of the model and of no network: the random ones draw
# once for both.
AUGMENTATIONS = frozenset(
    cls
    for name, cls in vars(keras.layers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.layers.Layer)
    and name.startswith("Random")
)
RESIZING = _classes("CenterCrop Resizing")
RECURRENT = _classes("RNN Bidirectional ConvLSTM1D ConvLSTM2D ConvLSTM3D")
SMOOTH_OPERATIONS = {name.replace("_", ""): name for name in SMOOTH} | {
    "exp": "exponential"
}
HEADS = {"softmax": "softmax", "sigmoid": "sigmoid", "logsoftmax": "log_softmax"}


class Kind(NamedTuple):
    """What a layer is: `kind` as a Step has it, or "head", "augmentation", "no".

    activation: of the layer itself ("site"), or the one that follows its affine map; a
        function of Keras' operations stands for the graph of these.
    head: name of an activation that may end a model. reason: why not, for "no"; why it
        has no value, for "free".
    """

    kind: str
    activation: Any = None
    head: str | None = None
    reason: str = ""


def kind_of(layer: Any) -> Kind | None:
    """Return what a layer or an operation is by its class, None for "probe it"."""
    cls = type(layer)
    if cls in MAX_POOLS:
        return Kind("pool")
    if cls in AUGMENTATIONS:
        return Kind("augmentation")
    if cls is keras.layers.PReLU:
        return Kind("site")
    if cls in (keras.layers.ReLU, keras.layers.LeakyReLU):
        return _site(_numbers(layer))
    if cls is keras.layers.Activation:
        return activation_kind(layer.activation)
    if cls is keras.layers.ELU:
        return Kind("site", Curve("elu", {"alpha": float(layer.alpha)}))
    if isinstance(layer, NormGate | SmoothGate):
        return Kind("free", reason="is no value but a gate")
    if isinstance(layer, keras.layers.Lambda):
        return Kind("no", reason="holds code, of which nothing is known")
    name = cls.__name__.lower()
    if cls.__module__.startswith("keras."):
        if name in HEADS:
            return Kind("head", head=HEADS[name])
        if name == "relu":  # the operation behind `keras.activations.relu`
            return _site(_numbers(layer))
        if name in SMOOTH_OPERATIONS and not isinstance(layer, keras.layers.Layer):
            function = SMOOTH_OPERATIONS[name]
            numbers = {k: getattr(layer, k) for k in SMOOTH[function].numbers}
            return Kind("site", Curve(function, numbers))
    return None


def activation_kind(function: Any) -> Kind:
    """Return what an `activation` argument stands for: an affine one is "affine"."""
    if function is None:
        return Kind("affine")
    if isinstance(function, keras.layers.ReLU | keras.layers.LeakyReLU):
        return _site(_numbers(function))
    name = getattr(function, "__name__", type(function).__name__)
    if isinstance(function, keras.layers.Layer):
        reason = f"has {name} as its activation: call it on its own"
        return function_kind(function) or Kind("no", reason=reason)
    found = function_kind(function)
    if found is None and not is_traceable(function):
        reason = f"has the activation {name}, which has no gates"
        return Kind("no", reason=reason)
    return found or Kind("affine", function)


def is_traceable(function: Callable) -> bool:
    """Return whether a function of one tensor is written in Keras' operations."""
    try:
        made = function(keras.KerasTensor((None, 4)))
    except Exception:  # the function is a user's: any error may come
        return False
    return isinstance(made, keras.KerasTensor)


def function_kind(function: Callable) -> Kind | None:
    """Return what a function of one tensor is by its values; the identity is affine."""
    found = recognise(function)
    if isinstance(found, Piecewise):
        return _site(found)
    if isinstance(found, Curve):
        return Kind("site", found)
    if found == IDENTITY:
        return Kind("affine")
    return None if found is None else Kind("head", head=found)


def _numbers(layer: Any) -> Piecewise:
    """Return the numbers of a ReLU-like layer, or of the operations `Relu`, `ReLU`."""
    maximum = getattr(layer, "max_value", None)
    return Piecewise(
        float(getattr(layer, "negative_slope", 0.0)),
        None if maximum is None else float(maximum),
        float(getattr(layer, "threshold", 0.0)),
    )


def _site(numbers: Piecewise) -> Kind:
    problem = piecewise_problem(*numbers[:3])
    if problem:
        return Kind("no", reason=f"has no gates: {problem.rstrip('.')}")
    return Kind("site", numbers)
