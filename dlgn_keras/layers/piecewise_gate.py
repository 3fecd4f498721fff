"""PiecewiseGate: the gates of ReLU's relatives, from ReLU6 to PReLU."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras import gates


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

    def gates(self, q: Any, mode: str) -> Any:
        """Return what `call` returns, for a mode of the caller's."""
        on = gates.apply(q - self.threshold, mode, self.beta)
        slope: Any = self.negative_slope
        if self.slope is not None:
            slope = ops.cast(self.slope, on.dtype)
        elif slope == 0.0:
            slope = None
        gate = on if slope is None else slope + (1 - slope) * on
        if self.max_value is None:
            return gate
        saturated = gates.apply(q - self.max_value, mode, self.beta)
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
    """Return in one line why no gates can stand for these numbers, or None."""
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
