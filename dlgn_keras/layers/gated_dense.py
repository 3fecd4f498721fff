"""GatedDense: a dense layer whose units are switched by gates from outside."""

from typing import Any

import keras

from dlgn_keras.layers.gated import Gated
from dlgn_keras.tools.messages import check_count


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedDense(Gated):
    """Compute `gate * batch_norm(W z + b)`.

    At fixed gates the layer is affine in `z`: the value network's (dual)
    linearity. Called on `z` alone every unit is on, and the pre-activation
    itself comes out: what a gating network records.

    Args:
        units: int, width of the output.
        use_bias: bool, whether to add `b`.
        batch_norm: bool, whether to normalise before the gate.
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
