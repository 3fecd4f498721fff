"""Tiles of a Gram: their examples, their blocks and their computation.

A *tile* is a square of the Gram whose gates are made once: the unit that is stored,
sent to a worker, or computed again after a crash. A *block* is a part of a tile small
enough for the recursion's state.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.kernels.blocked import BlockedRecursion
from dlgn_keras.kernels.plan import Plan, check_model
from dlgn_keras.kernels.recursion import arrange
from dlgn_keras.models import check_inputs
from dlgn_keras.skeletons import Residual, Stage, walk
from dlgn_keras.tools.messages import check_count

FLOAT = 8  # bytes
# Entries of a state that a block aims for: large enough for NumPy's loops, small
# enough for a processor's cache. One pair of large images may need more.
BLOCK_ENTRIES = 2**18
# Units of all sites times examples of one forward pass: 64 MiB of gates.
FORWARD_UNITS = 2**24


def readable(size: float) -> str:
    """Return a number of bytes as text, such as "1.5 GiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if abs(size) < 1024 or unit == "GiB":
            return f"{size:.3g} {unit}"
        size /= 1024
    return f"{size:.3g} GiB"


def available(memory: Any) -> int:
    """Return `memory` in bytes, a quarter of the free memory if None."""
    if memory is None:
        import psutil

        return psutil.virtual_memory().available // 4
    if isinstance(memory, bool) or not isinstance(memory, int | float) or memory <= 0:
        raise ValueError(
            f"`memory` must be a number of bytes above 0. Received: memory={memory!r}."
        )
    return int(memory)


class Tile(NamedTuple):
    """Rows `rows` and columns `columns` of a Gram."""

    rows: slice
    columns: slice

    @property
    def size(self) -> int:
        rows, columns = self.rows, self.columns
        return (rows.stop - rows.start) * (columns.stop - columns.start)


class Examples(NamedTuple):
    """Value inputs and gates of some examples: float32, (n, ...)."""

    inputs: np.ndarray
    gates: dict[str, np.ndarray]


def check_examples(net: Any, name: str, x: Any) -> np.ndarray:
    """Return raw inputs as an array; raise a ValueError if they do not fit."""
    check_model(net)
    return check_inputs(x, net.input_shape[1:], name)


def forward_size(net: Any) -> int:
    """Return the number of examples per forward pass of a model: 32 to 512."""
    units = sum(int(np.prod(site.shape)) for site in net.sites)
    fit = FORWARD_UNITS // max(units, int(np.prod(net.input_shape[1:])))
    return 2 ** min(9, max(5, fit.bit_length() - 1))


def read_examples(net: Any, x: np.ndarray, mode: str | None = None) -> Examples:
    """Return value inputs and gates that do not depend on the number of examples.

    Float32 products round differently for every batch size, which changes soft gates
    by 1e-8 and can flip a hard gate: so all batches of a model have the same size.
    """
    size = forward_size(net)
    rest = -len(x) % size
    full = np.concatenate([x, np.zeros((rest, *x.shape[1:]), x.dtype)])
    gates = net.gates(full, mode, batch_size=size)
    return Examples(net.value_inputs(x), {s: g[: len(x)] for s, g in gates.items()})


class Source:
    """Makes the examples of a tile; reuses the rows while they stay the same.

    Args:
        net, mode: model and gates to use.
        x, y: examples of the rows and of the columns; `y` None for `x` itself.
        keep: whether to keep the examples for all tiles.
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


def make_tiles(n: int, m: int, size: int, symmetric: bool) -> list[Tile]:
    """Cut an (n, m) Gram into tiles; if symmetric, none below the diagonal."""

    def cuts(total: int) -> list[slice]:
        return [slice(k, min(k + size, total)) for k in range(0, total, size)]

    return [
        Tile(rows, columns)
        for rows in cuts(n)
        for columns in cuts(m)
        if not symmetric or columns.start >= rows.start
    ]


def threads_of(threads: int | None = None) -> int:
    """Return `threads`, or the number of processors that this process may run on."""
    if threads is not None:
        return check_count("threads", threads)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def pair_bytes(plan: Plan) -> int:
    """Return the most bytes that the recursion needs for one pair of examples."""
    rank = len(plan.input_shape) - 1

    def entries(shape: tuple[int, ...], apart: bool, pairs: bool) -> int:
        positions = int(np.prod(shape[:-1], dtype=np.int64))
        kept = positions**2 if pairs else positions
        return kept * (shape[-1] if apart else 1)

    def along(stages: tuple[Stage, ...], now: int) -> tuple[int, int]:
        """Return (peak, entries after) for stages that start with `now` entries."""
        peak = now
        for stage in stages:
            needs = plan.needs[stage.name]
            after = entries(plan.shapes[stage.name], *needs)
            here = now + 3 * after  # input, and gates, product and sum
            if isinstance(stage, Residual):
                inside = entries(plan.shapes[stage.name], True, needs.pairs)
                body, _ = along(stage.body, now)
                shortcut, _ = along(stage.shortcut, now)
                here += 2 * inside if stage.gated else 0
                here = max(here, now + body, now + shortcut + inside)
            else:
                here += now  # sums over channels and offsets within the stage
            peak, now = max(peak, here), after
        return peak, now

    start = entries(plan.input_shape, *plan.start) if rank >= 0 else 0
    return FLOAT * along(plan.stages, 3 * start)[0]


def pair_work(plan: Plan) -> int:
    """Return the number of entries of all states of one pair."""
    total = 1
    for stage in walk(plan.stages):
        shape, needs = plan.shapes[stage.name], plan.needs[stage.name]
        positions = int(np.prod(shape[:-1], dtype=np.int64))
        kept = positions**2 if needs.pairs else positions
        total += kept * (shape[-1] if needs.apart else 1)
    return total


def example_bytes(plan: Plan) -> int:
    """Return the bytes of one example's inputs and gates, as given and as arranged."""
    sites = set(plan.sites)
    entries = int(np.prod(plan.input_shape)) + sum(
        int(np.prod(plan.shapes[stage.name]))
        for stage in walk(plan.stages)
        if stage.name in sites
    )
    return entries * (4 + FLOAT)


def block_shape(plan: Plan, rows: int, columns: int, memory: int) -> tuple[int, int]:
    """Return the rows and columns of the largest block within `memory` bytes."""
    pair = pair_bytes(plan)
    fit = max(1, memory // pair)
    # Entries of the widest state; the memory of a pair holds about four such states.
    wanted = max(1, 4 * FLOAT * BLOCK_ENTRIES // pair)
    number = min(fit, wanted)
    a = min(rows, max(1, int(number**0.5)))
    b = min(columns, max(1, number // a))
    return a, b


def compute_tile(
    plan: Plan,
    left: Examples,
    right: Examples | None,
    memory: int,
    threads: int = 1,
    advance: Callable[[int], None] = lambda pairs: None,
) -> np.ndarray:
    """Return the kernel of all examples on the left with all on the right, float64.

    Args:
        plan: the model's plan.
        left: the rows' examples.
        right: the columns' examples; None if they are the rows: then only blocks on
            and above the diagonal are computed, and mirrored.
        memory: bytes that the blocks in progress may take together.
        threads: number of blocks computed at a time.
        advance: called with the number of finished pairs.
    """
    from threadpoolctl import threadpool_limits

    rows = arrange(*left, plan, np.float64)
    columns = rows if right is None else arrange(*right, plan, np.float64)
    n, m = rows.inputs.shape[-2], columns.inputs.shape[-2]
    a, b = block_shape(plan, n, m, memory // threads)
    if right is None:
        a = b = min(a, b)
    tile = np.empty((n, m))
    blocks = [
        (slice(i, min(i + a, n)), slice(j, min(j + b, m)))
        for i in range(0, n, a)
        for j in range(i if right is None else 0, m, b)
    ]

    def work(block: tuple[slice, slice]) -> None:
        tile[block] = BlockedRecursion(
            plan, rows.part(block[0]), columns.part(block[1])
        ).run()
        if right is None and block[0] != block[1]:
            tile[block[1], block[0]] = tile[block].T
        advance(tile[block].size * (1 + (right is None and block[0] != block[1])))

    # One BLAS thread per block: more would compete for the processors.
    with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, blocks):
            pass
    if right is None:
        tile = np.triu(tile) + np.triu(tile, 1).T  # equal to the last bit
    return tile
