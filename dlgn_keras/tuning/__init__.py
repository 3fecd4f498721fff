"""Tuning: search spaces for DNN, DGN and DLGN, and searches that survive the night.

KerasTuner is imported when one of these names is first used.
"""

from typing import TYPE_CHECKING

from dlgn_keras.tools import lazy

if TYPE_CHECKING:
    from dlgn_keras.tuning.hypermodel import GatedHyperModel
    from dlgn_keras.tuning.objectives import OBJECTIVES
    from dlgn_keras.tuning.oracles import ALGORITHMS
    from dlgn_keras.tuning.results import Tuned
    from dlgn_keras.tuning.searching import search
    from dlgn_keras.tuning.spaces import SPACES, named_space

__all__ = [
    "ALGORITHMS",
    "OBJECTIVES",
    "SPACES",
    "GatedHyperModel",
    "Tuned",
    "named_space",
    "search",
]

_HOMES = {
    "ALGORITHMS": "oracles",
    "GatedHyperModel": "hypermodel",
    "OBJECTIVES": "objectives",
    "SPACES": "spaces",
    "Tuned": "results",
    "named_space": "spaces",
    "search": "searching",
}
__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)
