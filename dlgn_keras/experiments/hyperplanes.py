"""Experiment 10, second part: gate hyperplanes move to the nodes of the tree."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras import data, interpret
from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Call, Cell, Experiment, describe
from dlgn_keras.experiments.tables import Table, mean_std
from dlgn_keras.interpret import NodeDistances
from dlgn_keras.models import GatedModel
from dlgn_keras.training import build_model, load_trained, named_recipe

RADIUS = 0.3
# Hyperplanes within the radius of nodes 0 to 14, 4 x 20 DLGN on data like sdii.
PUBLISHED = (13, 3, 5, 2, 1, 1, 1, 2, 1, 1, 1, 1, 1, 2, 1)
BEFORE, AFTER = "1.17-1.28", "0.05-0.10"
SMALL_EPOCHS = 200
MOST_EPOCHS_A_ROUND = 50  # nothing is looked at in between

Found = dict[tuple[str, int], list[tuple[NodeDistances, NodeDistances, float]]]


def cells(scale: str) -> list[Cell]:
    """Return the published DLGN, and at small scale shorter ones on two sets."""
    if scale == "paper":
        return [Cell({"row": "sdii"}, named_recipe("p4-dlgn-sdii"))]
    # Gentler steps make up for fewer of them.
    short = {"epochs": SMALL_EPOCHS, "learning_rate": 5e-3}
    return [
        Cell({"row": name}, named_recipe(f"p4-dlgn-{name}", **short))
        for name in ("sdi", "sdii")
    ]


def run(call: Call) -> Table:
    """Train, and measure distances before and after."""
    planned = call.chosen(cells(call.scale))
    for cell in planned:
        if cell.recipe.data not in ("sdi", "sdii", "sdiii"):
            raise ValueError(
                "`data` must be sdi, sdii or sdiii, whose trees are known. "
                f"Received: data={cell.recipe.data!r}."
            )
    found: Found = {}
    jumps: dict[str, np.ndarray] = {}

    def tabulate() -> Table:
        return call.make_table(_lines(planned, found, jumps), NOTES)

    for seed in range(call.seeds):
        for cell in planned:
            recipe = cell.recipe.replace(seed=seed)
            if "evaluate_every" not in call.changes:
                rounds = math.gcd(recipe.epochs, MOST_EPOCHS_A_ROUND)
                recipe = recipe.replace(evaluate_every=rounds)
            result = call.runs.fit(recipe)
            dataset, tree = data.oblique_dataset(recipe.data)
            row = cell.labels["row"]
            if row not in jumps:
                points = dataset.x_test.astype(float)
                jumps[row] = interpret.discontinuities(tree, points, tree.predict, 1.0)
            # The same seed builds the same net: this is where the run began.
            before = build_model(recipe, dataset)
            after = load_trained(str(call.runs.folder(recipe)))
            pair = _near(before, tree), _near(after, tree), 100 * result.test_accuracy
            found.setdefault((row, len(tree.normals)), []).append(pair)
            tabulate().write(call.folder)
    table = tabulate()
    call.write(table)
    return table


def _near(net: GatedModel, tree: data.ObliqueTree) -> NodeDistances:
    return interpret.node_distances(interpret.hyperplanes(net), tree, RADIUS)


def _lines(
    planned: Sequence[Cell], found: Found, jumps: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    lines = []
    for cell in planned:
        for (row, nodes), draws in found.items():
            if row != cell.labels["row"]:
                continue
            for node in range(nodes):
                lines.append(
                    {
                        "row": row,
                        "net": describe(cell.recipe.skeleton),
                        "epochs": cell.recipe.epochs,
                        "seeds": len(draws),
                        **mean_std("last", [d[2] for d in draws]),
                        "node": node,
                        "jump": round(float(jumps[row][node]), 4),
                        **mean_std("before", [d[0].nearest[node] for d in draws]),
                        **mean_std("after", [d[1].nearest[node] for d in draws]),
                        **mean_std("within", [int(d[1].within[node]) for d in draws]),
                        "published within": PUBLISHED[node] if row == "sdii" else None,
                    }
                )
    return lines


NOTES = (
    "`before`, `after`: distance min |u/|u| -+ v/|v|| of the nearest gate hyperplane's "
    "normal to the node's, before and after training; `within`: how many hyperplanes "
    f"are within {RADIUS} after training. Mean ± standard deviation over seeds of the "
    "net, the tree being one and the same.",
    "`jump`: the node's local discontinuity coefficient, the share of its hyperplane "
    "across which the label changes. `last`: test accuracy after the last epoch, %.",
    f"Published for data like sdii: nearest {BEFORE} before and {AFTER} after; "
    "`published within` of a tree of its own, nodes of a level in no special order.",
)


def figure(table: Table, path: Path) -> Path:
    """Draw distances before and after, node by node."""
    names = tables.rows_of(table)

    def fill(axes: Any) -> None:
        for k, name in enumerate(names):
            lines = [line for line in table.lines if line["row"] == name]
            nodes = np.array([line["node"] for line in lines]) + 0.2 * k
            for j, when in enumerate(("before", "after")):
                colour, marker = tables.STYLES[2 * k + j]
                axes.errorbar(
                    nodes,
                    [line[f"{when} mean"] for line in lines],
                    yerr=[line[f"{when} std"] or 0.0 for line in lines],
                    label=f"{name}, {when} training",
                    color=colour,
                    marker=marker,
                    linestyle="none",
                    capsize=2,
                )
        axes.axhline(RADIUS, color="0.5", linewidth=0.8, linestyle="--")
        axes.set_ylim(0, 1.42)
        axes.set_xticks(range(len(PUBLISHED)))
        axes.set_xlabel("node of the tree, root first")
        axes.set_ylabel("distance of the nearest hyperplane")
        axes.set_title(table.title, fontsize=10)

    return tables.draw(path, (7.5, 4.5), fill)


EXPERIMENT = Experiment(
    name="hyperplanes",
    title="Distance of a DLGN's nearest hyperplane to every node of the tree",
    source='"Deep Networks Learn Features From Local Discontinuities in the Label '
    'Function", ICLR 2025, table of hyperplane distances',
    needs={"small": "nothing (data are generated)", "paper": "the same"},
    time={"small": "1 minute a seed", "paper": "one CPU core: 3 minutes a seed"},
    figure=figure,
    run=run,
)
