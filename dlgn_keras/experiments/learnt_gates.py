"""Experiment 6: freeze learnt gates, retrain the value network from scratch."""

from dlgn_keras.experiments import families
from dlgn_keras.experiments.experiment import Cell, Experiment
from dlgn_keras.models import FAMILIES

REVERSED = (3, 2, 1, 0)
RETRAINED: dict[str, dict] = {
    "retrained": {},
    "retrained, all-ones input": {"value_input": "ones"},
    "retrained, gate layers reversed": {"gate_order": REVERSED},
    "retrained, reversed and all-ones": {
        "gate_order": REVERSED,
        "value_input": "ones",
    },
}


def cells(scale: str) -> list[Cell]:
    """Return, per family, the whole net and value networks on its frozen gates."""
    row = families.rows(scale)[0]
    found = []
    for family in FAMILIES:
        whole = families.recipe(scale, row, family=family)
        found.append(Cell({"row": family, "value network": "trained with it"}, whole))
        gated = FAMILIES[family].has_gating_network
        twin = {"family": family if gated else "dgn"}
        for name, options in RETRAINED.items():
            found.append(
                Cell(
                    {"row": family, "value network": name},
                    families.recipe(scale, row, **twin, **options),
                    gates_of=whole,
                )
            )
    return found


EXPERIMENT = Experiment(
    name="learnt-gates",
    title="Value network retrained from learnt gates",
    source="arXiv 2110.03403, section 4 (C4GAP; no figures at hand)",
    needs={"small": "nothing (digits)", "paper": "cifar10, an accelerator"},
    time={"small": "3 minutes a seed", "paper": "15 runs of 64k steps a seed"},
    cells=cells,
    notes=(
        "Row: whose gates are frozen, after the last epoch of training; frozen gates "
        "are hard. A retrained value network starts from the same random weights.",
    ),
)
