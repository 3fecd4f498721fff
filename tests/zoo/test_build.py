"""build.py: what is wanted, in order; stopped and gone on; whole folders only."""

import os
import subprocess
import sys

import build
import manifest
import numpy as np
import pytest
import records
import shelf

from dlgn_keras import data
from dlgn_keras.data import likeness
from dlgn_keras.presets import from_preset, verify
from dlgn_keras.presets.files import METADATA, check_files, read_metadata
from dlgn_keras.training import fit

LAW = {"dnn", "dgn", "dgn_flnpf", "dgn_frnpf", "dlgn", "dlgn_sf"}


def test_every_wanted_name_follows_the_law_and_is_its_recipe():
    for name, entry in manifest.entries().items():
        ones = name.endswith("_ones")
        assert name == f"{entry.variant}_{entry.setting}{'_ones' * ones}"
        assert entry.variant in LAW
        recipe = entry.recipe(0)
        assert entry.setting == f"{recipe.skeleton.name}_{recipe.data}"
        assert recipe.family == entry.variant.split("_")[0]
        assert recipe.shallow == (entry.variant == "dlgn_sf")
        assert (recipe.regime == "joint") == (entry.variant in LAW - FROZEN)
        assert (recipe.value_input == "ones") == ones
        assert entry.twin in manifest.entries()


FROZEN = {"dgn_flnpf", "dgn_frnpf"}


def test_twins_differ_in_nothing_but_how_gates_are_made():
    free = {"family", "regime", "gates_from", "shallow", "value_input"}
    for entry in manifest.entries().values():
        ours = entry.recipe(0).to_config()
        theirs = manifest.entry(entry.twin).recipe(0).to_config()
        assert {k for k in ours if ours[k] != theirs[k]} <= free, entry.name


def test_no_recipe_chooses_anything_on_the_test_set():
    for entry in manifest.entries().values():
        recipe = entry.recipe(0)
        assert (recipe.num_train, recipe.num_test) == (None, None)
        assert recipe.schedule in ("one_cycle", "piecewise")


def test_first_seeds_come_first_and_heavy_ones_wait_for_an_accelerator(tmp_path):
    jobs = build.jobs([], tmp_path, None, strong=False)
    seeds = [seed for _, seed in jobs]
    assert seeds == sorted(seeds)
    assert not any(entry.needs_accelerator for entry, _ in jobs)
    assert len(build.jobs([], tmp_path, None, strong=True)) > len(jobs)
    named = build.jobs(["dlgn_resnet110_cifar10"], tmp_path, 2, strong=False)
    assert [(e.name, s) for e, s in named] == [
        ("dlgn_resnet110_cifar10", 0),
        ("dlgn_resnet110_cifar10", 1),
    ]


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'dlgn_fc_mnist'"):
        manifest.entry("dlgn_fc_mnits")


@pytest.fixture(scope="module")
def tiny_zoo(tmp_path_factory):
    """A zoo of one small DNN and one small DLGN, two seeds each."""
    out = tmp_path_factory.mktemp("small")
    digits = data.load("digits").take(100, 40)
    for name in ("dnn_fc_digits", "dlgn_fc_digits"):
        entry = manifest.entry(name)
        for seed in (0, 1):
            recipe = entry.recipe(seed).replace(epochs=2)
            shelf.put(
                entry, recipe, fit(recipe, dataset=digits, progress=False), digits, out
            )
    return out, digits


def test_a_second_seed_joins_the_figures_and_leaves_the_weights(tiny_zoo):
    out, digits = tiny_zoo
    folder = out / "dlgn_fc_digits"
    metadata = check_files(folder)
    assert metadata["results"]["seeds"] == [0, 1]
    assert metadata["results"]["std"] is not None
    recipe = manifest.entry("dlgn_fc_digits").recipe(0).replace(epochs=2)
    first = fit(recipe, dataset=digits, progress=False).model
    x = digits.x_test
    stored = from_preset(folder).predict(x, verbose=0)
    np.testing.assert_allclose(stored, first.predict(x, verbose=0), atol=0.02)
    assert verify(folder, digits).accuracy == metadata["results"]["stored_weights"]
    assert shelf.seeds_done(folder) == [0, 1]
    assert [p.name for p in out.iterdir() if p.name.startswith(".")] == []


def test_verify_notices_an_accuracy_that_was_made_up(tiny_zoo, tmp_path):
    import shutil

    from dlgn_keras.presets.files import read_metadata, seal

    out, digits = tiny_zoo
    folder = shutil.copytree(out / "dnn_fc_digits", tmp_path / "dnn_fc_digits")
    metadata = read_metadata(folder)
    metadata["results"]["stored_weights"] += 0.1
    seal(folder, metadata)
    with pytest.raises(ValueError, match=r"test accuracy is .* its metadata say"):
        verify(folder, digits)


def test_the_ratio_follows_the_twin(tiny_zoo):
    out, _ = tiny_zoo
    shelf.refresh(out)
    ours, twin = (
        check_files(out / name)["results"]
        for name in ("dlgn_fc_digits", "dnn_fc_digits")
    )
    assert ours["ratio_to_dnn"] == pytest.approx(ours["mean"] / twin["mean"], abs=1e-5)
    assert twin["ratio_to_dnn"] == 1
    assert shelf.refresh(out) == []


def test_runs_of_changed_code_are_missing_where_a_clean_origin_is_asked(tiny_zoo):
    out, _ = tiny_zoo
    names = ["dnn_fc_digits", "dlgn_fc_digits"]
    folder = out / "dlgn_fc_digits"
    runs = records.read_runs(folder)
    for run, commit in zip(runs, ("abc", "abc-dirty"), strict=True):
        run["environment"]["commit"] = commit
    (folder / "runs.json").write_text(shelf.runs_text(runs))
    twin = out / "dnn_fc_digits"
    cleaned = records.read_runs(twin)
    for run in cleaned:
        run["environment"]["commit"] = "abc"
    (twin / "runs.json").write_text(shelf.runs_text(cleaned))
    jobs = build.jobs(names, out, 2, strong=False, clean=True)
    assert [(entry.name, seed) for entry, seed in jobs] == [("dlgn_fc_digits", 1)]
    assert build.jobs(names, out, 2, strong=False) == []
    absent = build.jobs(["dgn_fc_digits"], out, 2, strong=False, clean=True)
    assert absent == []


def test_the_first_seed_trained_again_brings_its_weights(tiny_zoo):
    out, digits = tiny_zoo
    entry = manifest.entry("dlgn_fc_digits")
    before = (out / entry.name / "model.weights.h5").read_bytes()
    recipe = entry.recipe(0).replace(epochs=3)
    result = fit(recipe, dataset=digits, progress=False)
    shelf.put(entry, recipe, result, digits, out)
    assert (out / entry.name / "model.weights.h5").read_bytes() != before
    metadata = check_files(out / entry.name)
    assert metadata["results"]["seeds"] == [0, 1]
    stored = verify(out / entry.name, digits).accuracy
    assert stored == pytest.approx(result.test_accuracy, abs=0.03)


def test_measuring_adds_the_accuracy_at_hard_gates(tiny_zoo):
    out, digits = tiny_zoo
    folder = out / "dlgn_fc_digits"
    metadata = check_files(folder)
    net = from_preset(folder)
    gates = net.gates(digits.x_test, mode="hard")
    logits = net.value_network.predict(
        [net.value_inputs(digits.x_test), gates], verbose=0
    )
    share = np.mean(logits.argmax(axis=1) == digits.y_test)
    assert metadata["results"]["hard_gates"] == pytest.approx(share, abs=1e-6)
    assert f"{100 * share:.2f} % with hard gates" in (folder / "CARD.md").read_text()
    assert "hard gates" not in (out / "dnn_fc_digits" / "CARD.md").read_text()
    shelf.measure(folder, digits)
    assert read_metadata(folder)["data"]["usual"] == likeness.usual_ranges(
        digits.x_train
    )


WITHOUT = """
import runpy, sys

NAMES = {"tensorflow", "torch", "tensorflow_datasets", "matplotlib", "requests"}

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in NAMES:
            return self.finder.find_spec(name, path, target)

sys.meta_path[:] = map(Without, sys.meta_path)
sys.argv = sys.argv[1:]
sys.path.insert(0, sys.argv[0].rpartition("/")[0])  # as `python zoo/build.py` does
runpy.run_path(sys.argv[0], run_name="__main__")
"""


OPTIONS = ("--seeds", "1", "--data-dir", ".", "--out", "zoo", "--runs", "runs")


def run_build(checkout, tmp_path, minutes, name):
    environ = {**os.environ, "KERAS_BACKEND": "jax", "TF_CPP_MIN_LOG_LEVEL": "3"}
    script = str(checkout / "zoo" / "build.py")
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, script, name, "--minutes", minutes, *OPTIONS],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_it_builds_without_tensorflow_and_goes_on(
    checkout, tmp_path, monkeypatch, capsys
):
    name = "dgn_frnpf_fc_digits"

    first = run_build(checkout, tmp_path, "0.001", name)
    assert first.returncode == 0, first.stderr
    assert "The time is used" in first.stdout
    assert not (tmp_path / "zoo" / name).exists()

    second = run_build(checkout, tmp_path, "5", name)
    assert second.returncode == 0, second.stderr
    assert f"{name} seed 0" in second.stdout
    assert verify(tmp_path / "zoo" / name).golden_error < 1e-3
    assert (tmp_path / "zoo" / name / METADATA).is_file()

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["build.py", name, "--list", *OPTIONS])
    assert build.main() == 0
    assert capsys.readouterr().out.strip() == "none"

    monkeypatch.setattr(sys, "argv", ["build.py", "dlgn_fc_digit", *OPTIONS])
    assert build.main() == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
