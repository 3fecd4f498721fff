"""HyperplaneRecorder: where the gates of a DLGN were, epoch by epoch."""

from typing import Any

import keras

from dlgn_keras.interpret.hyperplanes import Hyperplanes, hyperplanes
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.messages import check_count


class HyperplaneRecorder(keras.callbacks.Callback):
    """Keep the gate hyperplanes of a DLGN at the start and after epochs.

    For `net.fit(..., callbacks=[recorder])`, and for `dk.training.fit`, which
    calls the end of a round of epochs an end.

    Args:
        every: keep those of each so-many-th epoch, at least 1; the first state and
            the last are kept in any case.

    Attributes:
        epochs: list of int, finished epochs of each record; 0 is before training.
        records: list of `Hyperplanes`, as many.

    Raises:
        ValueError: `every` is below 1; or in training, no DLGN of dense layers.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(1, 4), (2,), num_classes=2)
        >>> net.compile("sgd", "mse")
        >>> recorder = dk.interpret.HyperplaneRecorder(every=2)
        >>> x, y = np.ones((4, 2), "float32"), np.ones((4, 2), "float32")
        >>> _ = net.fit(x, y, epochs=5, verbose=0, callbacks=[recorder])
        >>> recorder.epochs, recorder.records[0].normals.shape
        ([0, 2, 4, 5], (4, 2))
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.every = check_count("every", every)
        self.epochs: list[int] = []
        self.records: list[Hyperplanes] = []
        self._done = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epochs, self.records, self._done = [], [], 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.records:
            self._done = epoch
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._done = epoch + 1
        if self._done % self.every == 0:
            self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.epochs and self.epochs[-1] != self._done:
            self._keep()

    def _keep(self) -> None:
        self.epochs.append(self._done)
        self.records.append(hyperplanes(_gated(self.model)))


def _gated(model: Any) -> Any:
    """Return the model of ours that is trained: the model itself, or inside it."""
    if isinstance(model, GatedModel):
        return model
    layers = getattr(model, "layers", [])
    return next((part for part in layers if isinstance(part, GatedModel)), model)
