"""Experiment 3: DNN, DGN and DLGN of one skeleton, and their share of the DNN."""

from collections.abc import Sequence
from typing import Any

from dlgn_keras.experiments import setups
from dlgn_keras.experiments.cells import Cell, Measured, mean
from dlgn_keras.experiments.experiment import Experiment


def cells(scale: str) -> list[Cell]:
    """Return a cell per set-up and family."""
    return [
        Cell({"row": row, "family": name}, setups.recipe(scale, row, family=family))
        for row in setups.rows(scale)
        for family, name in setups.FAMILY_NAMES.items()
    ]


def columns(measured: Sequence[Measured]) -> list[dict[str, Any]]:
    """Return each family's last-epoch accuracy as a share of the DNN's, in %."""
    accuracy = {
        (one.cell.labels["row"], one.cell.recipe.family): mean(
            100 * result.test_accuracy for result in one.results
        )
        for one in measured
    }
    found = []
    for row, family in accuracy:
        ours, dnn = accuracy[row, family], accuracy.get((row, "dnn"))
        share = round(100 * ours / dnn, 2) if ours is not None and dnn else None
        found.append(
            {
                "% of DNN": share,
                "published % of DNN": "> 83.5" if family == "dlgn" else None,
            }
        )
    return found


EXPERIMENT = Experiment(
    name="families",
    title="DNN, DGN and DLGN of the same skeleton",
    source="arXiv 2110.03403, abstract: a DLGN recovers more than 83.5 % of the DNN's "
    "accuracy on CIFAR-10 and CIFAR-100",
    needs=setups.NEEDS,
    time={"small": "2 minutes a seed", "paper": "18 runs of 64k steps a seed"},
    cells=cells,
    columns=columns,
    notes=(
        "The three families share the skeleton, average pooling included; the DNN's "
        "is the same, so its VGG-16 has average pooling too.",
    ),
)
