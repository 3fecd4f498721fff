"""Routing: which leaf of a tree each point reaches, several questions at a time."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np

_LEVELS = 4  # most levels whose questions are answered together
_CHUNK = 1 << 15  # points looked at together
# The top byte of this number times eight bytes of 0 and 1 holds them as bits.
_PACK = np.uint64(0x0102040810204080)


class _Block(NamedTuple):
    """The subtrees of some levels: all that start at the same depth.

    normals: (subtrees, dim, 8 or 16) of a subtree's nodes, breadth-first; the rest is
        zero. heights: (subtrees, 8 or 16), to be exceeded to go right.
    idle: (subtrees,) whether no node asks, so that all points go left.
    """

    levels: int
    normals: np.ndarray
    heights: np.ndarray
    idle: np.ndarray


class Routing:
    """Find leaves of a complete tree of hyperplanes.

    At most four levels are answered together: a product with all their normals, the
    signs as bits of one number, and a table of the leaf for each such number. The
    points are then sorted by that leaf, below which the next levels are answered.

    Args:
        normals: (2^depth - 1, dim). biases: (2^depth - 1,).
        origin: (dim,) that is taken from the points first, or None.
        dtype: precision of the products. float32 takes half the time; with an origin
            amid the points it costs seven digits of their distance to it.
    """

    def __init__(
        self,
        normals: np.ndarray,
        biases: np.ndarray,
        origin: np.ndarray | None = None,
        dtype: Any = np.float64,
    ) -> None:
        self.origin, self.dtype = origin, dtype
        if origin is not None:
            biases = biases + normals @ origin
        depth = len(biases).bit_length()
        self.blocks = []
        level = 0
        for part in np.array_split(np.arange(depth), -(-depth // _LEVELS)):
            nodes = _subtrees(level, len(part))
            self.blocks.append(_block(normals[nodes], biases[nodes], dtype))
            level += len(part)

    def leaf(self, x: np.ndarray) -> np.ndarray:
        """Return the leaf of each of (n, dim) points, (n,) int64."""
        found = [
            self._leaf(x[start : start + _CHUNK]) for start in range(0, len(x), _CHUNK)
        ]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    def _leaf(self, x: np.ndarray) -> np.ndarray:
        if self.origin is None:
            x = x.astype(self.dtype, copy=False)
        else:
            near = np.empty(x.shape, self.dtype)
            x = np.subtract(x, self.origin, out=near, casting="same_kind")
        first, *others = self.blocks
        place = _below(first, 0, x)
        for block in others:
            few = len(block.idle) <= 256  # small numbers are sorted in linear time
            key = place.astype(np.uint8 if few else np.uint16)
            order = np.argsort(key, kind="stable")
            ends = np.bincount(key, minlength=len(block.idle)).cumsum()
            below = np.zeros(len(x), np.int64)  # in that order
            for k in np.flatnonzero(np.diff(ends, prepend=0)).tolist():
                here = slice(ends[k - 1] if k else 0, ends[k])
                if not block.idle[k]:
                    below[here] = _below(block, k, x.take(order[here], 0))
            added = np.empty_like(below)
            added[order] = below
            place = (place << block.levels) + added
        return place


def _subtrees(level: int, levels: int) -> np.ndarray:
    """Return the nodes of the subtrees that start at a level, (subtrees, nodes)."""
    tops = np.arange(2**level)[:, None]
    parts = [
        2 ** (level + k) - 1 + tops * 2**k + np.arange(2**k) for k in range(levels)
    ]
    return np.concatenate(parts, axis=1)


def _block(normals: np.ndarray, biases: np.ndarray, dtype: Any) -> _Block:
    """Return the block of (subtrees, nodes, dim) normals and their biases."""
    subtrees, nodes, dim = normals.shape
    padded = np.zeros((subtrees, dim, 8 if nodes < 8 else 16), dtype)
    padded[:, :, :nodes] = normals.swapaxes(1, 2)
    heights = np.zeros((subtrees, padded.shape[2]), dtype)
    heights[:, :nodes] = -biases
    asks = padded.any(axis=(1, 2)) | heights.any(axis=1)
    return _Block((nodes + 1).bit_length() - 1, padded, heights, np.logical_not(asks))


def _below(block: _Block, k: int, x: np.ndarray) -> np.ndarray:
    """Return the leaf of each point in a block's subtree."""
    right = x @ block.normals[k] > block.heights[k]
    bits = (right.view("<u8") * _PACK) >> np.uint64(56)
    code = bits[:, 0]
    if bits.shape[1] == 2:
        code = code | bits[:, 1] << np.uint64(8)
    return _leaves(block.levels).take(code.view(np.int64))


@cache
def _leaves(levels: int) -> np.ndarray:
    """Return the leaf for each answer to all questions, the root's in bit 0."""
    nodes = 2**levels - 1
    answers = np.arange(2**nodes)[:, None] >> np.arange(nodes) & 1
    return descend(answers.astype(bool), 0)[:, -1] - nodes


def descend(right: np.ndarray, start: int) -> np.ndarray:
    """Return the nodes on the way from a node down to a leaf.

    Args:
        right: (n, nodes) bool, whether each point would go right at each node.
        start: the node, or leaf, where all begin; leaves follow the nodes.

    Returns:
        (n, levels + 1) node numbers, `start` first.
    """
    ways = [np.full(len(right), start, np.int64)]
    rows = np.arange(len(right))
    first, num_nodes = start, right.shape[1]
    while first < num_nodes:
        ways.append(2 * ways[-1] + 1 + right[rows, ways[-1]])
        first = 2 * first + 1
    return np.stack(ways, axis=1)
