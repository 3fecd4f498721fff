"""Pictures of all results of `dlgn_keras.interpret`, as matplotlib figures."""

from dlgn_keras.interpret.plots.capture import animate_capture
from dlgn_keras.interpret.plots.diagrams import (
    plot_curves,
    plot_distances,
    plot_margins,
    plot_paths,
    plot_tree,
)
from dlgn_keras.interpret.plots.maps import (
    plot_contributions,
    plot_filters,
    plot_gates,
    plot_spectrum,
)
from dlgn_keras.interpret.plots.plane import (
    animate_hyperplanes,
    plot_path_regions,
    plot_regions,
)

__all__ = [
    "animate_capture",
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
