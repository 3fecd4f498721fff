"""Experiment 11: active path regions by layer, on discs and on a tree in the plane."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras import data, interpret
from dlgn_keras.data import ObliqueTree
from dlgn_keras.experiments.experiment import Call, Cell, Experiment, describe
from dlgn_keras.experiments.runs import frames, kept_model
from dlgn_keras.experiments.tables import Table, mean_std
from dlgn_keras.interpret import plots
from dlgn_keras.models import FAMILIES, GatedModel
from dlgn_keras.skeletons import fc
from dlgn_keras.tools.files import make_folder, write_atomically
from dlgn_keras.training import Recipe, load_trained

# A tree whose three cuts and four leaves one can see.
TREE = ObliqueTree(
    normals=np.array([[1.0, 0.4], [-0.3, 1.0], [0.6, -1.0]]),
    biases=np.array([0.1, 0.2, 0.0]),
    leaf_labels=np.array([0, 1, 0, 1]),
)
NUM_DISCS = 3
GATED = {"value_input": "ones", "beta": 10.0}
MODELS = ("dnn", "dlgn")
SETUPS: dict[str, dict[str, Any]] = {
    "small": {"points": 2000, "skeleton": fc(3, 8), "epochs": 120},
    "paper": {"points": 20_000, "skeleton": fc(4, 10), "epochs": 400},
}
MARKED = 500  # points in a picture
FRAMES = 24


def cells(scale: str, paths: dict[str, str]) -> list[Cell]:
    """Return a DNN and a DLGN with an all-ones value input for each data set."""
    setup = SETUPS[scale]
    return [
        Cell(
            {"row": row, "model": family.upper()},
            Recipe(
                family=family,
                data=path,
                skeleton=setup["skeleton"],
                epochs=setup["epochs"],
                batch_size=setup["points"] // 20,
                learning_rate=0.02 if scale == "small" else 0.01,
                **(GATED if FAMILIES[family].has_gating_network else {}),
            ),
        )
        for row, path in paths.items()
        for family in MODELS
    ]


def plane_data(folder: Path, name: str, points: int) -> Path:
    """Write the points to a file, half of them for testing; return it."""
    path = make_folder(folder) / f"{name}-2d-{points}.npz"
    if not path.is_file():
        if name == "discs":
            x, y, *_ = data.discs(2 * points, NUM_DISCS)
        else:
            x = np.random.default_rng(0).uniform(-1, 1, (2 * points, 2))
            x, y = x.astype(np.float32), TREE.predict(x.astype(np.float32))
        arrays = {"x_train": x[:points], "y_train": y[:points]}
        arrays |= {"x_test": x[points:], "y_test": y[points:]}
        write_atomically(path, lambda part: np.savez_compressed(part, **arrays))
    return path


def run(call: Call) -> Table:
    """Train, count regions and active paths, draw the nets of the first seed."""
    points = SETUPS[call.scale]["points"]
    names = ("discs", "tree")
    folder = call.runs.out / "data"
    paths = {name: str(plane_data(folder, name, points).resolve()) for name in names}
    planned = call.chosen(cells(call.scale, paths))
    lines: dict[tuple[str, str], list[tuple[float, list[dict[str, float]]]]] = {}
    pictures: dict[str, dict[str, Any]] = {}

    def tabulate() -> Table:
        return call.make_table(_lines(planned, lines), NOTES)

    for seed in range(call.seeds):
        for cell in planned:
            row, model = cell.labels["row"], cell.labels["model"]
            recipe = cell.recipe.replace(seed=seed)
            keep = frames(recipe.epochs, FRAMES) if _moves(cell, seed) else []
            result = call.runs.fit(recipe, keep)
            net = load_trained(str(call.runs.folder(recipe, keep)))
            dataset = call.runs.dataset(recipe)
            regions = interpret.path_regions(net)
            by_layer = _by_layer(net, regions, dataset)
            lines.setdefault((row, model), []).append(
                (100 * result.test_accuracy, by_layer)
            )
            tabulate().write(call.folder)
            x, y = dataset.x_train[:MARKED], dataset.y_train[:MARKED]
            if seed == 0:
                pictures.setdefault(row, {})[model] = regions
                drawn = plots.plot_path_regions(pictures[row], x, y)
                name = "figure" if row == names[0] else row
                _save(drawn, call.folder / f"{name}.png")
            if keep:
                run_folder = call.runs.folder(recipe, keep)
                records = [
                    interpret.hyperplanes(load_trained(str(kept_model(run_folder, k))))
                    for k in keep
                ]
                shown = TREE if row == "tree" else None
                plots.animate_hyperplanes(
                    records, call.folder / f"moving-{row}.gif", keep, x, y, shown
                )
    table = tabulate()
    table.write(call.folder)
    return table


def _moves(cell: Cell, seed: int) -> bool:
    """Whether the hyperplanes of this run are shown moving."""
    return cell.labels["model"] == "DLGN" and seed == 0


def _by_layer(
    net: GatedModel, regions: Sequence[Sequence[Any]], dataset: data.Dataset
) -> list[dict[str, float]]:
    """Return regions and the share of active paths by class, layer after layer."""
    gates = net.gates(dataset.x_test, "hard")
    share = np.ones(len(dataset.y_test))
    found = []
    for site, layer in zip(net.sites, regions, strict=True):
        share = share * gates[net.source_site(site.name)].mean(axis=1)
        counts: dict[str, float] = {"regions": len(layer)}
        for label in (0, 1):
            here = share[dataset.y_test == label]
            counts[f"active {label}"] = 100 * float(here.mean())
        found.append(counts)
    return found


def _lines(
    planned: Sequence[Cell], found: dict[tuple[str, str], list[Any]]
) -> list[dict[str, Any]]:
    lines = []
    for cell in planned:
        draws = found.get((cell.labels["row"], cell.labels["model"]), [])
        for layer in range(len(draws[0][1]) if draws else 0):
            line: dict[str, Any] = {
                **cell.labels,
                "net": describe(cell.recipe.skeleton),
                "epochs": cell.recipe.epochs,
                "seeds": len(draws),
                **mean_std("last", [last for last, _ in draws]),
                "layers": layer + 1,
            }
            for name in ("regions", "active 0", "active 1"):
                line |= mean_std(name, [layers[layer][name] for _, layers in draws])
            lines.append(line)
    return lines


def _save(drawn: Any, path: Path) -> None:
    make_folder(path.parent)
    write_atomically(path, lambda part: drawn.savefig(part, format="png", dpi=110))


NOTES = (
    "`regions`: pieces into which the gates of so many `layers` cut the square, "
    "exactly. `active 0`, `active 1`: share of all paths through these layers whose "
    "gates are all open, %, mean over the test points of a class (1: inside a disc). "
    "`last`: test accuracy after the last epoch, %. Mean ± standard deviation over "
    "seeds.",
    "figure.png and tree.png show the regions of seed 0, moving-*.gif its hyperplanes "
    "in training (dashed: the tree's nodes).",
)

EXPERIMENT = Experiment(
    name="discs",
    title="Active path regions by layer, on discs and on a tree in the plane",
    source='"Deep Networks Learn Features From Local Discontinuities in the Label '
    'Function", ICLR 2025, and "Half-Space Feature Learning in Neural Networks", 2024 '
    "(pictures, no figures at hand)",
    needs={"small": "nothing (data are generated)", "paper": "the same"},
    time={"small": "1 minute a seed", "paper": "one CPU core: 5 minutes a seed"},
    run=run,
)
