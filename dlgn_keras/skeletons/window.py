"""Windows along one image axis: how far they pad, how many fit, what each one reads.

The one place that knows, besides `dlgn_keras.paths`, the independent oracle.
"""

from typing import NamedTuple

import numpy as np


class Window(NamedTuple):
    """The windows of a convolution or a pooling along one axis.

    Args:
        size: number of entries that a window reads.
        strides: step from one window to the next.
        padding: "valid", "same" (zeros as Keras adds them, the larger part at the
            end) or "circular" (the axis wraps around by the same amounts).
        dilation: distance between the entries of one window.

    Example:
        >>> from dlgn_keras.skeletons.window import Window
        >>> window = Window(3, strides=2, padding="same")
        >>> window.out_length(6), window.pads(6)
        (3, (0, 1))
        >>> window.taps(6).tolist()
        [[0, 1, 2], [2, 3, 4], [4, 5, -1]]
    """

    size: int
    strides: int = 1
    padding: str = "valid"
    dilation: int = 1

    @property
    def offsets(self) -> range:
        """Where the entries of a window lie, from its first one."""
        return range(0, self.size * self.dilation, self.dilation)

    @property
    def span(self) -> int:
        """Distance from the first entry of a window to its last, plus 1."""
        return self.offsets[-1] + 1

    def pads(self, length: int) -> tuple[int, int]:
        """Return how far an axis of `length` is extended, before and after."""
        if self.padding == "valid":
            return 0, 0
        windows = -(-length // self.strides)
        total = max((windows - 1) * self.strides + self.span - length, 0)
        return total // 2, total - total // 2

    def fits(self, length: int) -> bool:
        """Tell whether an axis is long enough: an axis wraps around only once."""
        return self.padding == "same" or self.span <= length

    def out_length(self, length: int) -> int:
        """Return the number of windows on an axis of `length`."""
        return (length + sum(self.pads(length)) - self.span) // self.strides + 1

    def taps(self, length: int) -> np.ndarray:
        """Return the positions that windows read, (windows, size); -1 is padding."""
        starts = np.arange(self.out_length(length)) * self.strides
        read = starts[:, None] + np.array(self.offsets) - self.pads(length)[0]
        if self.padding == "circular":
            return read % length
        return np.where((read >= 0) & (read < length), read, -1)
