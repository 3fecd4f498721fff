"""ScaleNorm: batch norm without centring and without an offset, so that 0 stays 0."""

from typing import Any

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="dlgn_keras")
class ScaleNorm(keras.layers.Layer):
    """Compute `gamma * z / sqrt(mean of z^2 + epsilon)`, channel by channel.

    It normalises as batch norm does and adds nothing: at inference it is linear, and a
    value network of such layers without biases has no paths but those from the input.

    Args:
        axis: of the channels.
        momentum: of the moving average of squares.
        epsilon: added to the mean square.

    Input shape: (batch, ..., channels), or the channels on `axis`.
    Output shape: the input's.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> layer = dk.layers.ScaleNorm(epsilon=0.0)
        >>> found = layer(keras.ops.array([[3.0], [-4.0], [0.0]]), training=True)
        >>> [round(float(v[0]), 3) for v in keras.ops.convert_to_numpy(found)]
        [1.039, -1.386, 0.0]

    Reference: arXiv 2110.03403, section 2, whose theory has no biases; the layer is
        ours.
    """

    def __init__(
        self,
        axis: int = -1,
        momentum: float = 0.9,
        epsilon: float = 1e-5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.axis = axis
        self.momentum = momentum
        self.epsilon = epsilon

    def build(self, input_shape: Any) -> None:
        shape = (input_shape[self.axis],)
        self.gamma = self.add_weight(shape=shape, initializer="ones", name="gamma")
        # About 0, not about the mean. Keras' name, for what reads either norm.
        self.moving_variance = self.add_weight(
            shape=shape, initializer="ones", trainable=False, name="moving_variance"
        )
        self.built = True

    def call(self, inputs: Any, training: bool | None = None) -> Any:
        z = ops.cast(inputs, "float32")
        channels = self.axis % z.ndim
        squares = self.moving_variance
        if training and self.trainable:
            squares = ops.mean(
                ops.square(z), axis=[k for k in range(z.ndim) if k != channels]
            )
            kept = self.moving_variance * self.momentum
            self.moving_variance.assign(kept + squares * (1 - self.momentum))
        scale = self.gamma * ops.rsqrt(squares + self.epsilon)
        shape = [-1 if k == channels else 1 for k in range(z.ndim)]
        return ops.cast(z * ops.reshape(scale, shape), self.compute_dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
        }
