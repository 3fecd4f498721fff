"""fit: train what a recipe describes, stop and go on, write down what came out."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np

from dlgn_keras import data as data_sets
from dlgn_keras.data import Dataset
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.files import (
    make_folder,
    remove_parts,
    write_atomically,
    write_text,
)
from dlgn_keras.training.build import load_trained
from dlgn_keras.training.devices import process_index, share_batches
from dlgn_keras.training.precision import computing_in
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.result import Result, data_facts
from dlgn_keras.training.run import Run


def load_data(recipe: Recipe, data_dir: str | None = None) -> Dataset:
    """Return the data a recipe trains on: loaded, cut to size, validation split off."""
    dataset = data_sets.load(recipe.data, data_dir=data_dir)
    if recipe.num_train or recipe.num_test:
        dataset = dataset.take(recipe.num_train, recipe.num_test)
    if recipe.validation and dataset.x_validation is None:
        size = recipe.validation
        dataset = dataset.with_validation(int(size) if size >= 1 else size)
    return dataset


def fit(
    recipe: Recipe,
    out: str | Path | None = None,
    *,
    dataset: Dataset | None = None,
    data_dir: str | None = None,
    devices: int | None = 1,
    progress: bool = True,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Result:
    """Train the model of a recipe and return what was measured.

    With a folder, the run can be killed at any moment: the same call goes on
    from the last finished epoch and ends, on a CPU, with the same bits. A
    finished run is read back, not trained again.

    On JAX, many devices can share every batch (`keras.distribution.DataParallel`).
    For many processes, call `keras.distribution.initialize(address, processes, k)`
    in each of them before anything else, then this function with the same
    arguments and a folder that all of them see; process 0 writes.

    Args:
        recipe: what to train and how.
        out: run folder, for recipe.json, checkpoint.npz, log.csv, model.keras
            and result.json; None keeps nothing on disk.
        dataset: data to use in place of `recipe.data`, already split.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        devices: how many devices share every batch; None takes all there are.
        progress: whether to show a progress line.
        tensorboard: whether to write TensorBoard logs into the folder.
        callbacks: further Keras callbacks.

    Returns:
        The Result; `result.model` is the trained model.

    Raises:
        ValueError: a folder that holds another run, or that cannot be written;
            devices that this backend cannot use.
        FloatingPointError: the loss or the logits became NaN or infinite.

    Example:
        >>> from dlgn_keras.training import Recipe, fit
        >>> recipe = Recipe(skeleton="fc:depth=1,width=8", epochs=1, num_train=200)
        >>> result = fit(recipe, progress=False)
        >>> len(result.history), result.model.family
        (1, 'dlgn')
    """
    writes = process_index() == 0
    folder = None
    if out is not None:
        folder = make_folder(out) if writes else Path(out)
        _check_same_run(folder, recipe)
        finished = _finished(folder, dataset)
        if finished is not None:
            return finished
    dataset = load_data(recipe, data_dir) if dataset is None else dataset
    batch_size = min(recipe.batch_size, len(dataset.y_train))
    with computing_in(recipe.precision), share_batches(devices, batch_size) as share:
        run = Run(recipe, dataset, batch_size, share)
        if folder is not None:
            stored = folder / "recipe.json"
            if writes and not stored.is_file():  # not earlier: a refused run owns none
                write_text(stored, recipe.to_json())
            run.resume(folder / "checkpoint.npz")
        shown = progress and writes
        logged = folder / "tensorboard" if tensorboard and folder and writes else None
        run.train(folder if writes else None, shown, logged, callbacks)
    result = run.result(share)
    if folder is not None and writes and result.model is not None:
        write_atomically(folder / "model.keras", result.model.save)
        result.save(folder)
        (folder / "checkpoint.npz").unlink(missing_ok=True)
        remove_parts(folder)
    return result


def _check_same_run(folder: Path, recipe: Recipe) -> None:
    """Refuse a folder that another recipe has begun."""
    stored = folder / "recipe.json"
    if not stored.is_file():
        return
    other = Recipe.from_file(stored)
    if other.fingerprint != recipe.fingerprint:
        ours, theirs = recipe.to_config(), other.to_config()
        changed = ", ".join(
            f"{k}={theirs[k]!r} there, {ours[k]!r} here"
            for k in ours
            if k != "skeleton" and ours[k] != theirs[k]
        )
        raise ValueError(
            f"`out` holds another run ({changed or 'another skeleton'}). "
            f"Choose another folder. Received: out={str(folder)!r}."
        )


def _finished(folder: Path, dataset: Dataset | None) -> Result | None:
    """Return the result already in the folder, if the run came to its end."""
    if not (folder / "result.json").is_file():
        return None
    result = Result.load(folder)
    if dataset is not None and result.data and result.data != data_facts(dataset):
        raise ValueError(
            f"`out` holds a run on other data ({result.data}). "
            f"Choose another folder. Received: dataset={dataset!r}."
        )
    result.model = load_trained(str(folder))
    return result


def evaluate(
    net: GatedModel, x: np.ndarray, y: np.ndarray, batch_size: int = 500
) -> dict[str, float]:
    """Return accuracy and mean cross-entropy of a model on raw inputs."""
    checked_x, checked_y = data_sets.check_arrays(x, y, net.num_classes)
    logits = net.predict(checked_x, batch_size=batch_size, verbose=0)
    shifted = logits - logits.max(axis=1, keepdims=True)
    losses = np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(y)), checked_y]
    hits = logits.argmax(axis=1) == checked_y
    return {"accuracy": float(hits.mean()), "loss": float(losses.mean())}
