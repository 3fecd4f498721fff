"""Experiment 3: DNN, DGN and DLGN of one skeleton, and their share of the DNN.

Its networks and data are those of the other experiments of arXiv 2110.03403.
"""

from collections.abc import Sequence
from typing import Any

from dlgn_keras.experiments.experiment import Cell, Experiment, Measured
from dlgn_keras.experiments.tables import mean
from dlgn_keras.training import Recipe, named_recipe
from dlgn_keras.training.recipe import FAMILIES

# Narrow enough for two CPU cores: minutes on 8 x 8 digits.
SMALL = {
    "c4gap-digits": "c4gap:width=16",
    "vgg16-digits": "vgg16:widths=8-16-32,repeats=1-1-2",
    "resnet8-digits": "resnet8:widths=8-8-16",
}
PAPER = tuple(
    f"{skeleton}-{data}"
    for data in ("cifar10", "cifar100")
    for skeleton in ("c4gap", "vgg16", "resnet110")
)

PUBLISHED = {"dlgn": "> 83.5"}
NEEDS = {"small": "nothing (digits)", "paper": "cifar10, cifar100, an accelerator"}


def rows(scale: str) -> tuple[str, ...]:
    """Return the names of the set-ups: "<skeleton>-<data>"."""
    return PAPER if scale == "paper" else tuple(SMALL)


def recipe(scale: str, row: str, **options: Any) -> Recipe:
    """Return the recipe of a set-up, with some fields set."""
    if scale == "paper":
        return named_recipe(f"p1-{row}", **options)
    small = {"skeleton": SMALL[row], "epochs": 20, "batch_norm": True}
    return named_recipe("digits", **{**small, **options})


def cells(scale: str) -> list[Cell]:
    """Return a cell per set-up and family."""
    return [
        Cell({"row": row, "family": family.upper()}, recipe(scale, row, family=family))
        for row in rows(scale)
        for family in FAMILIES
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
        found.append({"% of DNN": share, "published % of DNN": PUBLISHED.get(family)})
    return found


EXPERIMENT = Experiment(
    name="families",
    title="DNN, DGN and DLGN of the same skeleton",
    source="arXiv 2110.03403, abstract: a DLGN recovers more than 83.5 % of the DNN's "
    "accuracy on CIFAR-10 and CIFAR-100",
    needs=NEEDS,
    time={"small": "2 minutes a seed", "paper": "18 runs of 64k steps a seed"},
    cells=cells,
    columns=columns,
    notes=(
        "The three families share the skeleton, average pooling included; the DNN's "
        "is the same, so its VGG-16 has average pooling too.",
    ),
)
