"""ChannelRescaling: from raw values to the inputs of a network."""

from typing import Any

import keras
import numpy as np
from keras import ops


@keras.saving.register_keras_serializable(package="dlgn_keras")
class ChannelRescaling(keras.layers.Layer):
    """Compute `raw * scale + offset`, channels on the last axis.

    `keras.layers.Rescaling` takes numbers per channel along another axis where
    Keras' image format is set to channels-first; this layer never does.

    Args:
        scale: number, or one number per channel, per raw unit.
        offset: number, or one number per channel, in units of the output.

    Input shape: (batch, ..., channels).
    Output shape: the input's.

    Raises:
        ValueError: numbers per channel, and inputs of another number of channels.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> layer = dk.layers.ChannelRescaling(scale=[1.0, 0.5], offset=1.0)
        >>> keras.ops.convert_to_numpy(layer(keras.ops.array([[2.0, 4.0]]))).tolist()
        [[3.0, 3.0]]
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale = np.asarray(scale, "float64").tolist()
        self.offset = np.asarray(offset, "float64").tolist()
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        for name, numbers in (("scale", self.scale), ("offset", self.offset)):
            if isinstance(numbers, list) and len(numbers) != input_shape[-1]:
                raise ValueError(
                    f"`{name}` must be one number, or one for each of the "
                    f"{input_shape[-1]} channels. Received: {name}={numbers!r}."
                )
        self.built = True

    def call(self, inputs: Any) -> Any:
        dtype = self.compute_dtype
        scaled = inputs * ops.convert_to_tensor(self.scale, dtype)
        return scaled + ops.convert_to_tensor(self.offset, dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "offset": self.offset}
