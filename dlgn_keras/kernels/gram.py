"""npk: the exact neural path kernel of a model, tile by tile."""

from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.kernels.blocked import BlockedRecursion
from dlgn_keras.kernels.plan import Plan, make_plan, on_skeleton
from dlgn_keras.kernels.recursion import arrange
from dlgn_keras.kernels.store import Store, fingerprint
from dlgn_keras.kernels.tiles import (
    Source,
    Tile,
    available,
    check_examples,
    compute_tile,
    example_bytes,
    make_tiles,
    pair_bytes,
    pair_work,
    read_examples,
    readable,
    threads_of,
)
from dlgn_keras.tools.files import make_folder, only_one
from dlgn_keras.tools.messages import check_count
from dlgn_keras.tools.terminal import progress_bar

LARGEST_TILE = 4096
# Entries of the states of all pairs of a tile: about a minute of one processor, so
# that a crash costs little.
TILE_WORK = 6e9
# Number of examples whose gates are held at a time for a diagonal.
SIDE = 64


def npk(
    net: Any,
    x: Any,
    y: Any = None,
    *,
    normalize: bool = False,
    bias_paths: bool = True,
    mode: str | None = None,
    batch_size: int | None = None,
    memory: int | None = None,
    folder: Any = None,
    executor: Any = None,
    workers: int = 4,
    threads: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Return the exact neural path kernel `H(x, x') = <phi_x, phi_x'>` of one logit.

    Paths that share their weights (by convolutions and pooling) count as one path, and
    every logit has the same kernel. Gates and value inputs are float32, all sums are
    float64. The kernel depends on the gates and value inputs, not on the weights of
    the value network.

    Args:
        net: a DNN, DGN or DLGN, or a twin made by `dk.disentangle` whose graph is a
            skeleton.
        x: raw inputs (n, *input_shape), as `predict` takes them.
        y: raw inputs (m, *input_shape); None for `x` itself.
        normalize: whether to divide each layer's sum over its input units by their
            number (for a convolution, the number of input channels).
        bias_paths: whether to include the paths that start, from a constant 1, at the
            biases and batch-norm offsets of the value network.
        mode: gates to use, "hard", "soft" or "straight_through"; the model's own
            if None.
        batch_size: rows and columns of a tile, the unit of work; from `memory`
            if None.
        memory: bytes the computation may take besides its inputs; a quarter of the
            free memory if None. It includes the Gram, unless that is on disk.
        folder: folder of the Gram and its finished tiles; a second call resumes where
            the first stopped. The result is then a memory map of the file.
        executor: an object with the `submit` of `concurrent.futures`: a Dask client's
            `get_executor()` spreads the tiles over machines. None computes them in
            threads of this process.
        workers: with an executor, number of tiles submitted at a time.
        threads: number of threads per tile; if None, one per processor (1 with an
            executor).
        progress: whether to draw a progress bar; on a terminal if None.

    Returns:
        array (n, m), float64. `x` against itself is symmetric to the last bit.

    Raises:
        ValueError: not a model of this library, inputs of a wrong shape or not
            finite, a Gram too large for memory or disk, or a folder that holds
            another Gram or that another process is using.
        OSError: the disk is full; finished tiles are kept.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(4), (8, 8, 1), num_classes=2)
        >>> x = np.random.default_rng(0).normal(size=(5, 8, 8, 1))
        >>> dk.kernels.npk(net, x).shape
        (5, 5)

    Reference: arXiv 2006.10529, section 3; arXiv 2110.03403, section 4.
    """
    net = on_skeleton(net)
    plan = make_plan(net, normalize, bias_paths)
    x = check_examples(net, "x", x)
    y = None if y is None else check_examples(net, "y", y)
    shape = (len(x), len(x if y is None else y))
    if batch_size is not None:
        check_count("batch_size", batch_size)
    how = {"memory": memory, "executor": executor, "workers": workers}
    how |= {"threads": threads, "progress": progress}
    given = Given(net, plan, mode, x, y)
    if folder is None:
        return _compute(given, None, batch_size, **how)
    options = {"normalize": normalize, "bias_paths": bias_paths, "mode": mode}
    key = fingerprint(net, [x, y], options)
    whole = Store(folder, shape, batch_size, key).read()
    if whole is not None:
        return whole
    folder = make_folder(folder, "folder")
    with only_one(folder, "Gram", "folder"):
        store = Store(folder, shape, batch_size, key)  # another process may be done
        whole = store.read()
        if whole is not None:
            return whole
        return _compute(given, store, store.tile_size, **how)


class Given(NamedTuple):
    """The model and the examples of a Gram."""

    net: Any
    plan: Plan
    mode: str | None
    x: np.ndarray
    y: np.ndarray | None


def _compute(
    given: Given,
    store: Store | None,
    batch_size: int | None,
    *,
    memory: int | None,
    executor: Any,
    workers: int,
    threads: int | None,
    progress: bool | None,
) -> np.ndarray:
    """Compute the tiles that are not done yet, in memory or into a folder."""
    net, plan, mode, x, y = given
    shape = (len(x), len(x if y is None else y))
    threads = threads_of(threads if executor is None else threads or 1)
    free = _work_memory(plan, memory, 0 if store else 8 * shape[0] * shape[1], shape)
    size = batch_size or _tile_size(plan, max(shape), free)
    work = free - 2 * size * example_bytes(plan) - 3 * 8 * size**2
    # Gates of all columns are kept if they fit, else made again for every row of tiles.
    kept = shape[1] * example_bytes(plan)
    keep = kept < work // 4
    work -= kept if keep else 0
    if work < pair_bytes(plan):
        raise ValueError(
            f"`memory` must hold a tile of {size} by {size} examples and the state of "
            f"one pair, {readable(free - work + pair_bytes(plan))} beside the Gram. "
            f"Received: {readable(free)}; give a smaller batch_size."
        )
    threads = max(1, min(threads, work // pair_bytes(plan)))

    tiles = make_tiles(*shape, size, symmetric=y is None)
    gram = np.empty(shape) if store is None else None
    done = store.start(size) if store else set()
    left = [t for t in tiles if (t.rows.start, t.columns.start) not in done]
    source = Source(net, mode, x, y, keep)
    with progress_bar("neural path kernel", sum(t.size for t in left), progress) as go:
        how = {"memory": work, "threads": threads}
        if executor is None:
            found = (
                (t, compute_tile(plan, *source(t), **how, advance=go)) for t in left
            )
        else:
            found = _spread(executor, workers, plan, source, left, how, go)
        for tile, values in found:
            check_finite(values)
            mirror = y is None and tile.rows != tile.columns
            if store:
                store.write(tile, values, mirror)
            elif gram is not None:
                gram[tile.rows, tile.columns] = values
                if mirror:
                    gram[tile.columns, tile.rows] = values.T
    if store:
        store.finish()
        return np.load(store.path, mmap_mode="r")
    return np.asarray(gram)


def check_finite(values: np.ndarray) -> None:
    """Raise a ValueError unless the kernel of every pair is finite."""
    if not np.isfinite(values).all():
        raise ValueError(
            "`x` and `y` must be inputs whose gates and kernel are finite numbers. "
            f"Received: {int((~np.isfinite(values)).sum())} pairs with another kernel."
        )


def npk_diagonal(
    net: Any,
    x: Any,
    *,
    normalize: bool = False,
    bias_paths: bool = True,
    mode: str | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Return `H(x, x)` of every example, (n,) float64: the diagonal of `npk(net, x)`.

    Args:
        net, x, normalize, bias_paths, mode, progress: as in `npk`.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (3,), num_classes=2)
        >>> dk.kernels.npk_diagonal(net, np.ones((5, 3))).shape
        (5,)
    """
    net = on_skeleton(net)
    plan = make_plan(net, normalize, bias_paths)
    x = check_examples(net, "x", x)
    diagonal = np.empty(len(x))
    with progress_bar("neural path kernel, diagonal", len(x), progress) as advance:
        for start in range(0, len(x), SIDE):
            made = read_examples(net, x[start : start + SIDE], mode)
            side = arrange(*made, plan, np.float64)
            for k in range(len(made.inputs)):
                one = side.part(slice(k, k + 1))
                diagonal[start + k] = BlockedRecursion(plan, one, one).run()[0, 0]
            advance(len(made.inputs))
    return diagonal


def _spread(
    executor: Any,
    workers: int,
    plan: Plan,
    source: Source,
    tiles: list[Tile],
    how: dict[str, int],
    advance: Any,
) -> Iterator[tuple[Tile, np.ndarray]]:
    """Yield tiles as an executor finishes them; `workers` are submitted at a time."""
    todo = iter(tiles)
    busy: dict[Future, Tile] = {}
    while True:
        while len(busy) < check_count("workers", workers):
            tile = next(todo, None)
            if tile is None:
                break
            busy[executor.submit(compute_tile, plan, *source(tile), **how)] = tile
        if not busy:
            return
        for future in wait(busy, return_when=FIRST_COMPLETED).done:
            tile = busy.pop(future)
            yield tile, future.result()
            advance(tile.size)


def _work_memory(
    plan: Plan, memory: int | None, gram: int, shape: tuple[int, int]
) -> int:
    """Return the bytes left for the work; raise a ValueError if they are too few."""
    memory = available(memory)
    least = pair_bytes(plan) + 2 * example_bytes(plan)
    if gram + least > memory:
        raise ValueError(
            f"A Gram of shape {shape} needs {readable(gram + least)} of memory, "
            f"{readable(least)} of them for one pair of examples; `memory` is "
            f"{readable(memory)}. Raise it, give `folder` to keep the Gram on disk, "
            "or use path_features."
        )
    return memory - gram


def _tile_size(plan: Plan, most: int, memory: int) -> int:
    """Return the largest tile of bounded work that fits a quarter of the memory."""
    bounded = int((TILE_WORK / pair_work(plan)) ** 0.5)
    size = max(1, min(most, LARGEST_TILE, bounded))
    while size > 1 and (
        2 * size * example_bytes(plan) > memory // 4 or 24 * size**2 > memory // 4
    ):
        size = -(-size // 2)
    return size
