"""Experiment: when each gate finds a node of the tree, parents before children.

The gating vectors of a DLGN-SF are followed through training: their norms, and their
largest |cosine| to the normals of the tree that labels the points.
"""

from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras import data, interpret
from dlgn_keras.data import ObliqueTree
from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Call, Cell, Experiment, describe
from dlgn_keras.experiments.runs import frames, kept_model
from dlgn_keras.experiments.tables import Table, mean_std
from dlgn_keras.interpret import plots
from dlgn_keras.models import GatedModel
from dlgn_keras.skeletons import fc
from dlgn_keras.tools.files import make_folder, write_atomically
from dlgn_keras.training import Recipe, load_trained

NORM, COSINE = 2.5, 0.8  # a vector beyond both has captured a node
FRAMES = 40


class Setup(NamedTuple):
    """A tree, points labelled by it, and the net."""

    points: int
    dim: int
    depth: int
    sites: int
    epochs: int


SETUPS = {"small": Setup(5000, 20, 3, 3, 60), "paper": Setup(80_000, 100, 5, 5, 200)}


class Seen(NamedTuple):
    """One run. epochs: of the frames. norms: (frames, vectors).

    cosines: (frames, vectors, nodes), absolute. accuracy: after the last epoch, %.
    """

    epochs: list[int]
    norms: np.ndarray
    cosines: np.ndarray
    accuracy: float

    def captures(self) -> list[int | None]:
        """Return the first frame's epoch at which each node is captured."""
        held = (self.norms[:, :, None] > NORM) & (self.cosines > COSINE)
        found = np.asarray(held.any(axis=1)).T  # (nodes, frames)
        return [
            self.epochs[int(epochs.argmax())] if epochs.any() else None
            for epochs in found
        ]


def labelled(scale: str) -> tuple[dict[str, Any], ObliqueTree]:
    """Return the points of a scale, half of them for testing, and their tree."""
    setup = SETUPS[scale]
    x, y, tree = data.sample_oblique_tree(2 * setup.points, setup.dim, setup.depth)
    k = setup.points
    parts = {"x_train": x[:k], "y_train": y[:k], "x_test": x[k:], "y_test": y[k:]}
    return parts, tree


def cells(scale: str, path: str) -> list[Cell]:
    """Return the DLGN-SF of a scale."""
    setup = SETUPS[scale]
    recipe = Recipe(
        family="dlgn",
        shallow=True,
        value_input="ones",
        beta=30.0,
        skeleton=fc(setup.sites, 16),
        data=path,
        epochs=setup.epochs,
        learning_rate=0.02,
        batch_size=max(200, setup.points // 200),
    )
    return [Cell({"row": f"depth-{setup.depth}"}, recipe)]


def run(call: Call) -> Table:
    """Train, and look at the gating vectors of kept epochs."""
    parts, tree = labelled(call.scale)
    setup = SETUPS[call.scale]
    folder = make_folder(call.runs.out / "data")
    path = folder / f"tree-{setup.dim}d-{setup.depth}-{setup.points}.npz"
    if not path.is_file():
        write_atomically(path, lambda part: np.savez_compressed(part, **parts))
    (cell,) = call.chosen(cells(call.scale, str(path.resolve())))
    found: list[Seen] = []

    def tabulate() -> Table:
        return call.make_table(_lines(cell, tree, found), NOTES)

    for seed in range(call.seeds):
        recipe = cell.recipe.replace(seed=seed)
        keep = frames(recipe.epochs, FRAMES)
        result = call.runs.fit(recipe, keep)
        runs = call.runs.folder(recipe, keep)
        nets = (load_trained(str(kept_model(runs, epoch))) for epoch in keep)
        norms, cosines = zip(*(aligned(net, tree) for net in nets), strict=True)
        accuracy = 100 * result.test_accuracy
        found.append(Seen(keep, np.array(norms), np.array(cosines), accuracy))
        tabulate().write(call.folder)
        if seed == 0:
            plots.animate_capture(
                found[0].norms,
                found[0].cosines.max(axis=2),
                call.folder / "moving.gif",
                keep,
                (NORM, COSINE),
            )
    table = tabulate()
    call.write(table)
    return table


def aligned(net: GatedModel, tree: ObliqueTree) -> tuple[np.ndarray, np.ndarray]:
    """Return the gating vectors' norms, and |cosines| to the nodes' normals."""
    normals = interpret.hyperplanes(net).normals
    norms = np.linalg.norm(normals, axis=1)
    units = normals / np.maximum(norms, 1e-12)[:, None]
    nodes = tree.normals / np.linalg.norm(tree.normals, axis=1, keepdims=True)
    return norms, np.abs(units @ nodes.T)


def _lines(
    cell: Cell, tree: ObliqueTree, found: Sequence[Seen]
) -> list[dict[str, Any]]:
    captured = [seen.captures() for seen in found]
    lines = []
    for node in range(len(tree.normals) if found else 0):
        epochs = [one[node] for one in captured]
        known = [epoch for epoch in epochs if epoch is not None]
        nearest = [int(seen.cosines[-1, :, node].argmax()) for seen in found]
        near = list(zip(found, nearest, strict=True))
        first = [_after_parent(one, node) for one in captured]
        first = [one for one in first if one is not None]
        lines.append(
            {
                **cell.labels,
                "node": node,
                "level": (node + 1).bit_length() - 1,
                "net": describe(cell.recipe.skeleton),
                "epochs": cell.recipe.epochs,
                "seeds": len(found),
                **mean_std("last", [seen.accuracy for seen in found]),
                "captured": round(100 * len(known) / len(found), 1),
                **mean_std("epoch", known),
                "after parent": round(100 * fmean(first), 1) if first else None,
                **mean_std("cosine", [s.cosines[-1, k, node] for s, k in near]),
                **mean_std("norm", [seen.norms[-1, k] for seen, k in near]),
            }
        )
    return lines


def _after_parent(captured: Sequence[int | None], node: int) -> bool | None:
    """Return whether a captured node's parent was captured no later; None: no answer.

    The root, and a node that was never captured, give none.
    """
    own = captured[node]
    if not node or own is None:
        return None
    parent = captured[(node - 1) // 2]
    return parent is not None and parent <= own


NOTES = (
    f"A node is captured when a gating vector has a norm above {NORM} and a |cosine| "
    f"above {COSINE} to the node's normal. `captured`: share of the seeds in which "
    "this ever happens, %; `epoch`: the first of the kept epochs at which it has; "
    "`after parent`: share of these seeds in which the parent was captured at the "
    "same one or before, %. `cosine`, `norm`: of the vector nearest to the node, after "
    "the last epoch. Mean ± standard deviation over seeds; `last`: test accuracy.",
    "moving.gif: norm and largest |cosine| of every gating vector of seed 0.",
)


def figure(table: Table, path: Path) -> Path:
    """Draw when each node is captured, joined to its parent, level by level."""

    def fill(axes: Any) -> None:
        known = [line for line in table.lines if line["epoch mean"] is not None]
        when = {line["node"]: line["epoch mean"] for line in known}
        for line in known:
            node, level = line["node"], line["level"]
            across = level + _shift(node)
            axes.errorbar(
                across,
                line["epoch mean"],
                yerr=line["epoch std"] or 0.0,
                color="black",
                marker="o",
                capsize=2,
                label=None if node else "mean over seeds ± deviation",
            )
            parent = (node - 1) // 2
            if node and parent in when:
                ends = level - 1 + _shift(parent), across
                axes.plot(ends, (when[parent], when[node]), color="0.7", zorder=0)
        axes.plot([], [], color="0.7", label="parent to child")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.set_xlabel("level of the node (0: the root)")
        axes.set_ylabel("epoch of its capture")
        axes.set_title(table.title, fontsize=10)

    return tables.draw(path, (7.5, 4.5), fill)


def _shift(node: int) -> float:
    """Return where in its level's column a node is drawn."""
    level = (node + 1).bit_length() - 1
    return 0.6 * ((node + 1 - 2**level + 0.5) / 2**level - 0.5)


EXPERIMENT = Experiment(
    name="lenses",
    title="When a DLGN's gates find the nodes of the tree",
    source='"Layers as Lenses", preprint 2026: norms, cosines and capture epochs (no '
    "figures of them at hand)",
    needs={"small": "nothing (data are generated)", "paper": "the same"},
    time={"small": "1 minute a seed", "paper": "one CPU core: an hour a seed"},
    figure=figure,
    run=run,
)
