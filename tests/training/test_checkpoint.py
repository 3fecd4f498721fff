"""Checkpoints: whole or refused, and of this run or refused."""

import json

import keras
import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras.training import checkpoint
from dlgn_keras.training.ingredients import make_loss, make_optimizer
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.step import make_trainer

RUN = {"fingerprint": "abc", "backend": keras.backend.backend()}
ROW = {"epoch": 3, "loss": 0.5, "seconds": 1.0, "total_seconds": 1}
META = {**RUN, "epoch": 3, "history": [ROW], "interruptions": 0}


def make(width=2, value=None):
    net = dk.DLGN(dk.skeletons.fc(1, width, batch_norm=True), (3,), 2, seed=0)
    trainer = make_trainer(net, np.ones((4, 3), "float32"), [], 2)
    trainer.compile(make_optimizer(Recipe(), 10), make_loss(Recipe(), 2))
    trainer.optimizer.build(trainer.trainable_variables)
    if value is not None:
        for variable in checkpoint.state_variables(trainer):
            variable.assign(np.full(variable.shape, value))
    return trainer


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("run") / "checkpoint.npz"
    checkpoint.save(path, make(value=7), META)
    return path


def test_a_checkpoint_brings_every_variable_back(saved):
    facts, arrays = checkpoint.read(saved, RUN)
    assert {k: facts[k] for k in META} == META
    trainer = make()
    checkpoint.restore(trainer, facts, arrays, saved)
    state = checkpoint.state_variables(trainer)
    assert len(state) == len(arrays) > 0
    for variable in state:
        array = keras.ops.convert_to_numpy(variable)
        np.testing.assert_array_equal(array, np.full(variable.shape, 7))
    paths = " ".join(facts["paths"])
    for part in ("kernel", "moving_mean", "iteration", "momentum"):
        assert part in paths
    assert "resident_data" not in paths


def refusal(path, content):
    """The message of the refusal, or None if the content was taken."""
    path.write_bytes(content)
    try:
        facts, arrays = checkpoint.read(path, RUN)
    except ValueError as error:
        return str(error)
    return facts, arrays


def test_a_torn_checkpoint_is_refused_wherever_it_is_torn(saved, tmp_path):
    path, whole = tmp_path / "checkpoint.npz", saved.read_bytes()
    for length in range(0, len(whole), 97):
        message = refusal(path, whole[:length])
        assert "is no whole checkpoint" in message
        assert "\n" not in message
        assert "Remove it to start the run again" in message


def test_a_flipped_bit_is_refused_or_changes_nothing(saved, tmp_path):
    path, whole = tmp_path / "checkpoint.npz", saved.read_bytes()
    facts, arrays = checkpoint.read(saved, RUN)
    refused = 0
    places = range(0, len(whole), 11)
    for place in places:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << place % 8
        found = refusal(path, bytes(flipped))
        if isinstance(found, str):
            assert "\n" not in found
            refused += 1
        else:  # a file name's date or the like
            assert found[0] == facts
            for ours, theirs in zip(found[1], arrays, strict=True):
                np.testing.assert_array_equal(ours, theirs)
    assert refused > len(places) / 2


@pytest.mark.parametrize("fact", RUN)
def test_a_checkpoint_of_another_run_is_refused(fact, saved):
    with pytest.raises(ValueError, match=f"another run: its {fact} is") as caught:
        checkpoint.read(saved, {**RUN, fact: "another"})
    assert "here it is 'another'" in str(caught.value)


def test_a_checkpoint_of_another_format_is_refused(saved, monkeypatch):
    monkeypatch.setattr(checkpoint, "FORMAT", 99)
    with pytest.raises(ValueError, match="its format is"):
        checkpoint.read(saved, RUN)


def test_a_checkpoint_of_another_model_is_refused(saved):
    facts, arrays = checkpoint.read(saved, RUN)
    with pytest.raises(ValueError, match="variables that do not fit"):
        checkpoint.restore(make(width=3), facts, arrays, saved)


def test_a_failed_write_leaves_the_old_checkpoint(saved, tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(saved.read_bytes())

    def full_disk(file, **arrays):
        file.write_bytes(b"half of it")
        raise OSError("No space left on device")

    monkeypatch.setattr(np, "savez", full_disk)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(path, make(), META)
    assert path.read_bytes() == saved.read_bytes()
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoint.npz"]


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.pop("history"),
        lambda m: m.pop("interruptions"),
        lambda m: m.update(history={}) or m.update(history="abc"),
        lambda m: m.update(history=[3]),
        lambda m: m.update(history=[ROW, {"epoch": 4}]),
        lambda m: m.update(history=[ROW, ROW]),
        lambda m: m.update(history=[ROW | {"loss": "low"}]),
        lambda m: m.update(history=[ROW | {"epoch": 1.5}]),
        lambda m: m.update(interruptions=-1),
        lambda m: m.update(interruptions=True),
        lambda m: m.update(paths="abc"),
        lambda m: m.update(paths=[1, *m["paths"][1:]]),
    ],
)
def test_a_field_of_another_kind_is_refused(change, saved, tmp_path):
    with np.load(saved) as stored:
        arrays = dict(stored)
    meta = json.loads(arrays["meta"].tobytes())
    change(meta)
    arrays["meta"] = np.frombuffer(json.dumps(meta).encode(), np.uint8)
    path = tmp_path / "checkpoint.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="is no whole checkpoint") as error:
        checkpoint.read(path, RUN)
    assert "\n" not in str(error.value)


def test_arrays_of_another_dtype_are_refused(saved):
    facts, arrays = checkpoint.read(saved, RUN)
    other = [array.astype("float64") for array in arrays]
    with pytest.raises(ValueError, match="variables that do not fit"):
        checkpoint.restore(make(), facts, other, saved)
