"""Sets larger than memory: trained on from disk, as the same arrays would be."""

import dataclasses

import keras
import numpy as np
import pytest
from few_digits import digits
from PIL import Image

import dlgn_keras as dk
from dlgn_keras.data import Dataset, load
from dlgn_keras.data.stored import Unreadable, as_stored
from dlgn_keras.training import Recipe, evaluate, fit

RECIPE = Recipe(skeleton="fc:depth=1,width=8", epochs=3, batch_size=24)


def stored(dataset):
    """The set with its inputs on a disk, as it were."""
    parts = {f"x_{split}": getattr(dataset, f"x_{split}") for split in dataset.splits}
    return dataclasses.replace(dataset, **{k: as_stored(x) for k, x in parts.items()})


@pytest.fixture
def folder(tmp_path):
    few = digits()
    for split in ("train", "test"):
        x, y = getattr(few, f"x_{split}"), getattr(few, f"y_{split}")
        for k, (image, label) in enumerate(zip(x, y, strict=True)):
            place = tmp_path / "set" / split / str(label)
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(15 * image[..., 0]).save(place / f"{k:03}.png")
    return tmp_path / "set"


def weights(result):
    return result.model.get_weights()


def test_a_streamed_run_is_the_resident_one():
    resident = fit(RECIPE, dataset=digits(12), progress=False)
    streamed = fit(RECIPE, dataset=stored(digits(12)), progress=False)
    for a, b in zip(resident.history, streamed.history, strict=True):
        assert a["loss"] == pytest.approx(b["loss"], rel=1e-5)
        assert a["test_accuracy"] == b["test_accuracy"]  # 33 of them: a ragged batch
    for a, b in zip(
        resident.model.get_weights(), streamed.model.get_weights(), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    other = fit(RECIPE.replace(seed=1), dataset=stored(digits(12)), progress=False)
    assert other.history[0]["loss"] != streamed.history[0]["loss"]  # the check can fail
    x = stored(digits(12)).x_test
    ours, theirs = (
        evaluate(streamed.model, part, digits().y_test) for part in (x, x[:])
    )
    assert ours == pytest.approx(theirs)


class Stop(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_a_streamed_run_resumes_bit_equal(tmp_path):
    data = stored(digits())
    whole = fit(RECIPE, dataset=data, progress=False)
    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, tmp_path, dataset=data, progress=False, callbacks=[Stop()])
    again = fit(RECIPE, tmp_path, dataset=data, progress=False)
    assert again.interruptions == 1
    for a, b in zip(whole.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


class Corrupt(keras.callbacks.Callback):
    """Cut a file short before the third epoch."""

    def __init__(self, path):
        super().__init__()
        self.path, self.whole = path, path.read_bytes()

    def on_epoch_end(self, epoch, logs=None):
        if epoch == 1:
            self.path.write_bytes(self.whole[:50])


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_file_damaged_in_epoch_3_stops_the_run_and_keeps_its_checkpoint(
    folder, tmp_path
):
    data = load(folder, memory=0)
    assert data.stored
    path = data.x_train.source.paths[7]
    spoil = Corrupt(path)
    out = tmp_path / "run"
    with pytest.raises(Unreadable) as caught:
        fit(RECIPE, out, dataset=data, progress=False, callbacks=[spoil])
    told = str(caught.value)
    assert str(path) in told
    assert "stopped after epoch 2; the checkpoint after epoch 2 is kept" in told
    assert "\n" not in told
    path.write_bytes(spoil.whole)
    mended = fit(RECIPE, out, dataset=data, progress=False)
    whole = fit(RECIPE, dataset=data, progress=False)
    for a, b in zip(mended.model.get_weights(), whole.model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_damaged_file_is_skipped_by_option_and_counted(folder):
    data = load(folder, memory=0, skip_unreadable=True)
    spoil = Corrupt(data.x_train.source.paths[7])
    with pytest.warns(UserWarning, match="1 examples could not be read"):
        result = fit(RECIPE, dataset=data, progress=False, callbacks=[spoil])
    assert len(result.history) == 3


def test_a_mapped_file_is_streamed(tmp_path):
    few = digits()
    np.save(tmp_path / "x.npy", few.x_train)
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = Dataset("mine", mapped, few.y_train, few.x_test, few.y_test, 10)
    assert data.stored
    assert len(data.with_validation(0.2).take(30).x_train) == 30
    assert fit(RECIPE.replace(epochs=1), dataset=data, progress=False).parameters


def test_convolutions_and_augmentation_run_on_streams(folder):
    recipe = RECIPE.replace(skeleton="c4gap:width=4", augmentation="shift", epochs=1)
    data = load(folder, memory=0)
    result = fit(recipe, dataset=data, progress=False)
    assert result.model.about["class_names"] == list("0123456789")
    assert dk.training.fit_many([recipe], dataset=data)[0].history
