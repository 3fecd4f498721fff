"""Experiment 2: copy a DNN's gates on the way, retrain the value network on each."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Cell, Experiment, Measured
from dlgn_keras.experiments.tables import Table, mean
from dlgn_keras.training import named_recipe

# Test accuracy in %; the figures after 30, 40 and 50 epochs are read off a plot.
PUBLISHED = (67.09, 72.29, 74.42, 77.1, 78.5, 78.7, 79.43)


def cells(scale: str) -> list[Cell]:
    """Return a cell per stage of the DNN's training, the untrained DNN first."""
    if scale == "paper":
        step, retrain, changes = 10, 80, {}
    else:
        step, retrain = 2, 20
        changes = {
            "skeleton": "gconv:filters=8-8-16-16,units=32-32",
            "data": "digits",
            "learning_rate": 2e-3,
        }
    last = step * (len(PUBLISHED) - 1)
    dnn = named_recipe("p0-gconv-adam", **{**changes, "epochs": last})
    dgn = {**changes, "family": "dgn", "epochs": retrain}
    return [
        Cell(
            {"row": f"after {k * step} epochs"},
            named_recipe("p0-gconv-adam", **dgn),
            gates_of=dnn,
            gates_epoch=k * step,
            published=published,
        )
        for k, published in enumerate(PUBLISHED)
    ]


def columns(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return the accuracy that the DNN itself had when its gates were copied."""
    return [
        {
            "gates' epoch": one.cell.gates_epoch,
            "DNN then": mean(
                100 * row["test_accuracy"]
                for source in one.sources
                for row in source.history
                if row["epoch"] == one.cell.gates_epoch
            ),
        }
        for one in measured
    ]


def figure(table: Table, path: Path) -> Path:
    """Draw accuracy over the stages: retrained value network, DNN, published."""
    columns = {
        "last": "value network on copied gates, last epoch",
        "DNN then": "the DNN then",
        "published": "published",
    }
    return tables.curves(table, path, "gates' epoch", columns, "test accuracy, %")


EXPERIMENT = Experiment(
    name="gate-copying",
    title="Gates copied from a DNN on the way, a value network retrained on each",
    source="arXiv 2006.10529, Figure 5 (GCONV, Adam, CIFAR-10); the CNTK of Arora et "
    "al. 2019 has 77.43",
    needs={"small": "nothing (digits)", "paper": "cifar10, an accelerator"},
    time={"small": "3 minutes a seed", "paper": "620 GCONV epochs a seed"},
    cells=cells,
    columns=columns,
    figure=figure,
    notes=(
        "`DNN then`: the DNN's own test accuracy when its gates were copied. The "
        "published figures are for gates copied after 0, 10, ..., 60 epochs.",
    ),
)
