"""Runs: train each recipe once, whoever asks for it, and read it back after."""

import dataclasses
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import keras

from dlgn_keras.data import Dataset
from dlgn_keras.experiments.keep import BEST, KeepModels, kept_model
from dlgn_keras.tools.files import make_folder
from dlgn_keras.training import Recipe, Result, fit, load_data
from dlgn_keras.training.recipe import from_dict

PATH_FIELDS = ("gates_from", "data")
Keep = Sequence[int | str]


class Runs:
    """The training runs of experiments, one folder each, shared by their recipe.

    Two experiments, or two rows of one, that ask for the same recipe get the
    same folder: the second one finds the result there. A run that was
    interrupted goes on from its last finished epoch.

    Args:
        out: folder of all experiments; runs lie in its subfolder "runs".
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        progress: whether to tell on stderr what goes on.
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
            keep: epochs after which the model is kept, see `kept_model`; among them
                `BEST`, without which a finished run serves only who does not ask.
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
        """Print a line for whoever waits."""
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
    """Return a name one can read, with a hash of all that differs from the defaults.

    A recipe field added later, left at its default, changes no name; of a path,
    only the end counts, so that a folder of runs can be moved. Nor does `BEST` in
    `keep` change it: that run is the same, with one file more.

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
    digest = hashlib.sha256(json.dumps(chosen, sort_keys=True).encode()).hexdigest()
    regime = "" if recipe.regime == "joint" else f"-{recipe.regime}"
    skeleton, data = config["skeleton"]["name"], Path(recipe.data).stem
    name = f"{recipe.family}{regime}-{skeleton}-{data}-seed{recipe.seed}"
    return f"{name}-{digest[:8]}"


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
