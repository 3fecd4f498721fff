"""Rounds: evaluation every k epochs changes what is measured, and no weight."""

import sys

import keras
import numpy as np
import pytest
from few_digits import digits

from dlgn_keras.training import Recipe, fit

RECIPE = Recipe(
    skeleton="fc:depth=1,width=8", epochs=6, batch_size=16, learning_rate=0.02,
    schedule="one_cycle",
)  # fmt: skip


class Stop(Exception):
    """Stands for a killed process."""


class StopAfter(keras.callbacks.Callback):
    def __init__(self, rounds):
        super().__init__()
        self.rounds = rounds

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 == self.rounds:
            raise Stop


def train(every, out=None, **options):
    recipe = RECIPE.replace(evaluate_every=every)
    return fit(recipe, out, dataset=digits(20), progress=False, **options)


@pytest.fixture(scope="module")
def each():
    return train(1)


def test_rounds_of_epochs_end_with_the_same_weights_and_figures(each, monkeypatch):
    monkeypatch.setattr(
        sys.modules[fit.__module__], "LONGEST_CHUNK", 4
    )  # chunks that cross epochs
    rounds = train(3)
    assert [row["epoch"] for row in rounds.history] == [3, 6]
    for a, b in zip(each.model.get_weights(), rounds.model.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    for row in rounds.history:
        same = each.history[row["epoch"] - 1]
        assert row["test_accuracy"] == same["test_accuracy"]
        of_round = each.history[row["epoch"] - 3 : row["epoch"]]
        for figure in ("loss", "accuracy"):  # means over the round
            mean = np.mean([one[figure] for one in of_round])
            assert row[figure] == pytest.approx(mean, abs=1e-5)
    assert rounds.best_epoch in (3, 6)
    # The comparison sees one epoch more or less.
    fewer = fit(RECIPE.replace(epochs=5), dataset=digits(20), progress=False)
    distances = [
        np.abs(a - b).max()
        for a, b in zip(
            each.model.get_weights(), fewer.model.get_weights(), strict=True
        )
    ]
    assert max(distances) > 1e-3


def test_a_run_stopped_between_rounds_goes_on_from_the_last_whole_one(tmp_path):
    whole = train(2)
    with pytest.raises(Stop):
        train(2, tmp_path, callbacks=[StopAfter(2)])
    again = train(2, tmp_path)
    assert again.interruptions == 1
    assert [row["epoch"] for row in again.history] == [2, 4, 6]
    for a, b in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_run_that_diverges_within_a_round_names_epoch_and_step():
    dataset = digits(20)
    steps = -(-len(dataset.y_train) // 16)
    recipe = RECIPE.replace(
        epochs=4, evaluate_every=4, optimizer="sgd", schedule="piecewise",
        boundaries=(2 * steps,), rates=(0.01, 1e30),
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match=r"\(in epoch 3\)") as error:
        fit(recipe, dataset=dataset, progress=False)
    step = int(str(error.value).split("at step ")[1].split()[0])
    assert 2 * steps < step <= 3 * steps


def test_a_round_must_divide_the_epochs():
    with pytest.raises(ValueError, match="`evaluate_every` must divide the 6 epochs"):
        RECIPE.replace(evaluate_every=4)
