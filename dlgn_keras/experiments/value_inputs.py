"""Experiment 4: the image, or a constant, as what the value network sees."""

from dlgn_keras.experiments import families
from dlgn_keras.experiments.experiment import Cell, Experiment

VALUE_INPUTS = {"input": "x", "ones": "1"}


def cells(scale: str) -> list[Cell]:
    """Return the DNN, and DGN and DLGN with both value inputs, per set-up."""
    found = []
    for row in families.rows(scale):
        found.append(
            Cell(
                {"row": row, "model": "DNN"}, families.recipe(scale, row, family="dnn")
            )
        )
        for family in ("dgn", "dlgn"):
            for value_input, shown in VALUE_INPUTS.items():
                recipe = families.recipe(
                    scale, row, family=family, value_input=value_input
                )
                name = f"{family.upper()}(x, {shown})"
                found.append(Cell({"row": row, "model": name}, recipe))
    return found


EXPERIMENT = Experiment(
    name="value-inputs",
    title="Image against all-ones value input",
    source="arXiv 2110.03403, section 4 (no figures at hand)",
    needs=families.NEEDS,
    time={"small": "4 minutes a seed", "paper": "30 runs of 64k steps a seed"},
    cells=cells,
    notes=(
        "With the all-ones input, all that the output knows of the image comes "
        "through the gates.",
    ),
)
