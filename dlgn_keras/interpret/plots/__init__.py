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

__all__ = [
    "plot_contributions",
    "plot_curves",
    "plot_distances",
    "plot_filters",
    "plot_gates",
    "plot_margins",
    "plot_paths",
    "plot_regions",
    "plot_spectrum",
]
