"""Gates at a site: made from pre-activations, and applied to values.

`LinearGate` makes the gates of a ReLU, `PiecewiseGate` those of its relatives from
ReLU6 to PReLU; `AppliedGate` multiplies by them.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

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

    def gates(self, q: Any, mode: str, beta: float | None = None) -> Any:
        """Return the gates of `q` in another mode, or slope, than the layer's own."""
        return gates.apply(q, mode, beta or self.beta, self.scale)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {**config, "beta": self.beta, "mode": self.mode, "scale": self.scale}


@keras.saving.register_keras_serializable(package="dlgn_keras")
class PiecewiseGate(keras.layers.Layer):
    """Turn pre-activations into the gates of a piecewise linear activation.

    Every such activation is `q * gate(q) + max_value * saturated(q)`, with
    `on = G(q - threshold)`, `saturated = G(q - max_value)` and
    `gate = slope + (1 - slope) * on - saturated`. G is the hard, soft or
    straight-through gate: with the hard one the formula is ReLU6, LeakyReLU or
    PReLU itself. The saturated part is no multiple of q: it starts paths of its
    own, as a bias does.

    Args:
        negative_slope: float from 0 to 1, slope below the threshold; the start of
            the slopes where they are learnt.
        max_value: float above the threshold where the activation saturates; None
            for never.
        threshold: float from 0, where the unit turns on; above 0 only with
            slope 0, since the activation is no multiple of q below it otherwise.
        slope_shape: shape of learnt slopes, broadcast to an example (PReLU); None
            for the fixed slope.
        mode, beta: as in `LinearGate`.

    Input shape: any, floats.
    Output shape: the input's; a list of two, [gate, saturated], with a max_value.

    Raises:
        ValueError: numbers out of range, or an unknown mode.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> gate = dk.layers.PiecewiseGate(max_value=6.0, mode="hard")
        >>> found = gate(keras.ops.array([[-2.0, 3.0, 8.0]]))
        >>> [keras.ops.convert_to_numpy(g).tolist() for g in found]
        [[[0.0, 1.0, 0.0]], [[0.0, 0.0, 1.0]]]

    Reference: arXiv 2006.10529, section 2, for the ReLU; the rest is ours.
    """

    def __init__(
        self,
        negative_slope: float = 0.0,
        max_value: float | None = None,
        threshold: float = 0.0,
        slope_shape: Any = None,
        mode: str = "hard",
        beta: float = 4.0,
        **kwargs: Any,
    ) -> None:
        gates.check(mode, beta)
        problem = piecewise_problem(negative_slope, max_value, threshold)
        if problem:
            raise ValueError(problem)
        super().__init__(**kwargs)
        self.negative_slope = negative_slope
        self.max_value = max_value
        self.threshold = threshold
        self.slope_shape = None if slope_shape is None else tuple(slope_shape)
        self.mode = mode
        self.beta = beta

    def build(self, input_shape: Any) -> None:
        self.slope = None
        if self.slope_shape is not None:
            start = keras.initializers.Constant(self.negative_slope)
            self.slope = self.add_weight(
                shape=self.slope_shape, initializer=start, name="slope"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        return self.gates(inputs, self.mode)

    def gates(self, q: Any, mode: str, beta: float | None = None) -> Any:
        """Return the gates of `q` in another mode, or slope, than the layer's own."""
        beta = beta or self.beta
        on = gates.apply(q - self.threshold, mode, beta)
        slope: Any = self.negative_slope
        if self.slope is not None:
            slope = ops.cast(self.slope, on.dtype)
        elif slope == 0.0:
            slope = None
        gate = on if slope is None else slope + (1 - slope) * on
        if self.max_value is None:
            return gate
        saturated = gates.apply(q - self.max_value, mode, beta)
        return [gate - saturated, saturated]

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape if self.max_value is None else [input_shape] * 2

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "negative_slope": self.negative_slope,
            "max_value": self.max_value,
            "threshold": self.threshold,
            "slope_shape": self.slope_shape,
            "mode": self.mode,
            "beta": self.beta,
        }


def piecewise_problem(
    negative_slope: float, max_value: float | None, threshold: float
) -> str | None:
    """Return why no gates can stand for these numbers, in one line, or None."""
    if not 0 <= negative_slope < np.inf:
        return (
            "`negative_slope` must be a finite number from 0. "
            f"Received: negative_slope={negative_slope!r}."
        )
    if not 0 <= threshold < np.inf or (threshold and negative_slope):
        return (
            "`threshold` must be 0, or above it with negative_slope 0. "
            f"Received: threshold={threshold!r}, negative_slope={negative_slope!r}."
        )
    if max_value is not None and not threshold < max_value < np.inf:
        return (
            "`max_value` must be a finite number above the threshold, or None. "
            f"Received: max_value={max_value!r}, threshold={threshold!r}."
        )
    return None


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
