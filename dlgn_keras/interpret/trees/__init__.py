"""Trees read off the gates of a DLGN, and how near its gates are to known trees."""

from dlgn_keras.interpret.trees.choose import affine_fits
from dlgn_keras.interpret.trees.clusters import Clusters, cluster_hyperplanes
from dlgn_keras.interpret.trees.discontinuity import discontinuities
from dlgn_keras.interpret.trees.extract import oblique_tree
from dlgn_keras.interpret.trees.nodes import NodeDistances, node_distances
from dlgn_keras.interpret.trees.refine import refine_tree
from dlgn_keras.interpret.trees.retrain import node_trainer

__all__ = [
    "Clusters",
    "NodeDistances",
    "affine_fits",
    "cluster_hyperplanes",
    "discontinuities",
    "node_distances",
    "node_trainer",
    "oblique_tree",
    "refine_tree",
]
