"""Tuning: search spaces for DNN, DGN and DLGN, and searches that can resume.

KerasTuner is imported when one of these names is first used.
"""

from typing import TYPE_CHECKING

from dlgn_keras.tools import lazy

if TYPE_CHECKING:
    from dlgn_keras.tuning.hypermodel import GatedHyperModel
    from dlgn_keras.tuning.oracles import ALGORITHMS
    from dlgn_keras.tuning.searching import search
    from dlgn_keras.tuning.spaces import OBJECTIVES, SPACES, named_space
    from dlgn_keras.tuning.trials import Tuned

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
    "OBJECTIVES": "spaces",
    "SPACES": "spaces",
    "Tuned": "trials",
    "named_space": "spaces",
    "search": "searching",
}
__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)
