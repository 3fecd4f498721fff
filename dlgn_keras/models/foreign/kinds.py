"""The kind of each Keras layer for a gated network: affine, site, pool, or none."""

import inspect
from typing import Any, NamedTuple

import keras

from dlgn_keras import layers as ours
from dlgn_keras.layers import piecewise_problem

Activation = dict[str, Any]  # numbers of a ReLU-like activation

HEADS = ("softmax", "sigmoid", "log_softmax")


def _classes(names: str) -> frozenset[type]:
    """Return the classes of these names that this version of Keras has."""
    found = (getattr(keras.layers, name, None) for name in names.split())
    return frozenset(cls for cls in found if cls is not None)


def _ranks(names: str) -> str:
    return " ".join(f"{name}{rank}D" for name in names.split() for rank in "123")


# With an `activation` that is split off.
FUSED = _classes(
    "Dense EinsumDense DepthwiseConv1D DepthwiseConv2D SeparableConv1D "
    "SeparableConv2D " + _ranks("Conv") + " Conv1DTranspose Conv2DTranspose "
    "Conv3DTranspose"
)
# Affine at inference: dropout and noise are the identity there.
AFFINE = (
    _classes(
        "BatchNormalization Flatten Reshape Permute RepeatVector Identity Rescaling "
        "Normalization Add Subtract Average Concatenate Dropout AlphaDropout "
        "GaussianDropout GaussianNoise ActivityRegularization "
        + _ranks(
            "ZeroPadding Cropping UpSampling AveragePooling GlobalAveragePooling "
            "SpatialDropout AdaptiveAveragePooling"
        )
    )
    | FUSED
)
MAX_POOLS = _classes(_ranks("MaxPooling GlobalMaxPooling"))
# Before anything else they are part of the model and of no network; `RandomFlip` and
# its like draw once for both.
PREPROCESSING = frozenset(
    cls
    for name, cls in vars(keras.layers).items()
    if inspect.isclass(cls)
    and issubclass(cls, keras.layers.Layer)
    and (name.startswith("Random") or name in ("CenterCrop", "Resizing"))
)
# Of ours: affine where no gate is given.
OURS = {
    ours.ChannelRescaling: 1,
    ours.GatedDense: 1,
    ours.GatedConv1D: 1,
    ours.GatedConv2D: 1,
    ours.GatedAdd: 2,
}
# keras.ops that are affine in their tensors, whatever their other arguments.
AFFINE_OPS = frozenset(
    "Add Subtract Negative Concatenate Reshape Transpose Moveaxis Mean Sum Squeeze "
    "ExpandDims Flip Stack Ravel Cast".split()
)
DIVISIONS = frozenset({"Divide", "TrueDivide"})
ELEMENTWISE_OPS = frozenset({"Add", "Subtract", "Multiply"}) | DIVISIONS


class Kind(NamedTuple):
    """What a layer is: `kind` as a Step has it, or "head", "preprocessing", "no".

    activation: numbers of the activation, of the layer itself ("site") or fused
        to it; None for none. head: name of an activation that ends a model.
    reason: why not, for "no".
    """

    kind: str
    activation: Activation | None = None
    head: str | None = None
    reason: str = ""


def kind_of(layer: Any, args: tuple, tensors: list) -> Kind:
    """Return what a layer or an operation is.

    Args:
        layer: a Keras layer, or the operation behind a function of `keras.ops`.
        args: the positional arguments it is called with.
        tensors: the tensors of the network among all its arguments.
    """
    cls = type(layer)
    if not isinstance(layer, keras.layers.Layer):
        return _kind_of_operation(layer, args, tensors)
    if cls in OURS and len(tensors) == OURS[cls]:
        return Kind("affine")
    if cls in FUSED:
        return _fused(layer)
    if cls in AFFINE:
        return Kind("affine")
    if cls in MAX_POOLS:
        return Kind("pool")
    if cls in PREPROCESSING:
        return Kind("preprocessing")
    if cls is keras.layers.Softmax:
        return Kind("head", head="softmax")
    if cls is keras.layers.Activation:
        return _activation(layer.activation)
    if cls is keras.layers.PReLU:
        return Kind("site")
    if cls in (keras.layers.ReLU, keras.layers.LeakyReLU):
        return _site(_numbers(layer))
    if isinstance(layer, keras.layers.Wrapper):
        return Kind("no", reason="wraps another layer, which is not looked into")
    if isinstance(layer, keras.layers.Lambda):
        return Kind("no", reason="holds code, of which nothing is known")
    if cls.__module__.startswith("dlgn_keras."):
        return Kind("no", reason="is gated already")
    if cls.__module__.split(".")[0] == "keras":
        return Kind("no", reason="is neither affine at inference nor ReLU-like")
    return Kind("no", reason="is a layer of your own, of which nothing is known")


def _fused(layer: Any) -> Kind:
    found = _activation(layer.activation)
    if found.kind == "no":
        return found
    return Kind("affine", found.activation, found.head)


def _activation(function: Any) -> Kind:
    """Return what an `activation` argument stands for: an affine one is "affine"."""
    if isinstance(function, keras.layers.ReLU | keras.layers.LeakyReLU):
        return _site(_numbers(function))
    if function in (None, keras.activations.linear):
        return Kind("affine")
    if function in (keras.activations.relu, keras.ops.relu):
        return _site({})
    if function in (keras.activations.relu6, keras.ops.relu6):
        return _site({"max_value": 6.0})
    if function in (keras.activations.leaky_relu, keras.ops.leaky_relu):
        slope = inspect.signature(function).parameters["negative_slope"].default
        return _site({"negative_slope": slope})
    if isinstance(function, keras.layers.Layer):
        name = type(function).__name__
        return Kind("no", reason=f"has {name} as its activation: call it on its own")
    name = getattr(function, "__name__", str(function))
    if name in HEADS and function is getattr(keras.activations, name):
        return Kind("head", head=name)
    return Kind("no", reason=f"has the activation {name}, which is not ReLU-like")


def _numbers(layer: Any) -> Activation:
    if isinstance(layer, keras.layers.LeakyReLU):
        return {"negative_slope": float(layer.negative_slope)}
    return {
        "negative_slope": float(layer.negative_slope),
        "max_value": None if layer.max_value is None else float(layer.max_value),
        "threshold": float(layer.threshold),
    }


def _site(numbers: Activation) -> Kind:
    full = {"negative_slope": 0.0, "max_value": None, "threshold": 0.0, **numbers}
    problem = piecewise_problem(**full)
    if problem:
        return Kind("no", reason=f"has no gates: {problem.rstrip('.')}")
    return Kind("site", full)


def _kind_of_operation(operation: Any, args: tuple, tensors: list) -> Kind:
    name = type(operation).__name__
    if not type(operation).__module__.startswith("keras."):
        return Kind("no", reason="is an operation of which nothing is known")
    scales = name == "Multiply" or (name in DIVISIONS and args[:1] == (tensors[0],))
    if name in AFFINE_OPS or (scales and len(tensors) == 1):
        return Kind("affine")
    if name == "Relu":
        return _site({})
    if name == "Relu6":
        return _site({"max_value": 6.0})
    if name == "LeakyRelu":
        return _site({"negative_slope": float(operation.negative_slope)})
    heads = {h.replace("_", ""): h for h in HEADS}
    if name.lower() in heads:
        return Kind("head", head=heads[name.lower()])
    if name in ELEMENTWISE_OPS:
        return Kind("no", reason="multiplies or divides by a tensor of the network")
    return Kind("no", reason="is neither affine nor ReLU-like")
