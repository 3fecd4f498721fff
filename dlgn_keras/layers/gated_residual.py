"""GatedAdd and GatedResidualBlock: skip connections with gates from outside."""

from typing import Any

import keras
from keras import ops

from dlgn_keras.layers.gated import (
    check_gate_shape,
    check_one_argument,
    keep_frozen,
)
from dlgn_keras.layers.gated_conv import GatedConv2D


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedAdd(keras.layers.Layer):
    """Compute `gate * (a + b)`: the end of a residual block.

    Called on `[a, b]` alone every unit is on, and the sum itself comes out.

    Call arguments:
        inputs: `[a, b, gate]` or `[a, b]`.

    Input shape: two or three tensors of one shape.
    Output shape: that shape.

    Raises:
        ValueError: another number of tensors, or shapes that differ.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> a = keras.ops.ones((1, 2))
        >>> keras.ops.convert_to_numpy(dk.layers.GatedAdd()([a, a])).tolist()
        [[2.0, 2.0]]

    Reference: arXiv 2110.03403, section 5 (skip connections).
    """

    def build(self, input_shape: Any) -> None:
        nested = isinstance(input_shape[0], list | tuple)
        if not nested or len(input_shape) not in (2, 3):
            received = f"{len(input_shape)} tensors" if nested else "one lone tensor"
            raise ValueError(
                "`inputs` must be [a, b] or [a, b, gate]. "
                f"Received: inputs with {received}."
            )
        a, b, *gate = (tuple(shape) for shape in input_shape)
        if a != b:
            raise ValueError(
                f"The branches of {self.name!r} must have one shape. "
                f"Received: shapes {a} and {b}."
            )
        check_gate_shape(self.name, a, gate[0] if gate else None)
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_one_argument(self, args)
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any) -> Any:
        a, b, *gate = inputs
        total = ops.add(a, b)
        return ops.multiply(total, gate[0]) if gate else total

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return tuple(input_shape[0])


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedResidualBlock(keras.layers.Layer):
    """Compute `g2 * (conv(g1 * conv(z)) + shortcut(z))`: one gate per site.

    Both convolutions are followed by batch norm if asked. The shortcut is the
    identity where shapes allow it, else a 1x1 convolution of the same strides.
    At fixed gates the block is affine in `z`; its neural path kernel is a sum
    over the two sub-networks, convolutions or shortcut.

    Args:
        filters: int, number of channels of both convolutions.
        kernel_size: int or a pair.
        strides: int or a pair, of the first convolution (and the shortcut).
        padding: "same" or "circular".
        batch_norm: bool, whether to normalise after each convolution.
        use_bias: bool, whether the convolutions add a bias.
        data_format: "channels_last" or "channels_first"; Keras' setting if None.
        kernel_initializer: as in Keras.

    Call arguments:
        inputs: `[z, g1, g2]`.
        training: bool, whether batch norm uses the batch's statistics.

    Input shape: z (batch, height, width, channels); both gates of the output's shape.
    Output shape: (batch, new_height, new_width, filters).

    Raises:
        ValueError: bad sizes or names, or gates of another shape than the output.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> z, gate = keras.ops.ones((2, 6, 6, 3)), keras.ops.ones((2, 3, 3, 4))
        >>> block = dk.layers.GatedResidualBlock(
        ...     4, strides=2, data_format="channels_last")
        >>> tuple(block([z, gate, gate]).shape)
        (2, 3, 3, 4)

    Reference: arXiv 2110.03403, section 5 (skip connections).
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, int] = 3,
        strides: int | tuple[int, int] = 1,
        padding: str = "same",
        batch_norm: bool = True,
        use_bias: bool = False,
        data_format: str | None = None,
        kernel_initializer: Any = "he_normal",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if padding == "valid":
            raise ValueError(
                "`padding` must be 'same' or 'circular', so that the branches have "
                "one shape. Received: padding='valid'."
            )
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.batch_norm = batch_norm
        self.use_bias = use_bias

        self._shared = {
            "padding": padding,
            "data_format": data_format,
            "use_bias": use_bias,
            "batch_norm": batch_norm,
            "dtype": self.dtype_policy,
        }
        self.inner = self._conv("inner", filters, kernel_size, strides)
        self.outer = self._conv("outer", filters, kernel_size, 1)
        self.projection = None
        self.add = GatedAdd(dtype=self.dtype_policy, name="add")

    def _conv(self, name: str, filters: int, size: Any, strides: Any) -> GatedConv2D:
        return GatedConv2D(
            filters,
            size,
            strides=strides,
            kernel_initializer=self.kernel_initializer.clone(),
            name=name,
            **self._shared,
        )

    def build(self, input_shape: Any) -> None:
        if len(input_shape) != 3 or not isinstance(input_shape[0], list | tuple):
            raise ValueError(
                "`inputs` must be [z, g1, g2]. "
                f"Received: inputs of shape {input_shape}."
            )
        z, g1, g2 = (tuple(shape) for shape in input_shape)
        self.inner.build([z, g1])
        shape = self.inner.compute_output_shape(z)
        self.outer.build(shape)
        if shape[1:] != z[1:]:
            filters, strides = self.inner.filters, self.inner.strides
            self.projection = self._conv("projection", filters, 1, strides)
            self.projection.build(z)
        self.add.build([shape, shape, g2])
        keep_frozen(self, self.inner, self.outer, self.projection)
        self.built = True

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        check_one_argument(self, args)
        return super().__call__(*args, **kwargs)

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        z, g1, g2 = inputs
        body = self.inner([z, g1], training=training)
        body = self.outer(body, training=training)
        if self.projection is not None:
            z = self.projection(z, training=training)
        return self.add([body, z, g2])

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return self.inner.compute_output_shape(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.inner.filters,
            "kernel_size": self.inner.kernel_size,
            "strides": self.inner.strides,
            "padding": self.inner.padding,
            "data_format": self.inner.data_format,
            "batch_norm": self.batch_norm,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
