"""A complete oblique decision tree: its nodes, leaves and labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK = 1 << 14  # points looked at together: bounds the memory of float64 copies


@dataclass(frozen=True, eq=False)
class ObliqueTree:
    """A complete binary tree with a hyperplane at each node.

    At node i: normals[i] . x + biases[i] > 0 goes right, to node 2 i + 2; otherwise
    left, to node 2 i + 1. Nodes are numbered breadth-first, 0 to 2^depth - 2, and
    leaves from left to right, 0 to 2^depth - 1. A node whose normal and bias are
    zero sends all points to the left; such nodes store trees with leaves of different
    depths.

    Args:
        normals: (2^depth - 1, dim) normals of the hyperplanes, float64.
        biases: (2^depth - 1,) offsets, float64.
        leaf_labels: (2^depth,) class of each leaf, int64.

    Raises:
        ValueError: the shapes do not make a complete tree.

    Example:
        >>> from dlgn_keras.data import ObliqueTree
        >>> tree = ObliqueTree([[1.0, 0.0]], [0.0], [0, 1])
        >>> tree.predict([[-2.0, 5.0], [3.0, 5.0]]).tolist()
        [0, 1]
    """

    normals: np.ndarray
    biases: np.ndarray
    leaf_labels: np.ndarray

    def __post_init__(self) -> None:
        normals = np.array(self.normals, np.float64)
        biases = np.array(self.biases, np.float64)
        labels = np.array(self.leaf_labels, np.int64)
        nodes = labels.size - 1
        complete = labels.ndim == 1 and nodes >= 1 and nodes & (nodes + 1) == 0
        fits = normals.ndim == 2 and len(normals) == nodes and biases.shape == (nodes,)
        if not (complete and fits):
            raise ValueError(
                "`normals`, `biases` and `leaf_labels` must be of shapes (2^depth - 1, "
                "dim), (2^depth - 1,) and (2^depth,). Received: shapes "
                f"{normals.shape}, {biases.shape} and {labels.shape}."
            )
        for name, array in zip(
            ("normals", "biases", "leaf_labels"), (normals, biases, labels), strict=True
        ):
            array.flags.writeable = False
            object.__setattr__(self, name, array)

    @property
    def depth(self) -> int:
        """Number of inner nodes on a path from the root to a leaf."""
        return int(self.leaf_labels.size).bit_length() - 1

    @property
    def dim(self) -> int:
        """Number of input features."""
        return self.normals.shape[1]

    @property
    def orthogonality(self) -> str:
        """Which normals are at right angles: "all", "paths" or "none".

        "paths": the normals on the path to any one leaf, so that all leaves are equally
        likely on a sphere; nodes on different paths may have any angle.
        """
        products = np.abs(self.normals @ self.normals.T)
        np.fill_diagonal(products, 0)
        if np.all(products < 1e-9):
            return "all"
        for node in range(len(self.normals)):
            if np.any(products[node, ancestors(node)] >= 1e-9):
                return "none"
        return "paths"

    @property
    def asks(self) -> np.ndarray:
        """Whether each node has a nonzero plane and is reachable, (nodes,) bool."""
        asking = np.any(self.normals != 0, axis=1) | (self.biases != 0)
        met = np.ones(len(asking), bool)
        for node in range(1, len(met)):
            parent = (node - 1) // 2
            is_left = node == 2 * parent + 1
            met[node] = met[parent] and (asking[parent] or is_left)
        return asking & met

    def decision_path(self, x: Any) -> np.ndarray:
        """Return the nodes on each point's path, root first.

        Args:
            x: (n, dim) points.

        Returns:
            (n, depth) node numbers.
        """
        return self._walk(x)[:, :-1]

    def leaf(self, x: Any) -> np.ndarray:
        """Return the leaf of each point, (n,) numbers from 0 to 2^depth - 1."""
        return self._walk(x)[:, -1] - len(self.normals)

    def predict(self, x: Any) -> np.ndarray:
        """Return the label of each point, (n,) int64."""
        return self.leaf_labels[self.leaf(x)]

    def _walk(self, x: Any) -> np.ndarray:
        """Return (n, depth + 1) nodes from root to leaf; leaves follow the nodes."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"`x` must be of shape (n, {self.dim}). Received: shape {x.shape}."
            )
        nodes = np.zeros((len(x), self.depth + 1), np.int64)
        for start in range(0, len(x), _CHUNK):
            part = nodes[start : start + _CHUNK]  # a view: written in place
            # float64, so that the side does not depend on how points are batched.
            points = x[start : start + _CHUNK].astype(np.float64)
            part[:] = descend(points @ self.normals.T + self.biases > 0, 0)
        return nodes

    def to_text(self, names: Sequence[str] | None = None, terms: int = 4) -> str:
        """Return the tree as text, one line a node, each below its parent.

        Args:
            names: (dim,) names of the features; default "x0", "x1", ...
            terms: number of features to write per node: those with the largest weights
                in the normal, scaled to length 1.

        Raises:
            ValueError: not `dim` names.

        Example:
            >>> from dlgn_keras.data import ObliqueTree
            >>> print(ObliqueTree([[3.0, -4.0]], [1.0], [0, 1]).to_text(["a", "b"]))
            -0.80 b + 0.60 a + 0.20 > 0
            |-- no: class 0
            `-- yes: class 1
        """
        names = [f"x{k}" for k in range(self.dim)] if names is None else list(names)
        if len(names) != self.dim:
            raise ValueError(
                f"`names` must hold {self.dim} names. Received: {len(names)} names."
            )
        return "\n".join(self._lines(0, names, terms))

    def __str__(self) -> str:
        return self.to_text()

    def _lines(self, node: int, names: Sequence[str], terms: int) -> list[str]:
        """Return the lines of a subtree; nodes that ask nothing are skipped."""
        while node < len(self.normals) and not self.asks[node]:
            node = 2 * node + 1
        if node >= len(self.normals):
            return [f"class {self.leaf_labels[node - len(self.normals)]}"]
        lines = [f"{self.question(node, names, terms)} > 0"]
        for child, start, below in (
            (2 * node + 1, "|-- no: ", "|   "),
            (2 * node + 2, "`-- yes: ", "    "),
        ):
            first, *rest = self._lines(child, names, terms)
            lines += [start + first, *(below + line for line in rest)]
        return lines

    def question(self, node: int, names: Sequence[str], terms: int = 4) -> str:
        """Return the left side of a node's inequality, its `terms` largest terms."""
        length = float(np.linalg.norm(self.normals[node])) or 1.0
        normal, bias = self.normals[node] / length, float(self.biases[node]) / length
        heaviest = np.argsort(-np.abs(normal), kind="stable")
        heaviest = [k for k in heaviest if normal[k]]
        parts = [(normal[k], f"{abs(normal[k]):.2f} {names[k]}") for k in heaviest]
        parts[terms:] = [(1.0, "...")] if len(heaviest) > terms else []
        if round(bias, 2) or not parts:
            parts.append((bias, f"{abs(bias):.2f}"))
        text = "".join(f" {'-' if v < 0 else '+'} {part}" for v, part in parts)
        return "-" + text[3:] if text.startswith(" -") else text[3:]

    def to_json(self) -> str:
        """Return the tree as a json text; numbers survive the round trip exactly."""
        return json.dumps(
            {
                "normals": self.normals.tolist(),
                "biases": self.biases.tolist(),
                "leaf_labels": self.leaf_labels.tolist(),
            }
        )

    @classmethod
    def from_json(cls, text: str) -> "ObliqueTree":
        """Return the tree that `to_json` wrote; any other text is a ValueError."""
        try:
            return cls(**json.loads(text))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise ValueError(f"A tree must be the json of to_json: {error}") from None


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


def ancestors(node: int) -> list[int]:
    """Return the nodes above a node, nearest first, in breadth-first numbering."""
    above = []
    while node > 0:
        node = (node - 1) // 2
        above.append(node)
    return above
