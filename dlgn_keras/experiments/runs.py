"""Runs: each recipe is trained once and read back after; models of some epochs stay."""

import csv
import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.files import (
    make_folder,
    read_json,
    write_atomically,
    write_json,
)
from dlgn_keras.training import Recipe, Result, fit, load_data
from dlgn_keras.training.recipe import from_dict

BEST = "best"  # the first epoch with the highest test accuracy, as some papers choose
PATH_FIELDS = ("gates_from", "data")
Keep = Sequence[int | str]


class Runs:
    """The training runs of experiments, one folder each, shared by their recipe.

    Experiments and rows that ask for the same recipe get the same folder: the second
    one finds the result there. An interrupted run resumes from its last epoch.

    Args:
        out: folder of all experiments; runs lie in its subfolder "runs".
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        progress: whether to show progress on standard error.
    """

    def __init__(
        self, out: str | Path, data_dir: str | None = None, progress: bool = True
    ) -> None:
        self.out = make_folder(out)
        self.data_dir = data_dir
        self.progress = progress
        self.asked: dict[str, Result] = {}
        self._datasets: dict[tuple, Dataset] = {}

    def folder(self, recipe: Recipe, keep: Keep = ()) -> Path:
        """Return the run folder of a recipe; its name changes with any field."""
        return self.out / "runs" / run_name(recipe, keep)

    def fit(self, recipe: Recipe, keep: Keep = ()) -> Result:
        """Return the result of a recipe, trained now or before, without its model.

        Args:
            recipe: what to train.
            keep: epochs after which the model is kept, see `kept_model`. A finished
                run that did not keep `BEST` is trained again if `BEST` is asked for.
        """
        folder = self.folder(recipe, keep)
        result = self.asked.get(folder.name)
        if result is None and (folder / "result.json").is_file():
            result = _read(folder, recipe)
        if result is not None and BEST in keep:
            if not kept_model(folder, result.best_epoch).is_file():
                (folder / "result.json").unlink()
                result = None
        if result is None:
            result = self._train(recipe, folder, keep)
        self.asked[folder.name] = result
        return result

    def dataset(self, recipe: Recipe) -> Dataset:
        """Return the data of a recipe, read once for successive runs on it."""
        key = (recipe.data, recipe.num_train, recipe.num_test, recipe.validation)
        if key not in self._datasets:
            self._datasets = {key: load_data(recipe, self.data_dir)}
        return self._datasets[key]

    def tell(self, text: str) -> None:
        """Print a line of progress on standard error."""
        if self.progress:
            print(text, file=sys.stderr, flush=True)

    def _train(self, recipe: Recipe, folder: Path, keep: Keep) -> Result:
        if set(keep) - {BEST} and recipe.evaluate_every != 1:
            raise ValueError(
                "`evaluate_every` must be 1 where models of single epochs are kept. "
                f"Received: evaluate_every={recipe.evaluate_every}."
            )
        self.tell(f"{time.strftime('%H:%M:%S')} {folder.name}")
        folder.parent.mkdir(exist_ok=True)
        result = fit(
            recipe,
            out=folder,
            dataset=self.dataset(recipe),
            progress=self.progress,
            callbacks=[KeepModels(folder, keep)] if keep else (),
        )
        # The model lies in the folder: hundreds of runs must not pile up in memory.
        result.model = None
        keras.utils.clear_session()
        last, best = 100 * result.test_accuracy, 100 * result.best_test_accuracy
        self.tell(f"  last {last:.2f} %, best {best:.2f} %, {result.seconds:.0f} s")
        return result


def run_name(recipe: Recipe, keep: Keep = ()) -> str:
    """Return a readable name, with a hash of all fields that differ from the defaults.

    Recipe fields added later leave it unchanged at their defaults. Only the end of a
    path counts, so that a folder of runs can be moved. `BEST` in `keep` does not count:
    that run is the same, with one file more.

    Example:
        >>> from dlgn_keras.experiments.runs import run_name
        >>> from dlgn_keras.training import Recipe
        >>> run_name(Recipe(skeleton="fc:depth=2", seed=3))[:21]
        'dlgn-fc-digits-seed3-'
    """
    config = recipe.to_config()
    defaults = {f.name: f.default for f in dataclasses.fields(Recipe)}
    chosen = {k: v for k, v in config.items() if v != defaults[k]}
    for field in PATH_FIELDS:
        if field in chosen:
            # A model kept from the middle of a run needs its run's name too.
            path = Path(chosen[field])
            parts = path.parts[-2 if path.suffix == ".keras" else -1 :]
            chosen[field] = "/".join(parts)
    if set(keep) - {BEST}:
        chosen["keep"] = [epoch for epoch in keep if epoch != BEST]
    regime = "" if recipe.regime == "joint" else f"-{recipe.regime}"
    skeleton, data = config["skeleton"]["name"], Path(recipe.data).stem
    name = f"{recipe.family}{regime}-{skeleton}-{data}-seed{recipe.seed}"
    return f"{name}-{digest(chosen)}"


def digest(facts: Any) -> str:
    """Return eight digits that change with any of the facts."""
    text = json.dumps(facts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def kept_json(path: Path, make: Callable[[], Any]) -> Any:
    """Return what lies in a json file; make and keep it if nothing does."""
    if not path.is_file():
        write_json(path, make())
    return read_json(path)


def _read(folder: Path, recipe: Recipe) -> Result:
    """Read a finished run; refuse one that another recipe made."""
    result = Result.load(folder)
    stored, ours = from_dict(result.recipe).to_config(), recipe.to_config()
    named = [name for name in ours if name not in PATH_FIELDS]
    differing = [name for name in named if stored[name] != ours[name]]
    if differing:
        raise ValueError(
            f"{folder} holds a run of another recipe (other {', '.join(differing)}). "
            "Move it away or choose another `out`."
        )
    return result


def frames(epochs: int, number: int) -> list[int]:
    """Return about so many epochs, close together at first: 0, ..., the last."""
    spread = np.geomspace(1, epochs + 1, min(number, epochs + 1)) - 1
    return np.unique(np.round(spread)).astype(int).tolist()


def kept_model(folder: Path, epoch: int) -> Path:
    """Return the file of the model after some epochs; 0 is the untrained one."""
    return folder / f"epoch_{epoch:04d}.keras"


class KeepModels(keras.callbacks.Callback):
    """Save the model after each of the given epochs into the run's folder.

    A resumed run loses none: a model is also saved before the epoch that follows it.

    Args:
        folder: the run folder.
        epochs: numbers of finished epochs, 0 for the untrained model; `BEST` keeps
            the latest best model.
    """

    def __init__(self, folder: Path, epochs: Iterable[int | str]) -> None:
        super().__init__()
        self.folder = folder
        self.epochs = frozenset(epochs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._keep(epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._keep(epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        # Stopped after the last epoch: no epoch began or ended this time.
        self._keep(self.params["epochs"])

    def _keep(self, epoch: int) -> None:
        if epoch in self.epochs:
            self._save(epoch)
        if BEST in self.epochs:
            rows = _log(self.folder)
            best = max(rows, key=lambda row: row["test_accuracy"], default=None)
            if best is not None and best is rows[-1]:
                self._save(int(best["epoch"]))
                for row in rows[:-1]:
                    if int(row["epoch"]) not in self.epochs:
                        earlier = kept_model(self.folder, int(row["epoch"]))
                        earlier.unlink(missing_ok=True)

    def _save(self, epoch: int) -> None:
        path = kept_model(self.folder, epoch)
        if not path.is_file():
            net = next(n for n in self.model.layers if isinstance(n, GatedModel))
            write_atomically(path, net.save)


def _log(folder: Path) -> list[dict[str, float]]:
    """Return the rows of log.csv: the epochs done, also before an interruption."""
    path = folder / "log.csv"
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) for k, v in row.items()} for row in csv.DictReader(file)]
