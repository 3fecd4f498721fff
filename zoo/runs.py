"""The zoo's training runs: one folder each, and the figures beside the headline."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from manifest import Entry, entry

from dlgn_keras.data import Dataset
from dlgn_keras.data.scores import evaluate, score
from dlgn_keras.tools.files import read_json, write_json, write_text
from dlgn_keras.training import Recipe, Result, fit, load_data

COLUMNS = ("last", "hard gates", "mirrored too", "best", "best epoch", "epoch, s")


class TimeIsUp(Exception):
    """The time given is used; the run can go on later."""


def stop_at(deadline: float) -> keras.callbacks.Callback:
    """Return what ends a run after the round in which the time is up."""

    def stop(epoch: int, logs: Any) -> None:
        if time.monotonic() > deadline and epoch + 1 < callback.params["epochs"]:
            raise TimeIsUp

    callback = keras.callbacks.LambdaCallback(on_epoch_end=stop)
    return callback


class Runs:
    """Train the manifest's entries, each in a folder; data sets are read once.

    Args:
        folder: of all runs; a run's own is <name>-<seed>.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
    """

    def __init__(self, folder: Path, data_dir: str | None) -> None:
        self.folder = folder
        self.data_dir = data_dir
        self._sets: dict[tuple, Dataset] = {}

    def dataset(self, recipe: Recipe) -> Dataset:
        """Return the data of a recipe, what it holds out split off."""
        key = (recipe.data, recipe.validation)
        if key not in self._sets:
            self._sets[key] = load_data(recipe, self.data_dir)
        return self._sets[key]

    def train(self, wanted: Entry, seed: int, callbacks: list) -> tuple[Recipe, Result]:
        """Return recipe and result of a run; a DNN whose gates it needs comes first.

        The callbacks may end either by an exception; what is done is kept.
        """
        source = None
        if wanted.gates_from:
            self.train(entry(wanted.gates_from), seed, callbacks)
            source = str(self.folder / f"{wanted.gates_from}-{seed}")
        recipe = wanted.recipe(seed, source)
        return recipe, self.fit(f"{wanted.name}-{seed}", recipe, callbacks)

    def fit(self, name: str, recipe: Recipe, callbacks: list) -> Result:
        """Train a recipe in the folder of a name, or read its result."""
        return fit(
            recipe,
            self.folder / name,
            dataset=self.dataset(recipe),
            progress=False,
            callbacks=callbacks,
        )


def beside_the_headline(net: Any, dataset: Dataset) -> dict[str, float]:
    """Return test accuracies at hard gates, and with each image and its mirror image.

    The second is the accuracy of the mean of both logits, on images alone.
    """
    found, x = {}, dataset.x_test
    if net.gate_mode != "hard":
        found["hard gates"] = round(accuracy(at_hard_gates(net), dataset), 6)
    if x.ndim == 4:
        both = logits_of(net, x) + logits_of(net, x[:, :, ::-1])
        right = score(both, dataset.y_test, "crossentropy")["accuracy"]
        found["mirrored too"] = round(right, 6)
    return found


def accuracy(net: Any, dataset: Dataset) -> float:
    """Return the share of test examples that a model classifies correctly."""
    return evaluate(net, dataset.x_test, dataset.y_test)["accuracy"]


def logits_of(net: Any, x: np.ndarray) -> np.ndarray:
    """Return a model's logits of raw inputs."""
    return net.predict(x, batch_size=500, verbose=0)


def at_hard_gates(net: Any) -> Any:
    """Return a model with the same weights and hard gates."""
    hard = type(net).from_config({**net.get_config(), "gate": "hard"})
    hard.set_weights(net.get_weights())
    return hard


def write_table(folder: Path, name: str, result: Result, dataset: Dataset) -> None:
    """Add a run to accuracy.json and accuracy.md in a folder, first runs first."""
    figures = {
        "last": result.test_accuracy,
        **beside_the_headline(result.model, dataset),
        "best": result.best_test_accuracy,
        "best epoch": result.best_epoch,
        "epoch, s": round(result.seconds_per_epoch, 3),
    }
    _add_row(folder, "accuracy", name, figures, result)


def write_trial(folder: Path, name: str, result: Result) -> None:
    """Add a trial to trials.json and trials.md; the test set has no say there."""
    figures = {
        "held out": result.validation_accuracy,
        "trained on": round(result.history[-1]["accuracy"], 6),
        "epoch, s": round(result.seconds_per_epoch, 3),
    }
    _add_row(folder, "trials", name, figures, result)


def _add_row(
    folder: Path, table: str, name: str, figures: dict[str, Any], result: Result
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{table}.json"
    rows = read_json(path) if path.is_file() else {}
    rows[name] = {
        **figures,
        "recipe": result.recipe,
        "environment": result.environment,
    }
    write_json(path, rows)
    columns = COLUMNS if table == "accuracy" else tuple(figures)
    lines = [f"| run | {' | '.join(columns)} |", "| --- |" + " ---: |" * len(columns)]
    for run, row in rows.items():
        cells = [str(row.get(column, "")) for column in columns]
        lines.append(f"| {run} | {' | '.join(cells)} |")
    write_text(folder / f"{table}.md", "\n".join(lines) + "\n")
