"""GatedConv1D and GatedConv2D: convolutions gated from outside."""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.layers.gated import Affine, Gated
from dlgn_keras.skeletons.stages import PADDINGS
from dlgn_keras.skeletons.window import Window
from dlgn_keras.tools.messages import check_choice, check_count


class GatedConv(Gated):
    """Base of GatedConv1D and GatedConv2D: `gate * batch_norm(kernel * z + b)`."""

    rank = 0
    convolution: type[keras.layers.Layer]

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "same",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        groups: int = 1,
        **kwargs: Any,
    ) -> None:
        check_count("filters", filters)
        check_choice("padding", padding, PADDINGS)
        if filters % check_count("groups", groups):
            raise ValueError(
                "`groups` must divide `filters`. "
                f"Received: groups={groups}, filters={filters}."
            )
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = self._per_axis("kernel_size", kernel_size)
        self.strides = self._per_axis("strides", strides)
        self.dilation_rate = self._per_axis("dilation_rate", dilation_rate)
        if max(self.strides) > 1 and max(self.dilation_rate) > 1:
            raise ValueError(
                "`dilation_rate` must be 1 where strides are above 1. Received: "
                f"dilation_rate={dilation_rate!r}, strides={strides!r}."
            )
        self.groups = groups
        self.padding = padding
        self.data_format = keras.config.image_data_format()
        if data_format is not None:
            formats = ("channels_first", "channels_last")
            check_choice("data_format", data_format, formats)
            self.data_format = data_format

    def _per_axis(self, name: str, value: Any) -> tuple[int, ...]:
        values = (value,) * self.rank if isinstance(value, int) else value
        if not isinstance(values, list | tuple) or len(values) != self.rank:
            raise ValueError(
                f"`{name}` must be one number or {self.rank} numbers. "
                f"Received: {name}={value!r}."
            )
        return tuple(check_count(name, v) for v in values)

    @property
    def channel_axis(self) -> int:
        return 1 if self.data_format == "channels_first" else -1

    def _spatial(self, shape: tuple) -> tuple:
        return shape[2:] if self.data_format == "channels_first" else shape[1:-1]

    @property
    def _pointwise(self) -> bool:
        return set(self.kernel_size) == {1}

    def make_affine(self, options: dict[str, Any]) -> keras.layers.Layer:
        return self.convolution(
            self.filters,
            self.kernel_size,
            strides=1 if self._pointwise else self.strides,
            padding="valid" if self.padding == "circular" else self.padding,
            data_format="channels_last",
            dilation_rate=self.dilation_rate,
            groups=self.groups,
            **options,
        )

    # The convolution itself always runs channels-last: on TensorFlow Keras adds a
    # channels-first bias along the width where that equals `filters`.
    def affine_shape(self, z_shape: tuple) -> tuple:
        if self.data_format == "channels_first":
            return (z_shape[0], *z_shape[2:], z_shape[1])
        return z_shape

    def apply_affine(self, z: Any) -> Any:
        first = self.data_format == "channels_first"
        z = ops.moveaxis(z, 1, -1) if first else z
        if self._pointwise:
            # Skip here what strides skip: with few channels, oneDNN's strided
            # convolution writes past its buffers in the backward pass (its issue
            # 6035), and torch on a CPU crashes or returns wrong gradients.
            z = z[(slice(None), *(slice(None, None, s) for s in self.strides))]
        q = self.affine(self._wrap(z) if self.padding == "circular" else z)
        return ops.moveaxis(q, -1, 1) if first else q

    def _windows(self) -> list[Window]:
        axes = zip(self.kernel_size, self.strides, self.dilation_rate, strict=True)
        return [Window(size, s, self.padding, apart) for size, s, apart in axes]

    def _wrap(self, z: Any) -> Any:
        for axis, window in enumerate(self._windows(), start=1):
            size = z.shape[axis]
            before, after = window.pads(size)
            pieces = [z]
            if before:
                pieces.insert(0, ops.take(z, range(size - before, size), axis=axis))
            if after:
                pieces.append(ops.take(z, range(after), axis=axis))
            if len(pieces) > 1:
                z = ops.concatenate(pieces, axis=axis)
        return z

    def unit_shape(self, z_shape: tuple) -> tuple:
        if len(z_shape) != self.rank + 2:
            raise ValueError(
                f"{type(self).__name__} needs inputs of rank {self.rank + 2} "
                f"({self.data_format}). Received: shape {z_shape}."
            )
        sizes = []
        for window, size in zip(self._windows(), self._spatial(z_shape), strict=True):
            if size is None and self.padding != "circular":
                sizes.append(None)
                continue
            if size is None or not window.fits(size):
                raise ValueError(
                    f"With padding={self.padding!r}, images must have a known size of "
                    f"at least the kernel's, {self.kernel_size}. "
                    f"Received: inputs of shape {z_shape}."
                )
            sizes.append(window.out_length(size))
        if self.data_format == "channels_first":
            return (z_shape[0], self.filters, *sizes)
        return (z_shape[0], *sizes, self.filters)

    def parameters_at_inference(self) -> Affine:
        """Return the layer's numbers; between groups the kernel holds zeros."""
        found = super().parameters_at_inference()
        if self.groups == 1:
            return found
        *window, inputs, filters = found.kernel.shape
        units = filters // self.groups
        kernel = np.zeros((*window, inputs * self.groups, filters))
        for group in range(self.groups):
            columns = slice(group * units, (group + 1) * units)
            rows = slice(group * inputs, (group + 1) * inputs)
            kernel[..., rows, columns] = found.kernel[..., columns]
        return found._replace(kernel=kernel)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }


_ARGUMENTS = """
    Args:
        filters: int, number of output channels.
        kernel_size, strides: int, or one int per axis.
        padding: "same", "valid" (as Keras means them) or "circular" (the image
            wraps around by the amounts "same" would pad with zeros).
        data_format: "channels_last" or "channels_first"; Keras' setting if None.
        dilation_rate: int, or one int per axis: distance between the entries of a
            window; with strides 1 only.
        groups: int, number of groups of channels, each convolved apart.
        use_bias: bool, whether to add `b`.
        batch_norm: bool, whether to normalise each channel before the gate; "scale"
            does so without centring and offset (`ScaleNorm`).
        kernel_initializer, bias_initializer, kernel_regularizer: as in Keras.

    Call arguments:
        inputs: `[z, gate]`, or `z` alone (every unit on).
        training: bool, whether batch norm uses the batch's statistics.
"""


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedConv1D(GatedConv):
    __doc__ = f"""Compute `gate * batch_norm(kernel * z + b)` over sequences.
{_ARGUMENTS}
    Input shape: z (batch, steps, channels), or (batch, channels, steps).
    Output shape: (batch, new_steps, filters), or (batch, filters, new_steps).

    Raises:
        ValueError: bad sizes or names, or a gate of another shape than the output.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> layer = dk.layers.GatedConv1D(4, 3, data_format="channels_last")
        >>> tuple(layer(keras.ops.ones((2, 7, 3))).shape)
        (2, 7, 4)

    Reference: arXiv 2110.03403, section 4 (convolution, circular padding).
    """

    rank = 1
    convolution = keras.layers.Conv1D


@keras.saving.register_keras_serializable(package="dlgn_keras")
class GatedConv2D(GatedConv):
    __doc__ = f"""Compute `gate * batch_norm(kernel * z + b)` over images.
{_ARGUMENTS}
    Input shape: z (batch, height, width, channels), or channels first.
    Output shape: (batch, new_height, new_width, filters), or channels first.

    Raises:
        ValueError: bad sizes or names, or a gate of another shape than the output.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> z, gate = keras.ops.ones((2, 6, 6, 3)), keras.ops.ones((2, 3, 3, 4))
        >>> layer = dk.layers.GatedConv2D(
        ...     4, 3, strides=2, padding="circular", data_format="channels_last")
        >>> tuple(layer([z, gate]).shape)
        (2, 3, 3, 4)

    Reference: arXiv 2110.03403, section 4 (convolution, circular padding).
    """

    rank = 2
    convolution = keras.layers.Conv2D
