"""Run: what `fit` trains, from model and batches to the last epoch."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.models import GatedModel
from dlgn_keras.skeletons import Conv, walk
from dlgn_keras.training import checkpoint
from dlgn_keras.training.augmentation import make_augmentation
from dlgn_keras.training.batches import (
    LONGEST_CHUNK,
    IndexChunks,
    Part,
    Share,
    part_in_batches,
)
from dlgn_keras.training.build import build_model
from dlgn_keras.training.callbacks import Epochs, Progress
from dlgn_keras.training.devices import loops_are_slow
from dlgn_keras.training.feeding import as_fed
from dlgn_keras.training.optimizers import make_loss, make_optimizer
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.result import Result, data_facts, make_result
from dlgn_keras.training.trainer import FirstNonFinite, make_trainer


class Run:
    """A model, its trainer and its batches, and how far they have come."""

    def __init__(
        self, recipe: Recipe, dataset: Dataset, batch_size: int, share: Share
    ) -> None:
        keras.utils.set_random_seed(recipe.seed)
        self.recipe = recipe
        self.data = data_facts(dataset)
        self.net = build_model(recipe, dataset)
        self.chunks = IndexChunks(
            dataset.y_train,
            batch_size,
            recipe.seed,
            1 if loops_are_slow() and _convolves(self.net) else LONGEST_CHUNK,
            share,
            recipe.evaluate_every,
        )
        self.trainer = make_trainer(
            self.net,
            np.concatenate([getattr(dataset, f"x_{part}") for part in dataset.splits]),
            make_augmentation(recipe.augmentation, dataset.input_shape, recipe.seed),
            batch_size,
        )
        self.trainer.compile(
            make_optimizer(recipe, recipe.epochs * self.chunks.epoch_steps),
            make_loss(recipe, dataset.num_classes),
            metrics=[FirstNonFinite()],
            weighted_metrics=["accuracy"],
        )
        self.trainer.optimizer.build(self.trainer.trainable_variables)
        self.parts = _parts(dataset, share)
        self.history: list[dict[str, float]] = []
        self.interruptions = 0

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint must share with this run."""
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
        meta = {**self.facts, "interruptions": self.interruptions}
        own: list[keras.callbacks.Callback] = [
            Epochs(self.chunks, self.parts, self.history, folder, meta)
        ]
        bars = []
        if progress:
            skeleton, data = self.recipe.skeleton.name, self.data["name"]
            label = f"{self.recipe.family} {skeleton} {data}"
            bars.append(Progress(label, epochs, self.history))
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
        finally:
            for bar in bars:
                bar.stop()

    def result(self, share: Share) -> Result:
        """Return what was measured, with the model on one device."""
        net = self.net
        if share.devices > 1:
            net = type(net).from_config(net.get_config())
            net.set_weights(self.net.get_weights())
        made = make_result(
            self.recipe, net, self.history, self.data, self.interruptions
        )
        made.model = net
        return made


def _convolves(net: GatedModel) -> bool:
    return any(isinstance(stage, Conv) for stage in walk(net.skeleton.stages))


def _parts(dataset: Dataset, share: Share) -> dict[str, Part]:
    """Return the parts to evaluate; they lie one after the other on the device."""
    parts: dict[str, Part] = {}
    first = 0
    for name in dataset.splits:
        labels = getattr(dataset, f"y_{name}")
        if name != "train":
            parts[name] = part_in_batches(first, labels, share)
        first += len(labels)
    return parts
