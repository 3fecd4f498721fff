"""GatedDense, and the base class of all layers that are gated from outside.

The base owns the batch norm, the gate and the shapes; a subclass makes its affine
map and computes the shape of its output.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dlgn_keras.layers.scale_norm import ScaleNorm
from dlgn_keras.tools.messages import check_count

BATCH_NORM = {"momentum": 0.9, "epsilon": 1e-5}


class Affine(NamedTuple):
    """The arrays of `scale * (kernel z + bias) + shift`, batch norm at inference.

    kernel: (in, out) for dense, (*window, in, out) for convolutions.
    bias, scale, shift: (out,); 0, 1 and 0 where the layer has none.
    """

    kernel: np.ndarray
    bias: np.ndarray
    scale: np.ndarray
    shift: np.ndarray


class Gated(keras.layers.Layer):
    """Base of the layers that compute `gate * batch_norm(affine(z))`."""

    def __init__(
        self,
        use_bias: bool = True,
        batch_norm: bool | str = False,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        if batch_norm not in (True, False, "scale"):
            raise ValueError(
                "`batch_norm` must be True, False or 'scale'. "
                f"Received: batch_norm={batch_norm!r}."
            )
        super().__init__(**kwargs)
        self.use_bias = use_bias
        self.use_batch_norm = batch_norm
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_one_argument(self, args)
        return super().__call__(*args, **kwargs)

    def make_affine(self, options: dict[str, Any]) -> keras.layers.Layer:
        """Return the Keras layer of the affine map, given the options all share."""
        raise NotImplementedError("A subclass of Gated defines its affine map.")

    @property
    def channel_axis(self) -> int:
        return -1

    def affine_shape(self, z_shape: tuple) -> tuple:
        """Return the input shape of the affine map, given that of the layer."""
        return z_shape

    def apply_affine(self, z: Any) -> Any:
        return self.affine(z)

    def build(self, input_shape: Any) -> None:
        z_shape, gate_shape = split_shapes(input_shape)
        output_shape = self.unit_shape(z_shape)
        check_gate_shape(self.name, output_shape, gate_shape)
        self.affine = self.make_affine(
            {
                "use_bias": self.use_bias,
                "kernel_initializer": self.kernel_initializer,
                "bias_initializer": self.bias_initializer,
                "kernel_regularizer": self.kernel_regularizer,
                "dtype": self.dtype_policy,
                "name": "affine",
            }
        )
        self.affine.build(self.affine_shape(z_shape))
        self.batch_norm = None
        if self.use_batch_norm:
            scales = self.use_batch_norm == "scale"
            norm: Any = ScaleNorm if scales else keras.layers.BatchNormalization
            self.batch_norm = norm(
                axis=self.channel_axis,
                dtype=self.dtype_policy,
                name="batch_norm",
                **BATCH_NORM,
            )
            self.batch_norm.build(output_shape)
        keep_frozen(self, self.affine, self.batch_norm)
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        z, gate = split_inputs(inputs)
        q = self.apply_affine(z)
        if self.batch_norm is not None:
            q = self.batch_norm(q, training=training)
        return q if gate is None else ops.multiply(q, gate)

    def unit_shape(self, z_shape: tuple) -> tuple:
        """Return the shape of the pre-activations for inputs of shape `z_shape`."""
        raise NotImplementedError("A subclass of Gated defines its output shape.")

    def compute_output_shape(self, input_shape: Any) -> tuple:
        z_shape, gate_shape = split_shapes(input_shape)
        shape = self.unit_shape(z_shape)
        # One row of z may serve a whole batch of gates.
        return shape if gate_shape is None else (gate_shape[0], *shape[1:])

    def parameters_at_inference(self) -> Affine:
        """Return the layer's numbers as float64 arrays, batch norm by its averages.

        Raises:
            ValueError: the layer is quantised, and so no affine map.
        """
        if getattr(self.affine, "quantization_mode", None) is not None:
            raise ValueError(
                "A quantised model rounds what comes in and is not affine: take the "
                f"float model apart. Received: layer {self.name!r} in int8."
            )
        kernel = _numpy(self.affine.kernel)
        units = kernel.shape[-1]
        bias = _numpy(self.affine.bias) if self.use_bias else np.zeros(units)
        scale, shift = np.ones(units), np.zeros(units)
        if self.batch_norm is not None:
            norm = self.batch_norm
            scale = _numpy(norm.gamma) / np.sqrt(
                _numpy(norm.moving_variance) + norm.epsilon
            )
            if not isinstance(norm, ScaleNorm):
                shift = _numpy(norm.beta) - scale * _numpy(norm.moving_mean)
        return Affine(kernel, bias, scale, shift)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "use_bias": self.use_bias,
            "batch_norm": self.use_batch_norm,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
            "kernel_regularizer": keras.regularizers.serialize(self.kernel_regularizer),
        }


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedDense(Gated):
    """Compute `gate * batch_norm(W z + b)`.

    At fixed gates the layer is affine in `z`: the value network's (dual) linearity.
    Without a gate every unit is on, and the layer returns the pre-activations.

    Args:
        units: int, width of the output.
        use_bias: bool, whether to add `b`.
        batch_norm: bool, whether to normalise before the gate; "scale" does so without
            centring and offset (`ScaleNorm`).
        kernel_initializer, bias_initializer, kernel_regularizer: as in
            `keras.layers.Dense`.

    Call arguments:
        inputs: `[z, gate]`, or `z` alone.
        training: bool, whether batch norm uses the batch's statistics.

    Input shape: z (batch, ..., input_dim), gate (batch, ..., units).
    Output shape: (batch, ..., units).

    Raises:
        ValueError: `units` below 1, or a gate of another shape than the output.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> z, gate = keras.ops.ones((2, 3)), keras.ops.zeros((2, 5))
        >>> dk.layers.GatedDense(5)([z, gate]).shape == (2, 5)
        True

    Reference: arXiv 2110.03403, section 2 (the weights network).
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        check_count("units", units)
        super().__init__(**kwargs)
        self.units = units

    def make_affine(self, options: dict[str, Any]) -> keras.layers.Layer:
        return keras.layers.Dense(self.units, **options)

    def unit_shape(self, z_shape: tuple) -> tuple:
        return (*z_shape[:-1], self.units)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "units": self.units}


def keep_frozen(layer: keras.layers.Layer, *parts: keras.layers.Layer | None) -> None:
    """Freeze the parts that `build` made, if the layer was frozen before it."""
    for part in parts:
        if part is not None and not layer.trainable:
            part.trainable = False


def _numpy(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable), dtype=np.float64)


def check_one_argument(layer: Any, args: tuple) -> None:
    """Raise a TypeError if z and the gate are given as two arguments, not a list."""
    if len(args) > 1 and not isinstance(args[1], bool):
        raise TypeError(
            f"{type(layer).__name__} takes one argument: a list, layer([z, gate]). "
            f"Received: {len(args)} arguments."
        )


def split_inputs(inputs: Any) -> tuple[Any, Any]:
    """Return (z, gate); a lone tensor or a list of one has no gate."""
    if not isinstance(inputs, list | tuple):
        return inputs, None
    if len(inputs) == 1:
        return inputs[0], None
    if len(inputs) != 2:
        raise ValueError(
            "`inputs` must be z or [z, gate]. "
            f"Received: inputs with {len(inputs)} tensors."
        )
    return inputs[0], inputs[1]


def split_shapes(input_shape: Any) -> tuple[tuple, tuple | None]:
    """Return (z_shape, gate_shape or None) of what `build` is given."""
    if input_shape and isinstance(input_shape[0], list | tuple):
        z_shape, gate_shape = split_inputs(list(input_shape))
        return tuple(z_shape), None if gate_shape is None else tuple(gate_shape)
    return tuple(input_shape), None


def check_gate_shape(name: str, output_shape: tuple, gate_shape: Any) -> None:
    """Raise a ValueError unless the gate fits the pre-activations it multiplies."""
    if gate_shape is None:
        return
    fits = len(gate_shape) == len(output_shape) and all(
        a is None or b is None or a == b
        for a, b in zip(gate_shape[1:], output_shape[1:], strict=True)
    )
    if not fits:
        raise ValueError(
            f"The gate of {name!r} must have the shape of its pre-activations, "
            f"{output_shape}. Received: gate of shape {tuple(gate_shape)}."
        )
