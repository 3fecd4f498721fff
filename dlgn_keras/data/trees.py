"""A complete oblique decision tree: nodes, leaves, labels, and the way to them."""

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

_CHUNK = 1 << 14  # points looked at together: bounds the memory of float64 copies


@dataclass(frozen=True, eq=False)
class ObliqueTree:
    """A complete binary tree whose node `i` asks on which side of a hyperplane x lies.

    At node i: normals[i] . x + biases[i] > 0 goes right, to node 2 i + 2; otherwise
    left, to node 2 i + 1. Nodes are numbered breadth-first, 0 to 2^depth - 2, and
    leaves from left to right, 0 to 2^depth - 1.

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
        """Number of questions on the way to a leaf."""
        return int(self.leaf_labels.size).bit_length() - 1

    @property
    def dim(self) -> int:
        """Number of input features."""
        return self.normals.shape[1]

    @property
    def orthogonality(self) -> str:
        """Which normals are at right angles: "all", "paths" or "none".

        "paths": those on the way to any one leaf, which is what makes all leaves
        equally likely on a sphere; two nodes on different ways need not be.
        """
        products = np.abs(self.normals @ self.normals.T)
        np.fill_diagonal(products, 0)
        if np.all(products < 1e-9):
            return "all"
        for node in range(len(self.normals)):
            if np.any(products[node, ancestors(node)] >= 1e-9):
                return "none"
        return "paths"

    def decision_path(self, x: Any) -> np.ndarray:
        """Return the nodes that each point meets, root first.

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
            right = points @ self.normals.T + self.biases > 0
            for level in range(self.depth):
                node = part[:, level]
                turns = right[np.arange(len(part)), node]
                part[:, level + 1] = 2 * node + 1 + turns
        return nodes

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
        """Return the tree that `to_json` wrote."""
        return cls(**json.loads(text))


def ancestors(node: int) -> list[int]:
    """Return the nodes above a node, nearest first, in breadth-first numbering."""
    above = []
    while node > 0:
        node = (node - 1) // 2
        above.append(node)
    return above
