"""Max pooling in two halves: selection gates, and a pooling that follows them."""

import math
from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras import gates
from dlgn_keras.skeletons.window import Window
from dlgn_keras.tools.messages import check_choice


class _Windows(keras.layers.Layer):
    """Base of both halves: the windows of a pooling, one entry at a time.

    `pool_size=None` makes one window of the whole image.
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        **kwargs: Any,
    ) -> None:
        check_choice("padding", padding, ("valid", "same"))
        super().__init__(**kwargs)
        self.pool_size = pool_size
        self.strides = strides
        self.padding = padding
        self.data_format = keras.config.image_data_format()
        if data_format is not None:
            self.data_format = data_format

    def axes(self, rank: int) -> list[int]:
        """Return the image axes of a tensor of this rank."""
        first = self.data_format == "channels_first"
        return list(range(2, rank) if first else range(1, rank - 1))

    def cuts(self, sizes: list[int]) -> list[tuple[Window, tuple[int, int], int]]:
        """Return (window, padding, number of windows) of each image axis."""
        pool = _each(self.pool_size, len(sizes))
        strides = pool if self.strides is None else _each(self.strides, len(sizes))
        found = []
        for size, k, s in zip(sizes, pool, strides, strict=True):
            window = Window(k, s, self.padding)
            found.append((window, window.pads(size), window.out_length(size)))
        return found

    def entries(self, x: Any, fill: float) -> list:
        """Return the entries at every place of the window, each (n, *pooled)."""
        axes = self.axes(x.ndim)
        cuts = self.cuts([x.shape[axis] for axis in axes])
        pads = [(0, 0)] * x.ndim
        for axis, (_, around, _) in zip(axes, cuts, strict=True):
            pads[axis] = around
        if any(map(any, pads)):
            x = ops.pad(x, pads, constant_values=fill)
        found = []
        for place in np.ndindex(*(window.size for window, _, _ in cuts)):
            slices: list[Any] = [slice(None)] * x.ndim
            for axis, first, (window, _, count) in zip(axes, place, cuts, strict=True):
                stop = first + window.strides * (count - 1) + 1
                slices[axis] = slice(first, stop, window.strides)
            found.append(x[tuple(slices)])
        return found

    def pooled_shape(self, shape: tuple) -> tuple:
        """Return the shape of the pooled image; a whole image loses its axes."""
        axes = self.axes(len(shape))
        if self.pool_size is None:
            return tuple(n for k, n in enumerate(shape) if k not in axes)
        counts = [count for *_, count in self.cuts([shape[axis] for axis in axes])]
        pooled = list(shape)
        for axis, count in zip(axes, counts, strict=True):
            pooled[axis] = count
        return tuple(pooled)

    def whole(self, x: Any) -> Any:
        """Return the image as (n, channels, positions)."""
        if self.data_format != "channels_first":
            x = ops.moveaxis(x, -1, 1)
        return ops.reshape(x, (-1, x.shape[1], math.prod(x.shape[2:])))

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "pool_size": self.pool_size,
            "strides": self.strides,
            "padding": self.padding,
            "data_format": self.data_format,
        }


def _first_largest(places: Any) -> Any:
    """Return 1 at the first largest entry of the last axis, 0 elsewhere.

    Not by comparing with the maximum where XLA compiles: it may compute both anew,
    each with its own rounding, and then no entry is equal. Not by argmax on
    TensorFlow, which Keras makes of operations that ONNX lacks.
    """
    backend = keras.backend.backend()
    if backend == "torch":  # whose top_k takes any of equals
        largest = places == ops.max(places, axis=-1, keepdims=True)
        hit = ops.cast(largest, places.dtype)
        return hit * ops.cast(ops.cumsum(hit, axis=-1) == 1, places.dtype)
    if backend == "jax":
        at = ops.expand_dims(ops.argmax(places, axis=-1), -1)
    else:
        at = ops.top_k(places, 1)[1]
    numbers = ops.arange(places.shape[-1], dtype="int32")
    return ops.cast(ops.cast(at, "int32") == numbers, places.dtype)


@keras.saving.register_keras_serializable(package="dlgn_keras")
class SelectionGate(_Windows):
    """Compute selection gates: the entry of each window that a max pooling takes.

    Hard: 1 for the window's first largest entry, 0 for the others. Soft:
    `softmax(beta * q)` over the window. Straight-through: hard forward, soft
    backward. `SelectedPooling` follows these gates: with hard gates made of z itself
    it is max pooling.

    Args:
        pool_size: int or one per axis; None for one window of the whole image
            (global max pooling).
        strides: int or one per axis; `pool_size` if None.
        padding: "valid" or "same".
        data_format: "channels_last" or "channels_first"; Keras' setting if None.
        mode, beta: as in `LinearGate`.

    Input shape: (batch, *image axes, channels), or channels first.
    Output shape: that of the pooled image, and the places of the window last; for the
        whole image (batch, channels, positions).

    Example:
        >>> import keras, dlgn_keras as dk
        >>> x = keras.ops.reshape(keras.ops.array([1.0, 5.0, 4.0, 2.0]), (1, 4, 1))
        >>> gate = dk.layers.SelectionGate(2, data_format="channels_last")
        >>> keras.ops.convert_to_numpy(gate(x))[0, :, 0].tolist()
        [[0.0, 1.0], [1.0, 0.0]]
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        mode: str = "hard",
        beta: float = 4.0,
        **kwargs: Any,
    ) -> None:
        gates.check(mode, beta)
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.mode = mode
        self.beta = beta

    def call(self, inputs: Any) -> Any:
        return self.gates(inputs, self.mode)

    def gates(self, q: Any, mode: str, beta: float | None = None) -> Any:
        """Return the gates of `q` in another mode, or slope, than the layer's own."""
        beta = beta or self.beta
        q = ops.convert_to_tensor(q)
        if self.pool_size is None:
            places = self.whole(q)
        else:
            places = ops.stack(self.entries(q, -math.inf), axis=-1)
        if places.shape[-1] == 1:  # nothing to choose, and no softmax to ask
            return ops.ones_like(places)
        if mode == "soft":
            return ops.softmax(beta * places, axis=-1)
        hard = _first_largest(places)
        if mode == "hard":
            return hard
        soft = ops.softmax(beta * places, axis=-1)
        return soft + ops.stop_gradient(hard - soft)

    def compute_output_shape(self, input_shape: Any) -> tuple:
        axes = self.axes(len(input_shape))
        sizes = [input_shape[axis] for axis in axes]
        window = sizes if self.pool_size is None else _each(self.pool_size, len(axes))
        return (*self.pooled_shape(tuple(input_shape)), math.prod(window))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "mode": self.mode, "beta": self.beta}


@keras.saving.register_keras_serializable(package="dlgn_keras")
class SelectedPooling(_Windows):
    """Pool by given selection gates: `sum over the window of z * gate`, linear in z.

    Args:
        pool_size, strides, padding, data_format: as in `SelectionGate`.
        keepdims: for the whole image, whether its axes stay, as 1.

    Call arguments: [z, selection gates of a `SelectionGate` with equal arguments].

    Example:
        >>> import keras, dlgn_keras as dk
        >>> z = keras.random.normal((3, 7, 7, 2))
        >>> options = {"pool_size": 3, "strides": 2, "data_format": "channels_last"}
        >>> gate = dk.layers.SelectionGate(**options)(z)
        >>> pooled = dk.layers.SelectedPooling(**options)([z, gate])
        >>> expected = keras.ops.max_pool(z, 3, 2, data_format="channels_last")
        >>> bool(keras.ops.all(pooled == expected))
        True
    """

    def __init__(
        self,
        pool_size: Any = 2,
        strides: Any = None,
        padding: str = "valid",
        data_format: str | None = None,
        keepdims: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(pool_size, strides, padding, data_format, **kwargs)
        self.keepdims = keepdims

    def call(self, inputs: Any) -> Any:
        z, selection = inputs
        if self.pool_size is not None:
            entries = self.entries(z, 0.0)
            return sum(e * selection[..., k] for k, e in enumerate(entries))
        pooled = ops.sum(self.whole(z) * selection, axis=-1)
        if self.keepdims:
            pooled = ops.expand_dims(pooled, self.axes(z.ndim))
        return pooled

    def compute_output_shape(self, input_shape: Any) -> tuple:
        shape = tuple(input_shape[0])
        if self.pool_size is None and self.keepdims:
            axes = self.axes(len(shape))
            return tuple(1 if k in axes else n for k, n in enumerate(shape))
        return self.pooled_shape(shape)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "keepdims": self.keepdims}


def _each(value: Any, rank: int) -> tuple[int, ...]:
    return (value,) * rank if isinstance(value, int) else tuple(value)
