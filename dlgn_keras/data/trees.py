"""A complete oblique decision tree: its nodes, leaves and labels."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from dlgn_keras.data.routing import Routing


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
        leaf_labels: (2^depth,) class of each leaf, int64; or, if they are floats, the
            number that each predicts, float64.

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
        labels = np.array(self.leaf_labels)
        labels = labels.astype(np.float64 if labels.dtype.kind == "f" else np.int64)
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

    @cached_property
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
        return self.above(self.leaf(x))

    def above(self, leaves: np.ndarray) -> np.ndarray:
        """Return the nodes on the way to each leaf, root first, (n, depth)."""
        return (leaves[:, None] + 2**self.depth >> np.arange(self.depth, 0, -1)) - 1

    def leaf(self, x: Any) -> np.ndarray:
        """Return the leaf of each point, (n,) numbers from 0 to 2^depth - 1."""
        x = np.asarray(x)
        if x.ndim != 2 or x.shape[1] != self.dim:
            raise ValueError(
                f"`x` must be of shape (n, {self.dim}). Received: shape {x.shape}."
            )
        return self._routing.leaf(x)

    @cached_property
    def _routing(self) -> Routing:
        # float64, so that the side does not depend on how points are batched.
        return Routing(self.normals, self.biases)

    def predict(self, x: Any) -> np.ndarray:
        """Return the label of each point, (n,) int64 or float64, as `leaf_labels`."""
        return self.leaf_labels[self.leaf(x)]

    def rescaled(self, scale: Any, offset: Any) -> "ObliqueTree":
        """Return the tree that says of u what this tree says of `scale * u + offset`.

        Args:
            scale, offset: (dim,) numbers, or one for all features.

        Example:
            >>> from dlgn_keras.data import ObliqueTree
            >>> tree = ObliqueTree([[1.0, 0.0]], [-10.0], [0, 1])
            >>> tree.rescaled(2.0, 0.0).predict([[4.0, 0.0], [6.0, 0.0]]).tolist()
            [0, 1]
        """
        normals = self.normals * np.asarray(scale, np.float64)
        shift = self.normals @ np.broadcast_to(np.asarray(offset, float), self.dim)
        return ObliqueTree(normals, self.biases + shift, self.leaf_labels)

    def counts(
        self, x: Any, y: Any, num_classes: int, weights: np.ndarray | None = None
    ) -> np.ndarray:
        """Return how many points of each class meet each node, and each leaf.

        Args:
            x: (n, dim) points. y: (n,) class numbers below `num_classes`.
            weights: (n,) weights of the points; None is 1 for all.

        Returns:
            (2^(depth + 1) - 1, num_classes) float64: nodes, then leaves.

        Example:
            >>> from dlgn_keras.data import ObliqueTree
            >>> tree = ObliqueTree([[1.0]], [0.0], [0, 1])
            >>> tree.counts([[-1.0], [2.0], [3.0]], [0, 1, 1], 2).tolist()
            [[1.0, 2.0], [1.0, 0.0], [0.0, 2.0]]
        """
        member = np.asarray(y)[:, None] == np.arange(num_classes)
        return self.sums(x, member if weights is None else member * weights[:, None])

    def sums(self, x: Any, amounts: np.ndarray) -> np.ndarray:
        """Return the sums of amounts over the points that meet each node, and leaf.

        Args:
            x: (n, dim) points. amounts: (n, k) numbers, k for each point.

        Returns:
            (2^(depth + 1) - 1, k) float64: nodes, then leaves.

        Example:
            >>> import numpy as np
            >>> from dlgn_keras.data import ObliqueTree
            >>> tree = ObliqueTree([[1.0]], [0.0], [0, 1])
            >>> tree.sums([[-1.0], [2.0], [3.0]], np.array([[1], [5], [7]])).tolist()
            [[13.0], [1.0], [12.0]]
        """
        nodes = len(self.normals)
        found = np.zeros((2 * nodes + 1, amounts.shape[1]))
        leaf = self.leaf(x)
        for k, column in enumerate(amounts.T):
            found[nodes:, k] = np.bincount(leaf, column, nodes + 1)
        for node in reversed(range(nodes)):
            found[node] = found[2 * node + 1] + found[2 * node + 2]
        return found

    def cut(self, depth: int, values: np.ndarray) -> "ObliqueTree":
        """Return the tree's first questions, with new leaves.

        Args:
            depth: of the result, at most this tree's.
            values: (2^(depth + 1) - 1,) at least, labels of nodes and leaves; those
                of the result's leaves are taken.
        """
        nodes = 2**depth - 1
        leaves = values[nodes : 2 * nodes + 1]
        return ObliqueTree(self.normals[:nodes], self.biases[:nodes], leaves)

    def to_text(
        self,
        names: Sequence[str] | None = None,
        terms: int | None = 4,
        *,
        class_names: Sequence[Any] | None = None,
        decimals: int = 2,
    ) -> str:
        """Return the tree as text, one line a node, each below its parent.

        Args:
            names: (dim,) names of the features; default "x0", "x1", ...
            terms: number of features to write per node: those with the largest weights
                in the normal, scaled to length 1; None writes all.
            class_names: a name for each class number; default the numbers.
            decimals: digits after the point; numbers at leaves have two digits more,
                before and after it.

        Raises:
            ValueError: not `dim` names.

        Example:
            >>> from dlgn_keras.data import ObliqueTree
            >>> print(ObliqueTree([[3.0, -4.0]], [1.0], [0, 1]).to_text(["a", "b"]))
            -0.80 b + 0.60 a + 0.20 > 0
            |-- no: class 0
            `-- yes: class 1
        """
        names = self.check_names(names)

        def lines(node: int) -> list[str]:
            node = self.skip(node)
            if node >= len(self.normals):
                return [self.answer(node, class_names, decimals)]
            below = [f"{self.question(node, names, terms, decimals)} > 0"]
            for child, start, indent in (
                (2 * node + 1, "|-- no: ", "|   "),
                (2 * node + 2, "`-- yes: ", "    "),
            ):
                first, *rest = lines(child)
                below += [start + first, *(indent + line for line in rest)]
            return below

        return "\n".join(lines(0))

    def __str__(self) -> str:
        return self.to_text()

    def check_names(self, names: Sequence[str] | None) -> list[str]:
        """Return a name for each feature; default "x0", "x1", ..."""
        names = [f"x{k}" for k in range(self.dim)] if names is None else list(names)
        if len(names) != self.dim:
            raise ValueError(
                f"`names` must hold {self.dim} names. Received: {len(names)} names."
            )
        return names

    def skip(self, node: int) -> int:
        """Return the node, or the first below it that asks, or else the leaf."""
        asks = self.asks
        while node < len(asks) and not asks[node]:
            node = 2 * node + 1
        return node

    def answer(
        self, leaf: int, class_names: Sequence[Any] | None = None, decimals: int = 2
    ) -> str:
        """Return "class" and its name, or "value" and its digits, of a leaf.

        Args:
            leaf: its number; leaves follow the nodes.
        """
        label = self.leaf_labels[leaf - len(self.normals)]
        if self.leaf_labels.dtype.kind == "f":
            return f"value {label:.{decimals + 2}g}"
        return f"class {label if class_names is None else class_names[label]}"

    def question(
        self,
        node: int,
        names: Sequence[str],
        terms: int | None = 4,
        decimals: int = 2,
    ) -> str:
        """Return the left side of a node's inequality, its `terms` largest terms."""
        length = float(np.linalg.norm(self.normals[node])) or 1.0
        normal, bias = self.normals[node] / length, float(self.biases[node]) / length
        heaviest = np.argsort(-np.abs(normal), kind="stable")
        heaviest = [k for k in heaviest if normal[k]]
        parts = [
            (normal[k], f"{abs(normal[k]):.{decimals}f} {names[k]}") for k in heaviest
        ]
        if terms is not None and len(heaviest) > terms:
            parts[terms:] = [(1.0, "...")]
        if round(bias, decimals) or not parts:
            parts.append((bias, f"{abs(bias):.{decimals}f}"))
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


def ancestors(node: int) -> list[int]:
    """Return the nodes above a node, nearest first, in breadth-first numbering."""
    above = []
    while node > 0:
        node = (node - 1) // 2
        above.append(node)
    return above
