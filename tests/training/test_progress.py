"""The line of a run: the epoch and the examples of it that were seen."""

import keras
import numpy as np
import pytest

from dlgn_keras.training.batches import IndexChunks
from dlgn_keras.training.callbacks import Progress


@pytest.mark.parametrize(("every", "chunk"), [(1, 3), (2, 3), (1, 7)])
def test_the_examples_that_were_shown_are_those_that_were_trained_on(
    every, chunk, monkeypatch, capsys
):
    chunks = IndexChunks(
        np.zeros(50, int), 8, seed=0, longest_chunk=chunk, epochs=every
    )
    history = [{"epoch": 4, "loss": 1.0, "test_accuracy": 0.5}]
    progress = Progress("run", 10, history, chunks)
    shown = []
    monkeypatch.setattr(progress, "_say", lambda *line: shown.append(line))
    progress.on_train_begin()
    seen = 0
    for k in range(len(chunks)):
        progress.said = -np.inf  # as if a minute had passed
        seen += int(chunks[k][2].sum())  # weights: 0 where a batch is filled up
        progress.on_train_batch_end(k)
        epochs, within = divmod(seen, 50)
        if within:
            assert shown.pop() == (5 + epochs, f"{within}/50 examples")
            task = progress.bar.tasks[0]
            assert task.completed == pytest.approx(
                4 + epochs + np.ceil(within / 8) / 7, abs=1e-9
            )
        assert not shown
    assert seen == 50 * every
    history.append({"epoch": 4 + every, "loss": 0.25, "test_accuracy": 0.75})
    progress.on_epoch_end(4)
    assert shown == [(4 + every, "loss 0.2500  test 0.7500")]
    assert isinstance(progress, keras.callbacks.Callback)
