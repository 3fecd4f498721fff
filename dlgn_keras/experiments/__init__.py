"""Experiments: the papers' tables and figures, each by one call.

Each experiment is a module, loaded when it is asked for.
"""

import importlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

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

SCALES = ("small", "paper")


class _Registry(Mapping[str, "Experiment"]):
    """Name -> experiment. "gate-orders" is `EXPERIMENT` in the module gate_orders."""

    _names = (
        "regimes",
        "gate-copying",
        "families",
        "value-inputs",
        "gate-orders",
        "learnt-gates",
        "ntk-npk",
        "shallow",
        "alignment",
        "hyperplanes",
        "discs",
        "faithfulness",
        "ground-truth",
        "oblique-trees",
        "lenses",
    )

    def __getitem__(self, name: str) -> "Experiment":
        if name not in self._names:
            raise KeyError(name)
        module = f"dlgn_keras.experiments.{name.replace('-', '_')}"
        return importlib.import_module(module).EXPERIMENT

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names


EXPERIMENTS = _Registry()
