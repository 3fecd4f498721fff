"""LinearGate: from pre-activations to gates."""

from typing import Any

import keras

from dlgn_keras import gates


@keras.saving.register_keras_serializable(package="dlgn_keras")
class LinearGate(keras.layers.Layer):
    """Turn pre-activations into gates, element by element.

    `gate = scale * 1{q > 0}` (hard) or `scale * sigmoid(beta * q)` (soft). The
    straight-through mode is hard forward and soft backward. A hard gate sends
    no gradient to the network that made `q`.

    Args:
        beta: float above 0, slope of the soft gate per unit of pre-activation.
        mode: "soft", "hard" or "straight_through".
        scale: float above 0, factor on the gate (1.1 in the code of P0).

    Input shape: any, floats.
    Output shape: the input's.

    Raises:
        ValueError: an unknown mode, or `beta` or `scale` not above 0.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> gate = dk.layers.LinearGate(mode="hard")
        >>> keras.ops.convert_to_numpy(gate(keras.ops.array([[-2.0, 3.0]]))).tolist()
        [[0.0, 1.0]]

    Reference: arXiv 2110.03403, section 2; P0 = arXiv 2006.10529, section 2.
    """

    def __init__(
        self,
        beta: float = 4.0,
        mode: str = "soft",
        scale: float = 1.0,
        **kwargs: Any,
    ) -> None:
        gates.check(mode, beta, scale)
        super().__init__(**kwargs)
        self.beta = beta
        self.mode = mode
        self.scale = scale
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.gates(inputs, self.mode)

    def gates(self, q: Any, mode: str) -> Any:
        """Return what `call` returns, for a mode of the caller's."""
        return gates.apply(q, mode, self.beta, self.scale)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "beta": self.beta, "mode": self.mode, "scale": self.scale}
