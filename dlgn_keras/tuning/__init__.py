"""Tuning: search spaces for DNN, DGN and DLGN, and searches that survive the night.

KerasTuner is imported when one of these names is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

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

_HOME = {
    "ALGORITHMS": "oracles",
    "GatedHyperModel": "hypermodel",
    "OBJECTIVES": "objectives",
    "SPACES": "spaces",
    "Tuned": "results",
    "named_space": "spaces",
    "search": "searching",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(f"{__name__}.{_HOME[name]}")
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
