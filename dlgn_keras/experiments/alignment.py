"""Experiment 9: how well the path kernel fits the labels, over training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras import data, kernels
from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Call, Cell, Experiment, describe
from dlgn_keras.experiments.runs import kept_model
from dlgn_keras.experiments.tables import Table, mean_std
from dlgn_keras.skeletons import fc
from dlgn_keras.tools.files import make_folder, write_atomically
from dlgn_keras.training import Recipe, load_trained

CLASSES = (4, 7)
# Data set, images in the kernel, skeleton, epochs and those looked at.
SETUPS: dict[str, dict[str, Any]] = {
    "small": {"data": "digits", "images": 100, "skeleton": fc(4, 32)},
    "paper": {"data": "mnist", "images": 200, "skeleton": fc(4, 100)},
}
EPOCHS = 20
LOOKED_AT = (0, 1, 2, 5, 10, 20)


def cells(scale: str, path: str) -> list[Cell]:
    """Return a DNN, a DGN and a DLGN on the two-class data in the file `path`."""
    common = {
        "data": path,
        "skeleton": SETUPS[scale]["skeleton"],
        "optimizer": "adam",
        "learning_rate": 1e-3 if scale == "small" else 1e-4,
        "epochs": EPOCHS,
    }
    return [
        Cell({"row": family}, Recipe(family=family, **common))
        for family in ("dnn", "dgn", "dlgn")
    ]


def two_classes(folder: Path, name: str, data_dir: str | None) -> Path:
    """Write the two-class data set, as the network sees it, to a file; return it.

    A file, so that the recipes of the runs name data that anyone can load.
    """
    path = make_folder(folder) / f"{name}-{CLASSES[0]}-vs-{CLASSES[1]}.npz"
    if not path.is_file():
        pair = data.load(name, data_dir=data_dir).binary(CLASSES)
        arrays = {f"y_{part}": getattr(pair, f"y_{part}") for part in pair.splits}
        for part in pair.splits:
            x = pair.preprocessing.apply(getattr(pair, f"x_{part}"))
            arrays[f"x_{part}"] = np.asarray(x, np.float32)
        write_atomically(path, lambda part: np.savez_compressed(part, **arrays))
    return path


def run(call: Call) -> Table:
    """Train, and measure nu of the path kernel of the models kept on the way."""
    setup = SETUPS[call.scale]
    path = two_classes(call.runs.out / "data", setup["data"], call.runs.data_dir)
    planned = call.chosen(cells(call.scale, str(path.resolve())))
    found: dict[tuple[str, int], list[float]] = {}

    def tabulate() -> Table:
        return call.make_table(_lines(planned, found, setup["images"]), NOTES)

    for seed in range(call.seeds):
        for cell in planned:
            recipe = cell.recipe.replace(seed=seed)
            keep = [epoch for epoch in LOOKED_AT if epoch <= recipe.epochs]
            call.runs.fit(recipe, keep)
            folder = call.runs.folder(recipe, keep)
            images = call.runs.dataset(recipe).take(setup["images"])
            for epoch in keep:
                net = load_trained(str(kept_model(folder, epoch)))
                gram = kernels.npk(net, images.x_train, progress=False)
                value = kernels.nu(gram, images.y_train)
                found.setdefault((cell.labels["row"], epoch), []).append(value)
            tabulate().write(call.folder)
    table = tabulate()
    call.write(table)
    return table


NOTES = (
    "nu = y^T (H / tr H)^-1 y, mean ± standard deviation over seeds: small where the "
    "neural path kernel H of the model at that epoch fits the labels y.",
    "Cross-entropy on all training images of the two classes; H on the first of each.",
)


def _lines(
    planned: Sequence[Cell], found: dict[tuple[str, int], list[float]], images: int
) -> list[dict[str, Any]]:
    return [
        {
            "row": cell.labels["row"],
            "net": describe(cell.recipe.skeleton),
            "data": Path(cell.recipe.data).stem,
            "images": images,
            "epoch": epoch,
            "seeds": len(values),
            **mean_std("nu", values),
        }
        for cell in planned
        for (row, epoch), values in found.items()
        if row == cell.labels["row"]
    ]


def figure(table: Table, path: Path) -> Path:
    """Draw nu over training, a curve per family."""
    what = "nu, small where the kernel fits the labels"
    return tables.row_curves(table, path, "epoch", "nu", what)


EXPERIMENT = Experiment(
    name="alignment",
    title="How well the neural path kernel fits the labels, over training",
    source="arXiv 2006.10529, section 6 (MNIST 4 against 7, 200 images; a plot, no "
    "figures at hand)",
    needs={"small": "nothing (digits)", "paper": "mnist"},
    time={"small": "1 minute a seed", "paper": "one CPU core: 5 minutes a seed"},
    figure=figure,
    run=run,
)
