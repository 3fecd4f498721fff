"""Gates that are no switches: of smooth activations, and of normalisations.

An activation is `f(q) = q * gate(q) + f(0)` with `gate(q) = (f(q) - f(0)) / q`; a
normalisation multiplies what is centred by one over its size.
"""

import math
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, NamedTuple

import keras
from keras import activations, ops

from dlgn_keras.tools.messages import check_choice

# The gate at 0 is that of this number: its limit, to the last digit.
TINY = {"float16": 1e-4}, 1e-20


class Smooth(NamedTuple):
    """A row of the table of activations.

    rise: q, numbers -> `f(q) - f(0)`, to full precision near 0.
    numbers: what the function takes beside q, with defaults.
    constant: numbers -> f(0).
    """

    rise: Callable
    numbers: Any = MappingProxyType({})
    constant: Callable = lambda **_: 0.0


# ONNX has no erfc, log1p and expm1: they are written in what it has.
def _gelu(q: Any, approximate: bool) -> Any:
    if approximate:
        return activations.gelu(q, approximate=True)
    return q * (1 + ops.erf(q * math.sqrt(0.5))) / 2


def _expm1(q: Any) -> Any:
    half = ops.maximum(q / 2, -20.0)
    return 2 * ops.exp(half) * ops.sinh(half)


def _celu(q: Any, alpha: float) -> Any:
    return ops.relu(q) + alpha * _expm1(ops.minimum(q, 0.0) / alpha)


def _softplus(q: Any) -> Any:
    small = ops.clip(q, -1.0, 1.0)
    near = small / 2 + 2 * ops.arctanh(ops.square(ops.tanh(small / 4)))
    return ops.where(ops.abs(q) < 1, near, ops.softplus(q) - math.log(2))


def _squareplus(q: Any, b: float) -> Any:
    return (q + q * q / (ops.sqrt(q * q + b) + math.sqrt(b))) / 2


def _sparse_plus(q: Any) -> Any:
    inside = ops.clip(q, -1.0, 1.0)
    return (inside * inside + 2 * inside) / 4 + ops.relu(q - 1)


def _threshold(q: Any, threshold: float, default_value: float) -> Any:
    start = default_value if threshold >= 0 else 0.0
    return activations.threshold(q, threshold, default_value) - start


SMOOTH = {
    "celu": Smooth(_celu, {"alpha": 1.0}),
    "elu": Smooth(activations.elu, {"alpha": 1.0}),
    "exponential": Smooth(_expm1, constant=lambda: 1.0),
    "gelu": Smooth(_gelu, {"approximate": False}),
    "hard_shrink": Smooth(activations.hard_shrink, {"threshold": 0.5}),
    "hard_sigmoid": Smooth(lambda q: ops.clip(q, -3.0, 3.0) / 6, constant=lambda: 0.5),
    "hard_silu": Smooth(activations.hard_silu),
    "log_sigmoid": Smooth(lambda q: -_softplus(-q), constant=lambda: -math.log(2)),
    "mish": Smooth(activations.mish),
    "selu": Smooth(activations.selu),
    "sigmoid": Smooth(lambda q: ops.tanh(q / 2) / 2, constant=lambda: 0.5),
    "silu": Smooth(activations.silu),
    "soft_shrink": Smooth(activations.soft_shrink, {"threshold": 0.5}),
    "softplus": Smooth(_softplus, constant=lambda: math.log(2)),
    "softsign": Smooth(activations.softsign),
    "sparse_plus": Smooth(_sparse_plus, constant=lambda: 0.25),
    "sparse_sigmoid": Smooth(
        lambda q: ops.clip(q, -1.0, 1.0) / 2, constant=lambda: 0.5
    ),
    "squareplus": Smooth(_squareplus, {"b": 4}, constant=lambda b: math.sqrt(b) / 2),
    "tanh": Smooth(activations.tanh),
    "tanh_shrink": Smooth(activations.tanh_shrink),
    "threshold": Smooth(
        _threshold,
        {"threshold": 0.0, "default_value": 0.0},
        lambda threshold, default_value: default_value if threshold >= 0 else 0.0,
    ),
}


@keras.saving.register_keras_serializable(package="dlgn_keras")
class SmoothGate(keras.layers.Layer):
    """Compute the gates of a smooth activation: `(f(q) - f(0)) / q`, f'(0) at 0.

    The activation is `q * gate + constant`. There is one mode: nothing switches.

    Args:
        function: name of the activation, as `keras.activations` has it.
        numbers: what the activation takes beside q, such as `{"alpha": 0.5}`.

    Input shape: any, floats.
    Output shape: the input's.

    Raises:
        ValueError: an activation that has no such gates, or a number it does not take.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> gate = dk.layers.SmoothGate("silu")
        >>> keras.ops.convert_to_numpy(gate(keras.ops.array([[0.0]]))).tolist()
        [[0.5]]
    """

    def __init__(
        self,
        function: str,
        numbers: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice("function", function, tuple(SMOOTH))
        for name in numbers or {}:
            check_choice("numbers", name, tuple(SMOOTH[function].numbers))
        super().__init__(**kwargs)
        self.function = function
        self.numbers = {**SMOOTH[function].numbers, **(numbers or {})}
        self.built = True

    @property
    def constant(self) -> float:
        """f(0), which starts paths as a bias does."""
        return float(SMOOTH[self.function].constant(**self.numbers))

    def call(self, inputs: Any) -> Any:
        inputs = ops.convert_to_tensor(inputs)
        few, tiny = TINY
        tiny = few.get(keras.backend.standardize_dtype(inputs.dtype), tiny)
        q = ops.where(ops.abs(inputs) < tiny, ops.full_like(inputs, tiny), inputs)
        return SMOOTH[self.function].rise(q, **self.numbers) / q

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "function": self.function,
            "numbers": self.numbers,
        }


class _Grouped(keras.layers.Layer):
    """Base of the layers that take means: over axes, or within groups of channels."""

    def __init__(
        self, axes: Any = (-1,), groups: int | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)
        self.groups = groups
        self.built = True

    def mean(self, x: Any) -> Any:
        """Return the mean of each group, in the rank of x and broadcast to it.

        In groups, `axes` is the one axis of the channels.
        """
        if self.groups is None:
            return ops.mean(x, axis=self.axes, keepdims=True)
        rank, axis = x.ndim, range(x.ndim)[self.axes[0]]
        sizes = [x.shape[axis] // self.groups, self.groups]
        places = [k for k in range(1, rank) if k != axis]
        means = ops.mean(x, axis=places, keepdims=True)
        shape = (-1, *means.shape[1:axis], sizes[1], sizes[0], *means.shape[axis + 1 :])
        means = ops.mean(ops.reshape(means, shape), axis=axis + 1, keepdims=True)
        repeated = ops.repeat(means, sizes[0], axis=axis + 1)
        return ops.reshape(
            repeated, (-1, *(x.shape[axis] if k == axis else 1 for k in range(1, rank)))
        )

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "axes": list(self.axes), "groups": self.groups}


@keras.saving.register_keras_serializable(package="dlgn_keras")
class Centred(_Grouped):
    """Subtract the mean over `axes`, or that of each group of channels: linear.

    Args:
        axes: axes of a tensor with its batch; the axis of the channels with groups.
        groups: number of groups of channels, or None.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> x = dk.layers.Centred()(keras.ops.array([[1.0, 3.0]]))
        >>> keras.ops.convert_to_numpy(x).tolist()
        [[-1.0, 1.0]]
    """

    def call(self, inputs: Any) -> Any:
        return inputs - self.mean(inputs)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


@keras.saving.register_keras_serializable(package="dlgn_keras")
class NormGate(_Grouped):
    """Compute the gates of a normalisation: one over the size of what comes in.

    `gate = 1 / sqrt(mean(q^2) + epsilon)` over `axes` or a group. Behind `Centred` it
    is that of layer and group normalisation, alone that of RMS normalisation. With
    `total=True` it is that of unit normalisation, `1 / sqrt(max(sum(q^2), epsilon))`.

    Args:
        axes, groups: as in `Centred`.
        epsilon: float above 0.
        total: whether the sum of squares stands for their mean.

    Output shape: the input's, 1 along the axes that the mean is over.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> gate = dk.layers.NormGate(total=True)(keras.ops.array([[3.0, 4.0]]))
        >>> round(float(gate[0, 0]), 6)
        0.2
    """

    def __init__(
        self,
        axes: Any = (-1,),
        groups: int | None = None,
        epsilon: float = 1e-3,
        total: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(axes, groups, **kwargs)
        self.epsilon = epsilon
        self.total = total

    def call(self, inputs: Any) -> Any:
        squares = ops.square(inputs)
        if self.total:
            total = ops.sum(squares, axis=self.axes, keepdims=True)
            return ops.rsqrt(ops.maximum(total, self.epsilon))
        return ops.rsqrt(self.mean(squares) + self.epsilon)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        rank = len(input_shape)
        axes = {range(rank)[k] for k in self.axes}
        if self.groups is not None:
            axes = set(range(1, rank)) - axes
        return tuple(1 if k in axes else n for k, n in enumerate(input_shape))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "epsilon": self.epsilon,
            "total": self.total,
        }


@keras.saving.register_keras_serializable(package="dlgn_keras")
class ScaleShift(keras.layers.Layer):
    """Multiply by learnt gains along some axes and add learnt shifts.

    Args:
        axes: axes that gains and shifts are along.
        scale, center: whether there are gains, and shifts.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> layer = dk.layers.ScaleShift()
        >>> keras.ops.convert_to_numpy(layer(keras.ops.array([[1.0, 3.0]]))).tolist()
        [[1.0, 3.0]]
    """

    def __init__(
        self,
        axes: Any = (-1,),
        scale: bool = True,
        center: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axes = tuple(axes)
        self.scale = scale
        self.center = center

    def build(self, input_shape: Any) -> None:
        rank = len(input_shape)
        axes = {range(rank)[k] for k in self.axes}
        shape = tuple(n for k, n in enumerate(input_shape) if k in axes)
        self.whole = tuple(n if k in axes else 1 for k, n in enumerate(input_shape))
        self.gamma = self.beta = None
        if self.scale:
            self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        if self.center:
            self.beta = self.add_weight(shape=shape, initializer="zeros", name="beta")
        self.built = True

    def call(self, inputs: Any) -> Any:
        if self.gamma is not None:
            inputs = inputs * ops.reshape(self.gamma, self.whole)
        if self.beta is not None:
            inputs = inputs + ops.reshape(self.beta, self.whole)
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axes": list(self.axes),
            "scale": self.scale,
            "center": self.center,
        }
