"""Experiment 8: deep against shallow gating on labels of oblique trees."""

from typing import Any

from dlgn_keras.experiments.experiment import Cell, Experiment
from dlgn_keras.training import named_recipe

# Model -> its named recipe (less the data's name), and what is set in it. The paper
# leaves its ReLU net's size open: as deep, wide and fast as the DLGN.
MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "DLGN": ("p4-dlgn", {}),
    "DLGN-SF": ("p4-dlgn-sf", {}),
    "ReLU": ("p4-dlgn", {"family": "dnn", "value_input": "input", "beta": 4.0}),
}
PUBLISHED = {
    "sdi": {"DLGN": 96.1, "DLGN-SF": 97.4, "ReLU": 90.6},
    "sdii": {"DLGN": 94.3, "DLGN-SF": 90.3, "ReLU": 82.3},
    "sdiii": {"DLGN": 65.1, "DLGN-SF": 63.6, "ReLU": 62.1},
}
# Ten times the steps an epoch, for a 25th of the epochs; without the largest set.
SMALL = {"sdi": {"batch_size": 200}, "sdii": {"batch_size": 300}}
SMALL_EPOCHS = 60


def cells(scale: str) -> list[Cell]:
    """Return DLGN, DLGN-SF and a ReLU net for each data set."""
    found = []
    for data, figures in PUBLISHED.items():
        if scale == "small" and data not in SMALL:
            continue
        size = {"epochs": SMALL_EPOCHS, **SMALL[data]} if scale == "small" else {}
        for model, (name, options) in MODELS.items():
            recipe = named_recipe(f"{name}-{data}", **options, **size)
            labels = {"row": data, "model": model}
            found.append(Cell(labels, recipe, published=figures[model]))
    return found


EXPERIMENT = Experiment(
    name="shallow",
    title="Deep against shallow gating on labels of oblique trees",
    source='"Deep Networks Learn Features From Local Discontinuities in the Label '
    'Function", ICLR 2025, Table 1',
    needs={"small": "nothing (data are generated)", "paper": "the same"},
    time={"small": "5 minutes a seed", "paper": "one CPU core: an hour a seed"},
    cells=cells,
    notes=(
        "Settings of DLGN and DLGN-SF are the best that the paper's search found; it "
        "chose them on a validation part, here `last` is the last epoch's.",
    ),
)
