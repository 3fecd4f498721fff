"""Experiment 5: every order of the gate layers of a four-layer net."""

import itertools
from pathlib import Path

from dlgn_keras.experiments import families, tables
from dlgn_keras.experiments.experiment import Cell, Experiment
from dlgn_keras.experiments.tables import Table

ORDERS = tuple(itertools.permutations(range(4)))


def cells(scale: str) -> list[Cell]:
    """Return 24 orders, the identity first, for DGN and DLGN and both value inputs."""
    row = families.rows(scale)[0]
    return [
        Cell(
            {
                "row": f"{family}-{value_input}",
                "order": "".join(str(k + 1) for k in order),
            },
            families.recipe(
                scale,
                row,
                family=family,
                value_input=value_input,
                gate_order=None if order == ORDERS[0] else order,
            ),
        )
        for family in ("dgn", "dlgn")
        for value_input in ("input", "ones")
        for order in ORDERS
    ]


def figure(table: Table, path: Path) -> Path:
    """Draw a dot per order, a line of them per family and value input."""
    return tables.strip(table, path, marked=lambda line: line["order"] == "1234")


EXPERIMENT = Experiment(
    name="gate-orders",
    title="All 23 permutations of the gate layers of a four-layer net",
    source="arXiv 2110.03403, section 4 (C4GAP; no figures at hand)",
    needs={"small": "nothing (digits)", "paper": "cifar10, an accelerator"},
    time={"small": "10 minutes a seed", "paper": "96 runs of 64k steps a seed"},
    cells=cells,
    figure=figure,
    notes=(
        "`order` 2134: the gates made at the first layer stand at the second, and "
        "so on. Row dgn-ones: a DGN whose value network sees all ones.",
    ),
)
