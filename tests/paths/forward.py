"""A forward pass that knows nothing of paths."""

import math

import numpy as np

from dlgn_keras.paths import (
    Conv,
    Dense,
    Flatten,
    Gate,
    GlobalPool,
    MaxPool,
    Residual,
    Scale,
)


def padded(image, size, strides, padding, **mode):
    if padding == "valid":
        return image
    amounts = []
    for n, k, s in zip(image.shape, size, strides, strict=False):
        total = max((math.ceil(n / s) - 1) * s + k - n, 0)
        amounts.append((total // 2, total - total // 2))
    amounts += [(0, 0)] * (image.ndim - len(amounts))
    if padding == "circular":
        return np.pad(image, amounts, mode="wrap")
    return np.pad(image, amounts, constant_values=mode.get("fill", 0))


def windows(image, size, strides, padding, **mode):
    """{position: window of the padded image}, and the number of positions by axis."""
    rank = len(size)
    image = padded(image, size, strides, padding, **mode)
    shape = [
        (image.shape[axis] - size[axis]) // strides[axis] + 1 for axis in range(rank)
    ]
    cuts = {}
    for position in np.ndindex(*shape):
        starts = [i * s for i, s in zip(position, strides, strict=True)]
        cut = tuple(slice(a, a + k) for a, k in zip(starts, size, strict=True))
        cuts[position] = image[cut]
    return cuts, tuple(shape)


def geometry(stage, rank):
    def each(value):
        return (value,) * rank if isinstance(value, int) else value

    size = np.shape(stage.kernel)[:-2] if isinstance(stage, Conv) else each(stage.size)
    return size, each(stage.strides) if stage.strides else size, stage.padding


def plain(conv):
    """The convolution with zeros between dilated entries and between groups."""
    *size, inputs, outputs = np.shape(conv.kernel)
    apart, units = conv.dilation, outputs // conv.groups
    spans = [(k - 1) * apart + 1 for k in size]
    kernel = np.zeros((*spans, inputs * conv.groups, outputs))
    for unit in range(outputs):
        first = unit // units * inputs
        places = tuple(slice(None, None, apart) for _ in size)
        kernel[(*places, slice(first, first + inputs), unit)] = conv.kernel[..., unit]
    return Conv(kernel, conv.bias, conv.strides, conv.padding)


def forward(network, x, gates=None):
    """Output and gates used: the given ones, else the ReLUs' and maxima's own."""
    given, used = None if gates is None else iter(gates), []

    def run(stages, x):
        for stage in stages:
            if isinstance(stage, Residual):
                x = run(stage.body, x) + run(stage.shortcut, x)  # body's gates first
            elif isinstance(stage, Dense):
                x = x @ stage.kernel
            elif isinstance(stage, Scale):
                x = x * stage.scale
                x = x if stage.offset is None else x + stage.offset
            elif isinstance(stage, Gate):
                used.append((x > 0) * 1.0 if given is None else next(given))
                x = x * used[-1]
            elif isinstance(stage, Flatten):
                x = x.reshape(-1)
            elif isinstance(stage, GlobalPool):
                x = x.mean(axis=tuple(range(x.ndim - 1)))
            else:
                x = windowed(stage, x)
            if getattr(stage, "bias", None) is not None:
                x = x + stage.bias
        return x

    def windowed(stage, x):
        stage = plain(stage) if isinstance(stage, Conv) else stage
        fill = 0 if isinstance(stage, Conv) else np.nan
        cuts, shape = windows(x, *geometry(stage, x.ndim - 1), fill=fill)
        rows = {p: cut.reshape(-1, x.shape[-1]) for p, cut in cuts.items()}
        if isinstance(stage, Conv):
            kernel = stage.kernel.reshape(-1, x.shape[-1], stage.kernel.shape[-1])
            values = [np.einsum("jc,jck->k", row, kernel) for row in rows.values()]
        elif isinstance(stage, MaxPool):
            best = [np.nanargmax(row, axis=0) for row in rows.values()]
            hot = np.eye(math.prod(geometry(stage, x.ndim - 1)[0]))[np.array(best)]
            hot = hot.reshape(*shape, *hot.shape[1:])
            used.append(hot if given is None else next(given))
            values = [np.nansum(row.T * used[-1][p], axis=1) for p, row in rows.items()]
        else:
            values = [np.nanmean(row, axis=0) for row in rows.values()]
        return np.array(values).reshape(*shape, -1)

    return run(network, np.asarray(x, dtype=float)), used
