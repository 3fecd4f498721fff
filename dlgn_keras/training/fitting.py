"""Train a model by a recipe: build, resume, train, evaluate, record."""

import warnings
from collections.abc import Sequence
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dlgn_keras import data as data_sets
from dlgn_keras.data import Dataset
from dlgn_keras.data.names import short_name
from dlgn_keras.data.stored import Unreadable, as_stored
from dlgn_keras.skeletons import Conv, walk
from dlgn_keras.tools.files import (
    make_folder,
    only_one,
    remove_parts,
    write_atomically,
    write_text,
)
from dlgn_keras.tools.numbers import seeded
from dlgn_keras.training import checkpoint
from dlgn_keras.training.batches import (
    LONGEST_CHUNK,
    IndexChunks,
    Part,
    Share,
    StoredChunks,
    StoredPart,
    as_fed,
    longest_stored_chunk,
    part_in_batches,
)
from dlgn_keras.training.building import build_model, load_keras, load_trained
from dlgn_keras.training.callbacks import Epochs, Progress
from dlgn_keras.training.devices import (
    computing_in,
    loops_are_slow,
    process_index,
    share_batches,
)
from dlgn_keras.training.ingredients import (
    make_augmentation,
    make_loss,
    make_optimizer,
    make_score,
)
from dlgn_keras.training.named import named_recipe
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.result import Result, data_facts, make_result
from dlgn_keras.training.step import FirstNonFinite, make_trainer
from dlgn_keras.training.targets import Teacher, make_mixing


def load_data(recipe: Recipe, data_dir: str | None = None, **options: Any) -> Dataset:
    """Return the data a recipe trains on: loaded, cut to size, validation split off.

    Args:
        recipe: what to load.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        options: further arguments of `dk.data.load`: memory, skip_unreadable.
    """
    options |= {"data_dir": data_dir, "image_size": recipe.image_size}
    options["targets"] = recipe.targets
    return prepared_for(recipe, data_sets.load(recipe.data, **options))


def prepared_for(recipe: Recipe, dataset: Dataset) -> Dataset:
    """Return a data set cut to a recipe's size, with its validation part."""
    if recipe.num_train or recipe.num_test:
        dataset = dataset.take(recipe.num_train, recipe.num_test)
    if recipe.validation and dataset.x_validation is None:
        size = recipe.validation
        dataset = dataset.with_validation(int(size) if size >= 1 else size)
    return dataset


def fit(
    recipe: Recipe | str,
    out: str | Path | None = None,
    *,
    dataset: Any = None,
    data_dir: str | None = None,
    memory: float | None = None,
    skip_unreadable: bool = False,
    devices: int | None = 1,
    progress: bool = True,
    tensorboard: bool = False,
    callbacks: Sequence[keras.callbacks.Callback] = (),
) -> Result:
    """Train the model of a recipe and return its Result.

    With a folder, the run can be killed at any moment: the same call resumes from
    the last checkpoint and, on a CPU, ends with bit-identical weights. A finished
    run is read back, not trained again.

    On JAX, many devices can share every batch (`keras.distribution.DataParallel`).
    For many processes, call `keras.distribution.initialize(address, processes, k)`
    in each of them before anything else, then this function with the same
    arguments and a folder that all of them see; process 0 writes.

    Args:
        recipe: what to train and how, or the name of a named recipe.
        out: run folder, for recipe.json, checkpoint.npz, log.csv, model.keras
            and result.json; None keeps nothing on disk.
        dataset: data to use in place of `recipe.data`: a Dataset, or whatever
            `dk.data.given` takes: (x, y), tf.data, a PyDataset, a torch DataLoader, or
            {"train": ..., "test": ...}. The recorded recipe has its name.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        memory, skip_unreadable: as in `dk.data.load`, for sets larger than memory.
        devices: number of devices that share every batch; None takes all.
        progress: whether to show a progress line.
        tensorboard: whether to write TensorBoard logs into the folder.
        callbacks: further Keras callbacks.

    Returns:
        The Result; `result.model` is the trained model.

    Raises:
        ValueError: a folder that holds another run, where another process trains, or
            that cannot be written;
            devices that this backend cannot use.
        FloatingPointError: the loss or the logits became NaN or infinite.

    Example:
        >>> from dlgn_keras.training import Recipe, fit
        >>> recipe = Recipe(skeleton="fc:depth=1,width=8", epochs=1, num_train=200)
        >>> result = fit(recipe, progress=False)
        >>> len(result.history), result.model.family
        (1, 'dlgn')
    """
    if isinstance(recipe, str):
        recipe = named_recipe(recipe)
    if dataset is not None and not isinstance(dataset, Dataset):
        dataset = prepared_for(
            recipe,
            data_sets.given(
                dataset,
                memory=memory,
                targets=recipe.targets,
            ),
        )
    if dataset is not None and short_name(recipe.data) != dataset.name:
        recipe = recipe.replace(data=dataset.name)  # what is recorded is what is used
    options = {
        "loading": {
            "data_dir": data_dir,
            "memory": memory,
            "skip_unreadable": skip_unreadable,
        },
        "devices": devices,
        "progress": progress,
        "tensorboard": tensorboard,
        "callbacks": callbacks,
    }
    if out is None:
        return _train(recipe, None, dataset, **options)
    writes = process_index() == 0
    folder = make_folder(out) if writes else Path(out)
    finished = _finished(folder, recipe, dataset)
    if finished is not None:
        with suppress(ValueError), only_one(folder, "run"):
            _remove_leftovers(folder)  # of a process killed between result and end
        return finished
    with only_one(folder, "run") if writes else nullcontext():
        finished = _finished(folder, recipe, dataset)  # another's, ended just now
        return finished or _train(recipe, folder, dataset, **options)


def _train(
    recipe: Recipe,
    folder: Path | None,
    dataset: Dataset | None,
    *,
    loading: dict[str, Any],
    devices: int | None,
    progress: bool,
    tensorboard: bool,
    callbacks: Sequence[keras.callbacks.Callback],
) -> Result:
    """Train what is left of a run, and write its result."""
    writes = process_index() == 0
    dataset = load_data(recipe, **loading) if dataset is None else dataset
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
        _remove_leftovers(folder)
    return result


def _remove_leftovers(folder: Path) -> None:
    """Remove a finished run's checkpoint, and temporary files of killed processes."""
    (folder / "checkpoint.npz").unlink(missing_ok=True)
    remove_parts(folder)


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


def _finished(folder: Path, recipe: Recipe, dataset: Dataset | None) -> Result | None:
    """Return the result in the folder, or None if the run is not finished."""
    _check_same_run(folder, recipe)
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


class Run:
    """A model, its trainer, its batches and its training history."""

    def __init__(
        self,
        recipe: Recipe,
        dataset: Dataset,
        batch_size: int,
        share: Share,
        weights: np.ndarray | None = None,
    ) -> None:
        self.recipe = recipe
        self.data = data_facts(dataset)
        with seeded(recipe.seed):  # layers without a seed draw one of Python's
            self._build(dataset, batch_size, share, weights)
        self.parts = _parts(dataset, share)
        readers = [self.chunks, *self.parts.values()]
        self.readers = [r for r in readers if isinstance(r, StoredChunks | StoredPart)]
        self.history: list[dict[str, float]] = []
        self.interruptions = 0

    def _build(
        self,
        dataset: Dataset,
        batch_size: int,
        share: Share,
        weights: np.ndarray | None,
    ) -> None:
        """Make the model, its batches and its trainer."""
        recipe = self.recipe
        self.net = build_model(recipe, dataset)
        stages = walk(self.net.skeleton.stages)
        convolves = any(isinstance(stage, Conv) for stage in stages)
        longest = 1 if loops_are_slow() and convolves else LONGEST_CHUNK
        x = dataset.x_train
        if dataset.stored:
            x = as_stored(x)
            longest = min(longest, longest_stored_chunk(x, batch_size))
            make_chunks = partial(StoredChunks, x)
        else:
            make_chunks = IndexChunks
            parts = [getattr(dataset, f"x_{part}") for part in dataset.splits]
            x = np.concatenate(parts)
        self.chunks = make_chunks(
            dataset.y_train,
            batch_size,
            recipe.seed,
            longest,
            share,
            recipe.evaluate_every,
            weights,
        )
        self.teacher = self._make_teacher(dataset.num_classes)
        self.trainer = make_trainer(
            self.net,
            x,
            make_augmentation(
                recipe,
                dataset.input_shape,
                len(dataset.y_train),
                self.chunks.epoch_steps,
            ),
            batch_size,
            make_mixing(recipe, dataset.input_shape),
            self.teacher,
        )
        self.trainer.distillation = (recipe.distill_weight, recipe.temperature)
        self.trainer.compile(
            make_optimizer(recipe, recipe.epochs * self.chunks.epoch_steps),
            make_loss(recipe, self.net.num_classes),
            metrics=[FirstNonFinite()],
            weighted_metrics=[make_score(recipe, dataset.y_train)],
        )
        self.trainer.optimizer.build(self.trainer.trainable_variables)

    def _make_teacher(self, num_classes: int) -> Teacher | None:
        if self.recipe.distill_from is None:
            return None
        teacher = Teacher(load_keras(self.recipe.distill_from))
        if teacher.net.output_shape[-1] != num_classes:
            raise ValueError(
                "`distill_from` must be a model of as many classes as the data have. "
                f"Received: {teacher.net.output_shape[-1]} there, {num_classes} here."
            )
        self.data = {**self.data, "teacher": teacher.sha256}
        return teacher

    @property
    def facts(self) -> dict[str, Any]:
        """Facts that a checkpoint must share with this run."""
        return {
            "fingerprint": self.recipe.fingerprint,
            "backend": keras.backend.backend(),
            "data": self.data,
        }

    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, if there is one."""
        if path.is_file():
            meta, arrays = checkpoint.read(path, self.facts)
            checkpoint.restore(self.trainer, meta, arrays, path)
            self.history = meta["history"]
            self.interruptions = meta["interruptions"] + 1

    def train(
        self,
        folder: Path | None,
        progress: bool,
        tensorboard: Path | None,
        callbacks: Sequence[keras.callbacks.Callback],
    ) -> None:
        """Train the epochs that are not done yet."""
        epochs, every = self.recipe.epochs, self.recipe.evaluate_every
        score = self.recipe.score
        meta = {**self.facts, "interruptions": self.interruptions}
        own: list[keras.callbacks.Callback] = [
            Epochs(
                self.chunks, self.parts, self.history, folder, meta, self.recipe.score
            )
        ]
        bars = []
        if progress:
            skeleton, data = self.recipe.skeleton.name, self.data["name"]
            label = f"{self.recipe.family} {skeleton} {data}"
            bars.append(Progress(label, epochs, self.history, self.chunks, score))
        if tensorboard is not None:
            own.append(keras.callbacks.TensorBoard(str(tensorboard)))
        try:
            self.trainer.fit(
                as_fed(self.chunks),
                shuffle=False,  # Keras would mix the chunks by Python's random
                initial_epoch=len(self.history),
                epochs=epochs // every,
                verbose=0,
                callbacks=[*own, *bars, *callbacks],
            )
        except Exception:
            for reader in self.readers:
                if reader.ahead.problem is not None:  # TensorFlow makes another of it
                    raise self._stopped(reader.ahead.problem, folder) from None
            raise
        finally:
            for bar in bars:
                bar.stop()
            for reader in self.readers:
                reader.ahead.close()
        skipped = set().union(*(reader.x.skipped for reader in self.readers))
        if skipped:
            warnings.warn(
                f"{len(skipped)} examples could not be read and were skipped.",
                stacklevel=2,
            )

    def _stopped(self, problem: Exception, folder: Path | None) -> Exception:
        """Return the error of a run that met an input that cannot be read."""
        if not isinstance(problem, Unreadable):
            return problem
        done = self.history[-1]["epoch"] if self.history else 0
        kept = "no checkpoint was written"
        if folder is not None and done:
            kept = (
                f"the checkpoint after epoch {done} is kept: put the file right and "
                "run the same again, or skip_unreadable (--skip-unreadable)"
            )
        return Unreadable(f"{problem} Training stopped after epoch {done}; {kept}.")

    def result(self, share: Share) -> Result:
        """Return the Result, with the model on one device."""
        net = self.net
        if share.devices > 1:
            net = type(net).from_config(net.get_config())
            net.set_weights(self.net.get_weights())
        made = make_result(
            self.recipe, net, self.history, self.data, self.interruptions
        )
        made.model = net
        return made


def _parts(dataset: Dataset, share: Share) -> dict[str, Part | StoredPart]:
    """Return the parts to evaluate; they are stored consecutively on the device."""
    parts: dict[str, Part | StoredPart] = {}
    first = 0
    for name in dataset.splits:
        labels = getattr(dataset, f"y_{name}")
        if name != "train":
            part = part_in_batches(0 if dataset.stored else first, labels, share)
            x = getattr(dataset, f"x_{name}")
            parts[name] = StoredPart(as_stored(x), part) if dataset.stored else part
        first += len(labels)
    return parts
