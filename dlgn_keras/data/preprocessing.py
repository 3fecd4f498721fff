"""The affine map from raw inputs to network inputs, saved with a model."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class Preprocessing:
    """An affine map per channel, and the range of the raw values it was made for.

    network input = raw * scale + offset

    Args:
        scale: number, or one number per channel (last axis), per raw unit.
        offset: number, or one number per channel, in network-input units.
        raw_range: (lowest, highest) raw value to expect, such as (0, 255), or
            None where any value may come.

    Raises:
        ValueError: a number is not finite, the two lengths differ, or the range
            is not an increasing pair.

    Example:
        >>> from dlgn_keras.data import Preprocessing
        >>> Preprocessing(scale=1 / 16, raw_range=(0, 16)).apply([0, 8, 16]).tolist()
        [0.0, 0.5, 1.0]
    """

    scale: Numbers = 1.0
    offset: Numbers = 0.0
    raw_range: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", _numbers("scale", self.scale))
        object.__setattr__(self, "offset", _numbers("offset", self.offset))
        if (
            isinstance(self.scale, tuple)
            and isinstance(self.offset, tuple)
            and len(self.scale) != len(self.offset)
        ):
            raise ValueError(
                "`scale` and `offset` must have as many channels. Received: "
                f"scale={self.scale!r}, offset={self.offset!r}."
            )
        if self.raw_range is not None:
            limits = _numbers("raw_range", self.raw_range)
            if not isinstance(limits, tuple) or len(limits) != 2 or not _rises(limits):
                raise ValueError(
                    "`raw_range` must be None or a pair (lowest, highest). "
                    f"Received: raw_range={self.raw_range!r}."
                )
            object.__setattr__(self, "raw_range", limits)

    @classmethod
    def from_statistics(
        cls,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        max_value: float = 255.0,
    ) -> "Preprocessing":
        """Return the map to `(x / max_value - mean) / std`: mean 0, deviation 1.

        Args:
            mean: number or one per channel, of the values divided by `max_value`.
            std: number or one per channel, above 0, in the same units.
            max_value: highest raw value; the lowest is taken to be 0.

        Example:
            >>> from dlgn_keras.data import Preprocessing
            >>> Preprocessing.from_statistics(0.5, 0.25, max_value=16).scale
            0.25
        """
        means, stds = np.asarray(mean, np.float64), np.asarray(std, np.float64)
        if not (max_value > 0 and np.all(stds > 0)):
            raise ValueError(
                "`std` and `max_value` must be above 0. "
                f"Received: std={std!r}, max_value={max_value!r}."
            )
        scale, offset = 1 / (max_value * stds), -means / stds
        return cls(scale.tolist(), offset.tolist(), (0.0, float(max_value)))

    @property
    def is_identity(self) -> bool:
        """True if raw values pass unchanged."""
        scale, offset = np.asarray(self.scale), np.asarray(self.offset)
        return bool(np.all(scale == 1) and np.all(offset == 0))

    def apply(self, x: Any) -> np.ndarray:
        """Return `x * scale + offset` as float32, for users of NumPy alone."""
        scale = np.asarray(self.scale, np.float32)
        offset = np.asarray(self.offset, np.float32)
        return np.asarray(x, np.float32) * scale + offset

    def range_problem(self, x: Any) -> str | None:
        """Return one line if raw inputs do not lie in the expected range, else None.

        A common mistake is to divide images by 255 although the model does so
        itself: no value then exceeds 1, although `raw_range` goes far above.
        """
        x = np.asarray(x)
        if self.raw_range is None or x.size == 0:
            return None
        lowest, highest = self.raw_range
        low, high = float(x.min()), float(x.max())
        where = f"inputs lie in {low:g}..{high:g}, expected {lowest:g}..{highest:g}"
        if not (lowest <= low and high <= highest):
            return f"{where}."
        if highest > 2 and 0 < high <= 1:
            return f"{where}: give raw values, the model scales them itself."
        return None

    def scale_problem(self, x: np.ndarray) -> str | None:
        """Return `range_problem` only where inputs are on another scale.

        That is: at most an eighth as large, or out of the range by more than its
        width. Integers from 0 to 1 may be dark pixels.
        """
        problem = self.range_problem(x)
        if problem is None or (x.dtype.kind in "iu" and 0 <= x.min() <= x.max() <= 1):
            return None
        lowest, highest = self.raw_range or (0.0, 0.0)
        low, high, width = float(x.min()), float(x.max()), highest - lowest
        far = low < lowest - width or high > highest + width
        return problem if far or max(-low, high) <= highest / 8 else None

    def to_config(self) -> dict[str, Any]:
        """Return the numbers as a dictionary that json can write."""

        def plain(value: Any) -> Any:
            return list(value) if isinstance(value, tuple) else value

        return {
            "scale": plain(self.scale),
            "offset": plain(self.offset),
            "raw_range": plain(self.raw_range),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Preprocessing":
        """Return the preprocessing that `to_config` described."""
        try:
            return cls(**config)
        except TypeError as error:
            raise ValueError(f"A preprocessing must be a config: {error}.") from None


def _numbers(argument: str, value: Any) -> Numbers:
    """Return a float or a tuple of floats, all finite."""
    try:
        if isinstance(value, list | tuple | np.ndarray):
            numbers = tuple(float(v) for v in value)
            if numbers and all(map(math.isfinite, numbers)):
                return numbers
        elif math.isfinite(float(value)):
            return float(value)
    except (TypeError, ValueError):
        pass
    raise ValueError(
        f"`{argument}` must be a finite number or a sequence of them. "
        f"Received: {argument}={value!r}."
    )


def _rises(limits: tuple[float, ...]) -> bool:
    return limits[0] < limits[1]
