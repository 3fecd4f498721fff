"""Examples: checked, and read through a model for what the kernels need of them."""

from typing import Any

import numpy as np

from dlgn_keras.kernels.plan import check_model
from dlgn_keras.kernels.tiles import Examples, Tile

# Units of all sites, of all examples of one forward pass: 64 MiB of gates.
FORWARD_UNITS = 2**24


def check_examples(net: Any, name: str, x: Any, max_pool: bool = False) -> np.ndarray:
    """Return raw inputs of a model as an array, or say what is wrong with them."""
    check_model(net, max_pool)
    x = np.asarray(x)
    shape = tuple(net.input_shape[1:])
    if x.ndim != len(shape) + 1 or x.shape[1:] != shape or not len(x):
        raise ValueError(
            f"`{name}` must have shape (n, {', '.join(map(str, shape))}), n at least "
            f"1. Received: {name} of shape {x.shape}."
        )
    if x.dtype.kind not in "fiub":
        raise ValueError(
            f"`{name}` must be numbers. Received: {name} of dtype {x.dtype}."
        )
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ValueError(
            f"`{name}` must be finite. Received: {name} with {bad} NaN or infinite."
        )
    return x


def forward_size(net: Any) -> int:
    """Return how many examples of a model go forward at a time: 32 to 512."""
    units = sum(int(np.prod(site.shape)) for site in net.sites)
    fit = FORWARD_UNITS // max(units, int(np.prod(net.input_shape[1:])))
    return 2 ** min(9, max(5, fit.bit_length() - 1))


def read_examples(net: Any, x: np.ndarray, mode: str | None = None) -> Examples:
    """Return what the kernels need of examples, the same for every number of them.

    Float32 products round differently for every batch size, which moves soft
    gates by 1e-8 and may turn a hard one: so all batches of a model have one size.
    """
    size = forward_size(net)
    rest = -len(x) % size
    full = np.concatenate([x, np.zeros((rest, *x.shape[1:]), x.dtype)])
    gates = net.gates(full, mode, batch_size=size)
    return Examples(net.value_inputs(x), {s: g[: len(x)] for s, g in gates.items()})


class Source:
    """Makes the examples of a tile; rows once while they stay the same.

    Args:
        net, mode: model and gates to use.
        x, y: examples of the rows and of the columns; `y` None for `x` itself.
        keep: whether to keep what is made, for all tiles.
    """

    def __init__(
        self,
        net: Any,
        mode: str | None,
        x: np.ndarray,
        y: np.ndarray | None,
        keep: bool,
    ) -> None:
        self.net, self.mode, self.x, self.y, self.keep = net, mode, x, y, keep
        self._rows: dict[int, Examples] = {}
        self._columns: dict[int, Examples] = {} if y is not None else self._rows

    def __call__(self, tile: Tile) -> tuple[Examples, Examples | None]:
        start = tile.rows.start
        if start not in self._rows:
            if not self.keep or self.y is not None:
                self._rows.clear()
            self._rows[start] = read_examples(self.net, self.x[tile.rows], self.mode)
        if self.y is None and tile.rows == tile.columns:
            return self._rows[start], None
        columns, begin = self.x if self.y is None else self.y, tile.columns.start
        if begin in self._columns:
            return self._rows[start], self._columns[begin]
        made = read_examples(self.net, columns[tile.columns], self.mode)
        if self.keep:
            self._columns[begin] = made
        return self._rows[start], made
