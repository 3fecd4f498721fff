"""AppliedGate: what comes out of a site, given its gates."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="dlgn_keras")
class AppliedGate(keras.layers.Layer):
    """Compute `z * gate`, or `z * gate + max_value * saturated`.

    The other half of `LinearGate` and `PiecewiseGate`: with their hard gates of `z`
    itself it is the activation they stand for.

    Args:
        max_value: float, where the activation saturates; None for never.

    Call arguments:
        inputs: `[z, gate]`; `[z, gate, saturated]` with a max_value.

    Input shape: two or three tensors of one shape.
    Output shape: that shape.

    Raises:
        ValueError: another number of tensors.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> z = keras.ops.array([[-2.0, 3.0, 8.0]])
        >>> gates = dk.layers.PiecewiseGate(max_value=6.0)(z)
        >>> relu6 = dk.layers.AppliedGate(max_value=6.0)([z, *gates])
        >>> keras.ops.convert_to_numpy(relu6).tolist()
        [[0.0, 3.0, 6.0]]

    Reference: arXiv 2006.10529, section 2, for the ReLU; the rest is ours.
    """

    def __init__(self, max_value: float | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.max_value = max_value

    def build(self, input_shape: Any) -> None:
        expected = 2 if self.max_value is None else 3
        if len(input_shape) != expected:
            names = ("z", "gate", "saturated")[:expected]
            raise ValueError(
                f"`inputs` must be [{', '.join(names)}] with "
                f"max_value={self.max_value!r}. Received: {len(input_shape)} tensors."
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        z, gate, *saturated = inputs
        out = ops.multiply(z, gate)
        return out + self.max_value * saturated[0] if saturated else out

    def compute_output_shape(self, input_shape: Any) -> tuple:
        z_shape, gate_shape, *_ = input_shape
        return (gate_shape[0], *z_shape[1:])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "max_value": self.max_value}
