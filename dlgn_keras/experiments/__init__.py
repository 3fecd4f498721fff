"""Experiments: the papers' tables and figures, each by one call."""

from typing import TYPE_CHECKING

from dlgn_keras.experiments.registry import EXPERIMENTS
from dlgn_keras.tools import lazy

if TYPE_CHECKING:
    from dlgn_keras.experiments.experiment import Experiment, reproduce
    from dlgn_keras.experiments.runs import Runs
    from dlgn_keras.experiments.tables import Table

__all__ = ["EXPERIMENTS", "Experiment", "Runs", "Table", "reproduce"]

_HOMES = {
    "Experiment": "experiment",
    "Runs": "runs",
    "Table": "tables",
    "reproduce": "experiment",
}
__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)
