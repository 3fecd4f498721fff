"""A run killed with `kill -9`, three times over, ends with the very same bits."""

import json
import random
import shutil
import sys

import forked
import keras
import numpy as np
import pytest

from dlgn_keras.tools.files import only_one
from dlgn_keras.training import Result, checkpoint, fit, load_trained
from dlgn_keras.training.recipe import Recipe

# Everything that is drawn or averaged while training: augmentation, batch norm,
# data order, momentum, a schedule; seven batches an epoch, the last not full.
RECIPE = Recipe(
    skeleton="c4gap:width=4,depth=2", batch_norm=True, augmentation="shift_flip",
    optimizer="sgd", learning_rate=0.05, weight_decay=1e-3, schedule="one_cycle",
    num_train=120, num_test=40, validation=20, batch_size=16, epochs=6, seed=3,
)  # fmt: skip
TRAIN = """
from dlgn_keras.training import Recipe, fit
sys.modules[fit.__module__].LONGEST_CHUNK = 2
fit(Recipe.from_json(sys.argv[1]), sys.argv[2], progress=False)
"""
# Moment -> (how the process ends itself there, epochs that are kept by then).
KILLS = {
    "before the first checkpoint": (
        """
from dlgn_keras.training.callbacks import Epochs
def on_train_batch_end(self, batch, logs=None):
    os.kill(os.getpid(), signal.SIGKILL)
Epochs.on_train_batch_end = on_train_batch_end
""",
        0,
    ),
    "in the middle of the third epoch": (
        """
from dlgn_keras.training.callbacks import Epochs
def on_train_batch_end(self, batch, logs=None):
    if len(self.history) == 2 and batch > 0:
        os.kill(os.getpid(), signal.SIGKILL)
Epochs.on_train_batch_end = on_train_batch_end
""",
        2,
    ),
    "while the fifth checkpoint is written": (
        """
import numpy as np
savez, written = np.savez, []
def half(path, **arrays):
    savez(path, **arrays)
    written.append(path)
    if len(written) == 3:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2])
        os.kill(os.getpid(), signal.SIGKILL)
np.savez = half
""",
        4,
    ),
}


def start(folder, before, log):
    """Run the recipe in a process of its own; the same command every time."""
    source = "import os, signal, sys\n" + before + TRAIN
    return forked.start(source, RECIPE.to_json(), folder, folder=log)


def figures(result):
    timed = ("seconds", "total_seconds")
    return [{k: v for k, v in r.items() if k not in timed} for r in result.history]


def test_a_run_killed_at_three_moments_ends_with_the_bits_of_an_uninterrupted_one(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(sys.modules[fit.__module__], "LONGEST_CHUNK", 2)
    folder = tmp_path / "run"
    for moment, (kill, kept) in KILLS.items():
        killed = start(folder, kill, tmp_path / "log")
        assert killed.wait() == forked.KILLED, (moment, killed.errors())
        assert (folder / "checkpoint.npz").is_file() == (kept > 0)
        log = folder / "log.csv"
        rows = log.read_text().splitlines()[1:] if log.is_file() else []
        assert len(rows) == kept, moment
    torn = [path.name for path in folder.glob(".*.part*")]
    assert len(torn) == 1

    result = fit(RECIPE, folder, progress=False)
    assert result == Result.load(folder)
    assert result.interruptions == 2
    assert {path.name for path in folder.iterdir()} == {
        ".lock", "recipe.json", "log.csv", "model.keras", "result.json",
    }  # fmt: skip

    whole = fit(RECIPE, progress=False)
    assert figures(result) == figures(whole)
    ours, theirs = load_trained(str(folder)).get_weights(), whole.model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))


SHORT = RECIPE.replace(epochs=2, skeleton="fc:depth=1,width=4")


class Stop(Exception):
    """Ends a run after its first checkpoint."""


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """A run stopped after one of two epochs, and the weights it ought to end with."""
    folder, save = tmp_path_factory.mktemp("stopped"), checkpoint.save

    def save_and_stop(*arguments):
        save(*arguments)
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save", save_and_stop)
        with pytest.raises(Stop):
            fit(SHORT, folder, progress=False)
    return folder, fit(SHORT, progress=False).model.get_weights()


@pytest.mark.once
@pytest.mark.parametrize("lost", [None, "seed", "moving_mean", "momentum", "iteration"])
def test_each_kind_of_state_is_needed_for_the_same_bits(
    lost, stopped, tmp_path, monkeypatch
):
    """The broken twin: a checkpoint that forgets one kind of variable."""
    restore = checkpoint.restore

    def forget(trainer, facts, arrays, path):
        fresh = [
            np.array(v) for v in map(to_numpy, checkpoint.state_variables(trainer))
        ]
        assert any(lost in name for name in facts["paths"])
        kept = [
            old if lost in name else array
            for name, array, old in zip(facts["paths"], arrays, fresh, strict=True)
        ]
        restore(trainer, facts, kept, path)

    folder, whole = tmp_path / "run", stopped[1]
    shutil.copytree(stopped[0], folder)
    if lost:
        monkeypatch.setattr(checkpoint, "restore", forget)
    ours = fit(SHORT, folder, progress=False).model.get_weights()
    alike = all(np.array_equal(a, b) for a, b in zip(ours, whole, strict=True))
    assert alike == (lost is None)


def to_numpy(variable):
    return keras.ops.convert_to_numpy(variable)


@pytest.mark.once
def test_two_runs_at_once_in_one_folder_are_told(tmp_path):
    refused = pytest.raises(ValueError, match=r"`out` must be .* that no other run is")
    with only_one(tmp_path, "run"), refused:
        fit(SHORT, tmp_path, progress=False)
    assert not (tmp_path / "recipe.json").exists()
    one = fit(SHORT, tmp_path, progress=False)
    with only_one(tmp_path, "run"):  # a finished one is read by all
        assert fit(SHORT, tmp_path, progress=False) == one


@pytest.mark.once
def test_what_a_kill_after_the_result_leaves_is_removed(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(self, **_):
        if self.name == "checkpoint.npz":
            raise Killed
        unlink(self, **_)

    unlink = type(tmp_path).unlink
    monkeypatch.setattr(type(tmp_path), "unlink", killed)
    with pytest.raises(Killed):
        fit(SHORT, tmp_path, progress=False)
    monkeypatch.undo()
    (tmp_path / ".model.1.part.keras").touch()
    names = {path.name for path in tmp_path.iterdir()}
    fit(SHORT, tmp_path, progress=False)
    left = {path.name for path in tmp_path.iterdir()}
    assert names - left == {"checkpoint.npz", ".model.1.part.keras"}


@pytest.mark.once
@pytest.mark.parametrize(
    "change",
    [
        {"history": "abc"},
        {"history": [1]},
        {"test_accuracy": "high"},
        {"seconds": None},
        {"data": []},
        {"interruptions": 1.5},
        {"other": 1},
    ],
)
def test_a_result_with_an_odd_field_is_refused(change, tmp_path):
    real = {"test_accuracy": 1, "best_test_accuracy": 1, "seconds": 1}
    whole = Result(
        {}, best_epoch=1, validation_accuracy=None, parameters=1,
        seconds_per_epoch=0.1, history=[], environment={}, **real,
    )  # fmt: skip
    whole.save(tmp_path)
    assert Result.load(tmp_path) == whole
    path = tmp_path / "result.json"
    path.write_text(json.dumps(whole.to_config() | change))
    with pytest.raises(ValueError, match=r"result\.json(:| is no result)") as error:
        Result.load(tmp_path)
    assert "\n" not in str(error.value)
    path.write_text("[]")
    with pytest.raises(ValueError, match=r"result\.json: it must be"):
        Result.load(tmp_path)


@pytest.mark.once
def test_fit_leaves_the_global_generators_of_the_caller(tmp_path):
    def drawn():
        ours = np.random.random()  # noqa: NPY002 (the caller's)
        return random.random(), ours, float(keras.random.uniform(()))

    def seed():
        keras.utils.set_random_seed(11)

    seed()
    untouched = drawn()
    seed()
    one = fit(SHORT, progress=False)
    assert drawn() == untouched
    random.seed(99)
    other = fit(SHORT, progress=False)
    ours, theirs = one.model.get_weights(), other.model.get_weights()
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
