"""ValueTensor: one free number per path in place of a value network."""

from typing import Any

import keras
from keras import ops

from dlgn_keras.tools.messages import check_count


@keras.saving.register_keras_serializable(package="dlgn_keras")
class ValueTensor(keras.layers.Layer):
    """Sum, over all paths through gated sites, each path's value times its gates.

    `y_k = sum_{i_1, ..., i_L} v[i_1, ..., i_L, k] g_1[i_1] ... g_L[i_L]`.

    Every path through L sites has a value of its own, where a value network makes
    them as products of weights: linear in `v` at fixed gates, and linear in each
    site's gates at fixed `v`. The tensor has `prod(widths) * units` entries.

    Args:
        units: int, number of outputs.
        use_bias: bool, whether to add a bias per output.
        kernel_initializer, bias_initializer: Keras initializers; the fan-in is the
            number of paths.

    Call arguments:
        inputs: list of the sites' gates, in their order, or the gates of one site.

    Input shape: L times (batch, width_l).
    Output shape: (batch, units).

    Raises:
        ValueError: `units` below 1, or gates that are no vectors.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> gates = [keras.ops.ones((2, 3)), keras.ops.ones((2, 4))]
        >>> layer = dk.layers.ValueTensor(5)
        >>> layer(gates).shape == (2, 5), tuple(layer.path_values.shape)
        (True, (3, 4, 5))

    Reference: "Deep Networks Learn Features From Local Discontinuities in the Label
    Function", ICLR 2025 (DLGN-VT).
    """

    def __init__(
        self,
        units: int,
        use_bias: bool = False,
        kernel_initializer: Any = "he_normal",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ) -> None:
        check_count("units", units)
        super().__init__(**kwargs)
        self.units = units
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)

    def build(self, input_shape: Any) -> None:
        widths = [shape[-1] for shape in _as_list(input_shape)]
        if any(len(shape) != 2 for shape in _as_list(input_shape)):
            raise ValueError(
                "`inputs` must be gates of shape (batch, width), one tensor per site. "
                f"Received: shapes {input_shape}."
            )
        self.path_values = self.add_weight(
            shape=(*widths, self.units),
            initializer=self.kernel_initializer,
            name="path_values",
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=(self.units,), initializer=self.bias_initializer, name="bias"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        gates = list(inputs) if isinstance(inputs, list | tuple) else [inputs]
        # Half of the sites on either side of one matrix product: no step is larger
        # than the square root of the number of paths, times the batch.
        middle = (len(gates) + 1) // 2
        first, second = _products(gates[:middle]), _products(gates[middle:])
        rows = first.shape[-1]
        matrix = ops.reshape(ops.convert_to_tensor(self.path_values), (rows, -1))
        outputs = ops.matmul(first, matrix)
        if second is not None:
            columns = second.shape[-1]
            outputs = ops.reshape(outputs, (-1, columns, self.units))
            outputs = ops.sum(outputs * ops.expand_dims(second, -1), axis=1)
        return outputs if self.bias is None else outputs + self.bias

    def compute_output_shape(self, input_shape: Any) -> tuple:
        return (_as_list(input_shape)[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "use_bias": self.use_bias,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


def _as_list(input_shape: Any) -> list[tuple]:
    several = input_shape and isinstance(input_shape[0], list | tuple)
    return [tuple(s) for s in (input_shape if several else [input_shape])]


def _products(gates: list) -> Any:
    """Return (batch, product of the widths): the activity of every partial path."""
    if not gates:
        return None
    product = gates[0]
    for gate in gates[1:]:
        width = product.shape[-1] * gate.shape[-1]
        pairs = ops.expand_dims(product, 2) * ops.expand_dims(gate, 1)
        product = ops.reshape(pairs, (-1, width))
    return product
