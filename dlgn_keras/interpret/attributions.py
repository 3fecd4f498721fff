"""Other people's attributions, to measure ours against on the same models.

All return (n, *input_shape) for raw inputs, so that "zero" means what it means to
the network: the raw value that preprocessing maps to 0 is the baseline of all.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlgn_keras.interpret.dual import explain
from dlgn_keras.interpret.gradients import input_gradients
from dlgn_keras.models import GatedModel

Attribution = Callable[[GatedModel, np.ndarray, np.ndarray], np.ndarray]


def baseline(net: GatedModel) -> np.ndarray:
    """Return the raw input (*input_shape) that the network sees as all zeros."""
    shape = tuple(net.input_shape[1:])
    if net.preprocessing is None:
        return np.zeros(shape, "float32")
    scale = np.asarray(net.preprocessing.scale, np.float64)
    zero = -np.asarray(net.preprocessing.offset) / np.where(scale == 0, 1, scale)
    return np.broadcast_to(zero, shape).astype("float32")


def contributions(net: GatedModel, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Ours: `A(x) z`, see `explain`."""
    return explain(net, x, target).contributions


def gradient(net: GatedModel, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`|d logit / d x|`. Reference: Simonyan et al., arXiv 1312.6034."""
    return np.abs(input_gradients(net, x, target))


def input_x_gradient(net: GatedModel, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """`(x - baseline) * d logit / d x`.

    Reference: Shrikumar et al., arXiv 1605.01713.
    """
    return (x - baseline(net)) * input_gradients(net, x, target)


def integrated_gradients(
    net: GatedModel, x: np.ndarray, target: np.ndarray, steps: int = 16
) -> np.ndarray:
    """`(x - baseline)` times the mean gradient on the line between, at midpoints.

    Reference: Sundararajan et al., arXiv 1703.01365.
    """
    zero = baseline(net)
    total = np.zeros(np.shape(x), np.float64)
    for k in range(steps):
        total += input_gradients(net, zero + (k + 0.5) / steps * (x - zero), target)
    return ((x - zero) * total / steps).astype("float32")


def occlusion(
    net: GatedModel, x: np.ndarray, target: np.ndarray, size: int = 4
) -> np.ndarray:
    """What the logit loses when a square of `size` pixels becomes the baseline.

    Squares lie side by side; each loss is spread evenly over its entries.
    Reference: Zeiler and Fergus, arXiv 1311.2901.
    """
    predict: Any = net.predict
    zero, rows = baseline(net), np.arange(len(x))
    axes = x.shape[1:-1] or x.shape[1:]
    whole = predict(x, verbose=0)[rows, target]
    found = np.zeros(x.shape, "float32")
    for start in np.ndindex(*(-(-n // size) for n in axes)):
        place = tuple(slice(k * size, (k + 1) * size) for k in start)
        covered = x.copy()
        covered[(slice(None), *place)] = zero[place]
        loss = whole - predict(covered, verbose=0)[rows, target]
        entries = found[(slice(None), *place)]
        shares = loss / entries[0].size
        entries += shares.reshape(-1, *(1 for _ in x.shape[1:]))
    return found


METHODS: dict[str, Attribution] = {
    "contributions": contributions,
    "gradient": gradient,
    "input x gradient": input_x_gradient,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
}
