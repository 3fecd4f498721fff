"""Pictures of everything `dlgn_keras.interpret` computes, as matplotlib figures."""

from dlgn_keras.interpret.plots.diagrams import (
    plot_curves,
    plot_distances,
    plot_margins,
    plot_paths,
    plot_regions,
)
from dlgn_keras.interpret.plots.maps import (
    plot_contributions,
    plot_filters,
    plot_gates,
    plot_spectrum,
)
from dlgn_keras.interpret.plots.plane import animate_hyperplanes, plot_path_regions
from dlgn_keras.interpret.plots.trees import plot_tree

__all__ = [
    "animate_hyperplanes",
    "plot_contributions",
    "plot_curves",
    "plot_distances",
    "plot_filters",
    "plot_gates",
    "plot_margins",
    "plot_path_regions",
    "plot_paths",
    "plot_regions",
    "plot_spectrum",
    "plot_tree",
]
