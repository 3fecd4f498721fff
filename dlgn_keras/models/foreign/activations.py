"""Recognise an activation function by its values, whatever its name and framework."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from dlgn_keras.layers import SMOOTH, SmoothGate

HEADS = ("softmax", "sigmoid", "log_softmax")
IDENTITY = "linear"
FAR = 1e5
SIZES = np.geomspace(1e-3, FAR, 65)
POINTS = np.unique([*-SIZES, *SIZES, *np.linspace(-8, 8, 129)]).astype("float32")
ROWS = np.random.default_rng(0).normal(size=(3, 5)).astype("float32")


class Piecewise(NamedTuple):
    """`offset + sign * relu(sign * (q - offset))`, with the numbers of Keras' ReLU.

    ReLU, ReLU6 and LeakyReLU have no offset. `clip(q, low, high)` has the offset
    `low` and the max_value `high - low`; `max(q, low)` has the offset `low`;
    `min(q, high)` has the offset `high` and the sign -1.
    """

    negative_slope: float = 0.0
    max_value: float | None = None
    threshold: float = 0.0
    offset: float = 0.0
    sign: float = 1.0

    @property
    def label(self) -> str:
        """A name for it, at the end of the name of the layer it is fused to."""
        if self.offset or self.sign != 1:
            return "clip"
        if self.negative_slope:
            return "leaky_relu"
        return "relu" if self.max_value is None else "relu6"

    def rectifier(self, **options: Any) -> keras.layers.ReLU:
        """Return the ReLU of the formula."""
        return keras.layers.ReLU(
            self.max_value, self.negative_slope, self.threshold, **options
        )

    def shifts(self, **options: Any) -> tuple:
        """Return the layers before and after the ReLU, or (None, None)."""
        if self.offset == 0 and self.sign == 1:
            return None, None
        before = keras.layers.Rescaling(self.sign, -self.sign * self.offset, **options)
        return before, keras.layers.Rescaling(self.sign, self.offset, **options)

    def __call__(self, q: np.ndarray) -> np.ndarray:
        x = self.sign * (q - self.offset)
        y = np.where(x > self.threshold, x, self.negative_slope * x)
        top = np.inf if self.max_value is None else self.max_value
        return self.offset + self.sign * np.minimum(y, top)


class Curve(NamedTuple):
    """An activation of the table of smooth ones, with the numbers that it takes."""

    function: str
    numbers: Any = None

    @property
    def label(self) -> str:
        """A name for it, at the end of the name of the layer it is fused to."""
        return self.function

    @property
    def limits(self) -> tuple[float, float] | None:
        """Between which numbers its values are, None for unbounded ones."""
        if self.function in ("sigmoid", "hard_sigmoid", "sparse_sigmoid"):
            return 0.0, 1.0
        return (-1.0, 1.0) if self.function in ("tanh", "softsign") else None

    def gate(self, **options: Any) -> SmoothGate:
        """Return the layer of its gates."""
        return SmoothGate(self.function, self.numbers, **options)

    def __call__(self, q: np.ndarray) -> np.ndarray:
        row, gate = SMOOTH[self.function], self.gate()
        values = row.rise(ops.convert_to_tensor(q), **gate.numbers)
        return np.asarray(ops.convert_to_numpy(values)) + gate.constant


def recognise(function: Callable) -> Piecewise | Curve | str | None:
    """Return what a function of one tensor is, judged by its values.

    Returns:
        a `Piecewise`, a `Curve`, "linear" for the identity, the name of a head
        ("softmax", "sigmoid", "log_softmax"), or None for any other function.
    """
    with warnings.catch_warnings(), keras.StatelessScope():
        warnings.simplefilter("ignore")
        try:
            values, fewer = (_values(function, x) for x in (POINTS, POINTS[::2]))
            rows = _values(function, ROWS)
        except Exception:  # the function is a user's: any error may come
            return None
        for name in HEADS:
            head = _values(getattr(keras.activations, name), ROWS)
            if rows.shape == head.shape and np.allclose(rows, head, 1e-5, 1e-6):
                return name
    if values.shape != POINTS.shape or not np.array_equal(
        values[::2], fewer, equal_nan=True
    ):
        return None  # not element by element
    if not np.isfinite(values).all():
        return _curve(values, ["exponential"])
    if np.allclose(values, POINTS, rtol=1e-6, atol=0):
        return IDENTITY
    found = _candidate(values)
    if found is not None:
        # An offset rounds; without one `relu(q) + 1e-6` must not pass for a ReLU.
        rounding = 1e-6 * abs(found.offset)
        if np.allclose(values, found(POINTS), rtol=1e-6, atol=rounding):
            return found
    return _curve(values, [name for name in SMOOTH if name != "exponential"])


def _curve(values: np.ndarray, names: list[str]) -> Curve | None:
    """Return the smooth activation of these names that has these values."""
    near = np.abs(POINTS) < 80
    # What roots of squares round; `softplus(q) + 1e-6` must not pass for softplus.
    close = 6e-7 + 4e-8 * np.abs(POINTS[near])
    rounding = 1e-5 + 1e-7 * np.abs(POINTS[~near])
    bottom, start = -float(values[0]), float(values[np.argmin(np.abs(POINTS))])
    for name in names:
        tried: list[dict] = [{}]
        if name in ("elu", "celu"):
            tried = [{"alpha": 1.0}, {"alpha": float(f"{bottom:.6g}")}]
        elif name == "gelu":
            tried = [{"approximate": False}, {"approximate": True}]
        elif name == "squareplus":
            tried = [{"b": float(f"{4 * start**2:.6g}")}]
        for numbers in tried:
            if name in ("elu", "celu") and not numbers["alpha"] > 0:
                continue
            found = Curve(name, {**SMOOTH[name].numbers, **numbers})
            with np.errstate(all="ignore"):
                ours = found(POINTS)
            if np.allclose(ours[near], values[near], rtol=2e-6, atol=close):
                if np.allclose(ours[~near], values[~near], rtol=1e-5, atol=rounding):
                    return found
    return None


def _values(function: Callable, x: np.ndarray) -> np.ndarray:
    """Return the function's values at x; points are the entries of one example."""
    y = function(ops.convert_to_tensor(x[None] if x.ndim == 1 else x))
    y = np.asarray(ops.convert_to_numpy(ops.cast(y, "float32")))
    return y[0] if x.ndim == 1 else y


def _candidate(values: np.ndarray) -> Piecewise | None:
    """Return the one piecewise function that has these values far from 0."""
    low, high = (float(f"{v:.7g}") for v in (values[0], values[-1]))
    flat = values[0] == values[1]
    top = high if values[-1] == values[-2] else None
    if flat:
        if top == low:  # constant
            return None
        if low == 0:
            return Piecewise(max_value=top)
        width = None if top is None else top - low
        return Piecewise(offset=low, max_value=width)
    slope = float(f"{-low / FAR:.7g}")
    if slope == 1 and top is not None:
        return Piecewise(offset=top, sign=-1.0)
    bends = slope > 0 and not (slope == 1 and top is None)
    return Piecewise(negative_slope=slope, max_value=top) if bends else None
