"""Keep the model of some epochs of a run, for experiments that look back."""

import csv
from collections.abc import Iterable
from pathlib import Path

import keras

from dlgn_keras.models import GatedModel
from dlgn_keras.tools.files import write_atomically

BEST = "best"  # the first epoch with the highest test accuracy, as some papers choose


def kept_model(folder: Path, epoch: int) -> Path:
    """Return where the model after so many epochs lies; 0 is the untrained one."""
    return folder / f"epoch_{epoch:04d}.keras"


class KeepModels(keras.callbacks.Callback):
    """Save the model after each of the given epochs into the run's folder.

    A run that is stopped and goes on loses none: a model is also saved before
    the first epoch that follows it.

    Args:
        folder: the run folder.
        epochs: numbers of finished epochs, 0 for the untrained model; or `BEST`,
            for the best so far, of which only the last is kept.
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
