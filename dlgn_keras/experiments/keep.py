"""Keep the model of some epochs of a run, for experiments that look back."""

from collections.abc import Sequence
from pathlib import Path

import keras

from dlgn_keras.models import GatedModel
from dlgn_keras.training.files import write_atomically


def kept_model(folder: Path, epoch: int) -> Path:
    """Return where the model after so many epochs lies; 0 is the untrained one."""
    return folder / f"epoch_{epoch:04d}.keras"


class KeepModels(keras.callbacks.Callback):
    """Save the model after each of the given epochs into the run's folder.

    A run that is stopped and goes on loses none: a model is also saved before
    the first epoch that follows it.

    Args:
        folder: the run folder.
        epochs: numbers of finished epochs, 0 for the untrained model.
    """

    def __init__(self, folder: Path, epochs: Sequence[int]) -> None:
        super().__init__()
        self.folder = folder
        self.epochs = frozenset(epochs)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self._save(epoch)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        self._save(epoch + 1)

    def on_train_end(self, logs: dict | None = None) -> None:
        # Stopped after the last epoch: no epoch began or ended this time.
        self._save(self.params["epochs"])

    def _save(self, epoch: int) -> None:
        path = kept_model(self.folder, epoch)
        if epoch in self.epochs and not path.is_file():
            net = next(n for n in self.model.layers if isinstance(n, GatedModel))
            write_atomically(path, net.save)
