"""Do attributions find what carries the class? On data made with the truth."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras import data
from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Call, Experiment
from dlgn_keras.experiments.runs import digest, kept_json
from dlgn_keras.experiments.tables import Table
from dlgn_keras.experiments.verdicts import columns, verdicts
from dlgn_keras.interpret.attributions import (
    Attribution,
    baseline,
    contributions,
    methods_for,
    occlusion,
)
from dlgn_keras.interpret.faithfulness import interval
from dlgn_keras.tools.files import make_folder, write_atomically
from dlgn_keras.tools.messages import check_choice
from dlgn_keras.training import Recipe, load_trained

FAMILIES = ("dnn", "dgn", "dlgn")
TRAINED: dict[str, Any] = {
    "schedule": "one_cycle",
    "learning_rate": 0.005,
    "batch_size": 64,
    "epochs": 20,
}
FLAT, MAPS = "fc:depth=3,width=32", "vconv:filters=16-16,units=32"
DIM, CLOSE = 20, 1e-2
DEPTHS = {"small": 2, "paper": 4}
NUMBERS = {"small": 4000, "paper": 10_000}
MOST = {"small": 200, "paper": 1000}  # test images that are explained
MEASURES = {"precision": "higher is better", "mass": "higher is better"}


class Task(NamedTuple):
    """A data set, the net for it, and how attributions of its test part score.

    score: (attributions of some test images, their numbers) -> {measure: (n,)}.
    chance: the score of attributions that know nothing, {measure: mean}.
    """

    dataset: data.Dataset
    skeleton: str
    score: Callable[[np.ndarray, np.ndarray], dict[str, np.ndarray]]
    chance: dict[str, float]
    occluded: int = 1


def _tris(scenario: str, scale: str) -> Task:
    found = data.xai_tris(scenario, NUMBERS[scale])
    return _masked(found, MAPS if scenario == "translated" else FLAT)


def _blocks(scale: str, data_dir: str | None) -> Task:
    name = "digits" if scale == "small" else "mnist"
    return _masked(data.with_null_blocks(data.load(name, data_dir=data_dir)), MAPS, 4)


def _masked(found: data.GroundTruth, skeleton: str, occluded: int = 1) -> Task:
    def score(maps: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        masks = found.masks[rows]
        return {"precision": precision(maps, masks), "mass": mass(maps, masks)}

    share = float(found.masks.mean())
    chance = {"precision": share, "mass": share}
    return Task(found.dataset, skeleton, score, chance, occluded)


def _tree(scale: str) -> Task:
    depth = DEPTHS[scale]
    x, y, tree = data.sample_oblique_tree(NUMBERS[scale], DIM, depth)
    cut = len(x) * 4 // 5
    made = data.Dataset("oblique-tree", x[:cut], y[:cut], x[cut:], y[cut:], 2)

    def score(maps: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        inputs = made.x_test[rows].astype(float)
        normals = tree.normals[tree.decision_path(inputs)]
        return {"mass": along(maps, inputs, normals)}

    return Task(made, FLAT, score, {"mass": depth / DIM})


def precision(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the share of the mask among as many pixels of the largest |attribution|.

    Args:
        maps: (n, height, width, channels). masks: (n, height, width) bool.
    """
    sizes = np.abs(maps.sum(-1)).reshape(len(maps), -1)
    flat = masks.reshape(len(maps), -1)
    order = np.argsort(-sizes, axis=1, kind="stable")
    hit = np.take_along_axis(flat & (sizes > 0), order, axis=1)
    wanted = flat.sum(1)
    first = np.arange(flat.shape[1]) < wanted[:, None]
    return (hit & first).sum(1) / wanted


def mass(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    """Return the share of the sum of |attribution| that lies in the mask."""
    sizes = np.abs(maps.sum(-1))
    total = np.maximum(sizes.sum((1, 2)), np.finfo("float32").tiny)
    return (sizes * masks).sum((1, 2)) / total


def along(maps: np.ndarray, x: np.ndarray, normals: np.ndarray) -> np.ndarray:
    """Return the share of squared weights in the span of the path's normals.

    The weights of an attribution are `attribution / x`; those where |x| is below 0.01
    are left out.

    Args:
        maps, x: (n, dim). normals: (n, depth, dim), orthonormal.
    """
    far = np.abs(x) > CLOSE
    weights = np.where(far, maps / np.where(far, x, 1), 0)
    inside = np.einsum("ndk,nk->nd", normals, weights)
    total = np.maximum((weights**2).sum(1), np.finfo("float32").tiny)
    return (inside**2).sum(1) / total


def _inputs(net: Any, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    return x - baseline(net)


def _weights(net: Any, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return the size of the row of `A(x)`, which contributions multiply by z."""
    z = x - baseline(net)
    return np.abs(contributions(net, x, target) / np.where(z == 0, np.inf, z))


def _methods(net: Any, task: Task) -> dict[str, Attribution]:
    """Return the methods; absolute gradients are no weights, inputs all equal ones."""
    methods = methods_for(net)
    methods["occlusion"] = partial(occlusion, size=task.occluded)
    if "precision" in task.chance:
        exact = {"contributions / image": _weights}
        return {**exact, **methods, "the image itself": _inputs}
    del methods["gradient"]
    return methods


TASKS: dict[str, Callable[[Call], Task]] = {
    "linear": lambda call: _tris("linear", call.scale),
    "multiplicative": lambda call: _tris("multiplicative", call.scale),
    "translated": lambda call: _tris("translated", call.scale),
    "xor": lambda call: _tris("xor", call.scale),
    "blocks": lambda call: _blocks(call.scale, call.runs.data_dir),
    "oblique-tree": lambda call: _tree(call.scale),
}


def run(call: Call) -> Table:
    """Train the nets of each task; score every method on the same test images."""
    for row in call.rows:
        check_choice("rows", row, TASKS)
    for name in ("family", "seed", "data", "skeleton"):
        if name in call.changes:
            raise ValueError(
                f"`changes` must leave {name} to the experiment. "
                f"Received: {name}={call.changes[name]!r}."
            )
    lines: list[dict[str, Any]] = []
    table = call.make_table(lines, NOTES)
    for row in call.rows or TASKS:
        facts = [
            row,
            call.scale,
            call.seeds,
            {k: str(v) for k, v in call.changes.items()},
        ]
        name = f"ground-truth-{row}-{digest(facts)}.json"
        kept = make_folder(call.runs.out / "runs") / name
        lines += kept_json(kept, lambda row=row: measured(call, row))
        table = call.make_table(lines, (*NOTES, *verdicts(lines, list(MEASURES))))
        table.write(call.folder)
    call.write(table)
    return table


def measured(call: Call, row: str) -> list[dict[str, Any]]:
    """Return the lines of a task: each family's methods, means over seeds."""
    task = TASKS[row](call)
    nets = {family: _trained(call, task, family) for family in FAMILIES}
    right = np.all(
        [_right(net, task.dataset) for each in nets.values() for net in each], axis=0
    )
    rows = np.flatnonzero(right)[: MOST[call.scale]]
    x, y = task.dataset.x_test[rows].astype("float32"), task.dataset.y_test[rows]
    lines = []
    for family, each in nets.items():
        hits = [float(_right(net, task.dataset).mean()) for net in each]
        known = {"row": row, "net": family, "accuracy": round(100 * np.mean(hits), 2)}
        scores: dict[str, list[dict[str, np.ndarray]]] = {}
        for net in each:
            for name, method in _methods(net, task).items():
                found = task.score(method(net, x, y), rows)
                scores.setdefault(name, []).append(found)
        for name, found in scores.items():
            line = {**known, "method": name, "images": len(rows)}
            for measure in MEASURES:
                values = [one[measure] for one in found if measure in one]
                mean = interval(np.mean(values, axis=0)) if values else None
                chance = task.chance.get(measure)
                line |= columns(measure, mean)
                line[f"{measure}, chance"] = chance and round(chance, 4)
            lines.append(line)
    return lines


def _trained(call: Call, task: Task, family: str) -> list[Any]:
    """Return the trained nets of a family, one a seed."""
    made = task.dataset
    path = make_folder(call.runs.out / "runs") / f"{made.name}-{call.scale}.npz"
    if not path.is_file():
        parts = {
            f"{a}_{part}": getattr(made, f"{a}_{part}")
            for a in "xy"
            for part in ("train", "test")
        }
        write_atomically(path, lambda part: _save(part, parts))
    settings = {**TRAINED, "skeleton": task.skeleton, **call.changes}
    nets = []
    for seed in range(call.seeds):
        recipe = Recipe(data=str(path), family=family, seed=seed, **settings)
        call.runs.fit(recipe)
        nets.append(load_trained(str(call.runs.folder(recipe))))
    return nets


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # pyright: ignore[reportArgumentType]


def _right(net: Any, dataset: data.Dataset) -> np.ndarray:
    found = net.predict(dataset.x_test.astype("float32"), batch_size=256, verbose=0)
    return found.argmax(1) == dataset.y_test


def figure(table: Table, path: Path) -> Path:
    """Draw the mass in the truth with its interval, a panel a task."""
    panels = [
        (row, "mass", [one for one in table.lines if one["row"] == row])
        for row in tables.rows_of(table)
    ]
    return tables.intervals(table, path, panels, "net")


NOTES = (
    "`precision`: of the k pixels of the largest absolute attribution, k as many as "
    "carry the class, the share that does; `mass`: the share of the sum of absolute "
    "attributions on these pixels. `chance`: that of attributions which know nothing.",
    "Images: XAI-TRIS of 8 x 8 pixels in white noise (linear, multiplicative, "
    "translated, xor), and BlockMNIST (`blocks`; on scikit-learn's digits at small "
    "scale). Nets of dense layers; convolutions, then dense layers, for `translated` "
    "and `blocks`.",
    "`oblique-tree`: `mass` is the share of an attribution's squared weights "
    "(attribution / x) in the span of the normals on the point's path through the tree "
    "that made the labels; 20 features.",
    "Test images that all nets classify rightly, the same for all methods; ± is half "
    "of the 95 % confidence interval over images, of means over seeds. `accuracy`: "
    "test accuracy in %. `the image itself` is no attribution but x; "
    "`contributions / image` are the weights of the exact affine map, as the absolute "
    "gradient is of the network.",
    "`win` and `lose` below: the intervals do not overlap; each side is the best of "
    "its several methods.",
)

EXPERIMENT = Experiment(
    name="ground-truth",
    title="Attributions against the truth of generated data",
    source="data of arXiv 2306.12816 (XAI-TRIS), BlockMNIST (NeurIPS 2021) and ICLR "
    "2025 (oblique trees); measures of XAI-TRIS; no published figures for these nets",
    needs={"small": "nothing (data are generated)", "paper": "mnist"},
    time={"small": "5 minutes", "paper": "an hour"},
    figure=figure,
    run=run,
)
