"""Kernels of trained models: exact, and at the scale of whole data sets.

- exact neural path kernel: `npk`, `npk_diagonal`; tiles on devices: `DeviceExecutor`
- its estimate from random path features: `path_features`, `npk_estimate`
- neural tangent kernel of a model at its current weights: `ntk`
- learning with them: `NPKClassifier`
- measures of a Gram: `alignment`, `effective_rank`, `eigenvalues`, `nu`
- a study that applies these to several models: `study`, `draw_study`
"""

from typing import TYPE_CHECKING, Any

from dlgn_keras.kernels.devices import DeviceExecutor
from dlgn_keras.kernels.features import Estimate, npk_estimate, path_features
from dlgn_keras.kernels.gram import npk, npk_diagonal
from dlgn_keras.kernels.measures import (
    alignment,
    draw_study,
    effective_rank,
    eigenvalues,
    nu,
    study,
)
from dlgn_keras.kernels.ntk import ntk

if TYPE_CHECKING:
    from dlgn_keras.kernels.classifier import NPKClassifier

__all__ = [
    "DeviceExecutor",
    "Estimate",
    "NPKClassifier",
    "alignment",
    "draw_study",
    "effective_rank",
    "eigenvalues",
    "npk",
    "npk_diagonal",
    "npk_estimate",
    "ntk",
    "nu",
    "path_features",
    "study",
]


def __getattr__(name: str) -> Any:
    """Load scikit-learn on first use of its estimator."""
    if name == "NPKClassifier":
        from dlgn_keras.kernels.classifier import NPKClassifier

        return NPKClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
