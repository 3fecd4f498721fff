"""Exact interpretation of networks: contributions, paths, filters, hyperplanes."""

from dlgn_keras.interpret import attributions, faithfulness, plots
from dlgn_keras.interpret.by_quantus import quantus_scores
from dlgn_keras.interpret.contributions import explain, gate_contributions
from dlgn_keras.interpret.explanation import Explanation
from dlgn_keras.interpret.faithfulness import Faithfulness, Interval
from dlgn_keras.interpret.filters import (
    GateFilters,
    Spectrum,
    all_gate_filters,
    gate_filters,
    spectrum,
)
from dlgn_keras.interpret.hyperplanes import (
    HyperplaneRecorder,
    Hyperplanes,
    PatternCounts,
    distances,
    gate_patterns,
    hyperplanes,
    margins,
)
from dlgn_keras.interpret.local import AffineUnits, filters_at, local_filters
from dlgn_keras.interpret.regions import Region, path_regions, slice_regions
from dlgn_keras.interpret.report import load_image, report
from dlgn_keras.interpret.top_paths import Path, TopPaths, top_paths
from dlgn_keras.interpret.trees import (
    Clusters,
    NodeDistances,
    affine_fits,
    cluster_hyperplanes,
    discontinuities,
    node_distances,
    oblique_tree,
    prune_tree,
    refine_tree,
)

__all__ = [
    "AffineUnits",
    "Clusters",
    "Explanation",
    "Faithfulness",
    "GateFilters",
    "HyperplaneRecorder",
    "Hyperplanes",
    "Interval",
    "NodeDistances",
    "Path",
    "PatternCounts",
    "Region",
    "Spectrum",
    "TopPaths",
    "affine_fits",
    "all_gate_filters",
    "attributions",
    "cluster_hyperplanes",
    "discontinuities",
    "distances",
    "explain",
    "faithfulness",
    "filters_at",
    "gate_contributions",
    "gate_filters",
    "gate_patterns",
    "hyperplanes",
    "load_image",
    "local_filters",
    "margins",
    "node_distances",
    "oblique_tree",
    "path_regions",
    "plots",
    "prune_tree",
    "quantus_scores",
    "refine_tree",
    "report",
    "slice_regions",
    "spectrum",
    "top_paths",
]
