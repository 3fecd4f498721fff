"""Trees extracted from the gates of a DLGN, and its gates compared with known trees."""

from dlgn_keras.interpret.trees.extract import (
    Clusters,
    affine_fits,
    cluster_hyperplanes,
    oblique_tree,
)
from dlgn_keras.interpret.trees.nodes import (
    NodeDistances,
    discontinuities,
    node_distances,
)
from dlgn_keras.interpret.trees.prune import prune_tree
from dlgn_keras.interpret.trees.refine import refine_tree

__all__ = [
    "Clusters",
    "NodeDistances",
    "affine_fits",
    "cluster_hyperplanes",
    "discontinuities",
    "node_distances",
    "oblique_tree",
    "prune_tree",
    "refine_tree",
]
