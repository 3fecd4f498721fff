"""Runs: one folder per recipe, trained once, found again, never mistaken."""

import json
import shutil

import keras
import numpy as np
import pytest
from experiments import few

from dlgn_keras.experiments.runs import BEST, KeepModels, Runs, kept_model, run_name
from dlgn_keras.models import DNN
from dlgn_keras.skeletons import fc
from dlgn_keras.training import fit, load_trained

OTHER = {
    "family": "dgn",
    "skeleton": "fc:depth=2,width=7",
    "data": "mnist",
    "regime": "frnpf_ii",
    "gate": "hard",
    "beta": 5.0,
    "gate_scale": 1.1,
    "value_input": "ones",
    "gate_order": (1, 0),
    "kernel_initializer": "glorot_uniform",
    "learning_rate": 0.5,
    "epochs": 3,
    "num_train": 95,
    "seed": 1,
}


@pytest.mark.parametrize("name", OTHER)
def test_every_field_changes_a_runs_name(name):
    assert run_name(few.recipe()) != run_name(few.recipe(**{name: OTHER[name]}))


def test_a_runs_name_does_not_tell_where_the_gates_source_lies():
    frozen = {"family": "dgn", "regime": "flnpf"}
    here = few.recipe(gates_from="/here/runs/dnn-a", **frozen)
    assert run_name(here) == run_name(here.replace(gates_from="/there/runs/dnn-a"))
    assert run_name(here) != run_name(here.replace(gates_from="/here/runs/dnn-b"))
    kept = here.replace(gates_from="/here/runs/dnn-a/epoch_0001.keras")
    other = here.replace(gates_from="/here/runs/dnn-b/epoch_0001.keras")
    assert run_name(kept) != run_name(other)


def test_a_run_is_trained_once_and_its_result_is_fits_own(tmp_path):
    runs = Runs(tmp_path, progress=False)
    first = runs.fit(few.recipe())
    stamps = few.stamps(tmp_path)
    again = Runs(tmp_path, progress=False).fit(few.recipe())
    assert few.stamps(tmp_path) == stamps
    assert again.history == first.history
    direct = fit(few.recipe(), progress=False)
    assert direct.test_accuracy == first.test_accuracy
    assert [h["loss"] for h in direct.history] == [h["loss"] for h in first.history]


def test_finished_runs_are_found_after_their_folder_is_moved(tmp_path):
    runs = Runs(tmp_path / "here", progress=False)
    runs.fit(few.recipe())
    shutil.move(tmp_path / "here", tmp_path / "there")
    stamps = few.stamps(tmp_path / "there")
    Runs(tmp_path / "there", progress=False).fit(few.recipe())
    assert few.stamps(tmp_path / "there") == stamps


def test_a_folder_with_another_recipes_result_is_refused(tmp_path):
    runs = Runs(tmp_path, progress=False)
    runs.fit(few.recipe())
    path = runs.folder(few.recipe()) / "result.json"
    stored = json.loads(path.read_text())
    stored["recipe"]["beta"] = 5.0
    path.write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"another recipe \(other beta\)"):
        Runs(tmp_path, progress=False).fit(few.recipe())


def test_kept_models_are_those_of_shorter_runs(tmp_path):
    runs = Runs(tmp_path, progress=False)
    recipe = few.recipe(schedule="constant", epochs=2)
    runs.fit(recipe, keep=[0, 1, 2])
    folder = runs.folder(recipe, keep=[0, 1, 2])
    shorter = fit(recipe.replace(epochs=1), progress=False).model.get_weights()
    kept = [load_trained(str(kept_model(folder, k))).get_weights() for k in range(3)]
    final = load_trained(str(folder)).get_weights()
    for ours, theirs in ((kept[1], shorter), (kept[2], final)):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b)
    # The check can fail: an epoch more or less is another model.
    assert not np.array_equal(kept[0][0], kept[1][0])
    assert not np.array_equal(kept[1][0], kept[2][0])


def test_a_run_without_its_best_model_is_trained_again_for_who_needs_it(tmp_path):
    recipe = few.recipe(schedule="constant")
    first = Runs(tmp_path, progress=False).fit(recipe)
    kept = Runs(tmp_path, progress=False).fit(recipe, [BEST])
    runs = Runs(tmp_path, progress=False)
    assert runs.folder(recipe) == runs.folder(recipe, [BEST])
    assert kept_model(runs.folder(recipe), kept.best_epoch).is_file()
    assert [row["loss"] for row in kept.history] == [r["loss"] for r in first.history]
    stamps = few.stamps(tmp_path)
    runs.fit(recipe, [BEST])
    assert few.stamps(tmp_path) == stamps


def test_the_best_of_a_run_that_was_stopped_is_the_best_of_all_its_epochs(tmp_path):
    (tmp_path / "log.csv").write_text("epoch,test_accuracy\n1,0.5\n2,0.9\n")
    keep = KeepModels(tmp_path, [BEST])
    keep.set_model(keras.Sequential([DNN(fc(1, 2), (3,), 2)]))
    keep.on_epoch_begin(2)
    assert [path.name for path in tmp_path.glob("*.keras")] == ["epoch_0002.keras"]
    with (tmp_path / "log.csv").open("a") as log:
        log.write("3,0.9\n")  # as good, later
    keep.on_epoch_end(2)
    assert [path.name for path in tmp_path.glob("*.keras")] == ["epoch_0002.keras"]
    with (tmp_path / "log.csv").open("a") as log:
        log.write("4,0.95\n")
    keep.on_epoch_end(3)
    assert [path.name for path in tmp_path.glob("*.keras")] == ["epoch_0004.keras"]


def test_a_kept_run_does_not_serve_where_nothing_was_kept(tmp_path):
    runs = Runs(tmp_path, progress=False)
    assert runs.folder(few.recipe()) != runs.folder(few.recipe(), keep=[1])


def test_an_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="`out` must be a folder"):
        Runs(tmp_path / "file")
