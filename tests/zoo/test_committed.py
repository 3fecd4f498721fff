"""Every preset in the zoo: whole, small, true to its runs, alike on every backend."""

import json
import statistics
from pathlib import Path

import generate
import keras
import manifest
import numpy as np
import pytest
import records
import shelf
import tables

from dlgn_keras import data
from dlgn_keras.presets import from_preset, verify
from dlgn_keras.presets.files import CARD, METADATA, RUNS, WEIGHTS, check_files
from dlgn_keras.presets.verify import TOLERANCE, golden_error, read_golden
from dlgn_keras.training.recipe import from_dict

ZOO = Path(__file__).resolve().parents[2] / "zoo"
FOLDERS = sorted(path.parent for path in ZOO.glob(f"*/{METADATA}"))
NAMES = [folder.name for folder in FOLDERS]
SMALL = [ZOO / f"{family}_fc_digits" for family in ("dnn", "dgn", "dlgn")]


def metadata_of(folder):
    return json.loads((folder / METADATA).read_text())


def test_there_are_presets_of_every_family():
    assert {metadata_of(f)["family"] for f in FOLDERS} == {"dnn", "dgn", "dlgn"}


def check_goldens(folder):
    net = from_preset(folder)
    assert net.count_params() == metadata_of(folder)["parameter_count"]
    assert {str(v.dtype) for v in net.trainable_variables} <= {"float32"}
    golden = read_golden(folder / "golden.npz")
    assert golden.inputs.shape == (8, *net.input_shape[1:])
    logits = keras.ops.convert_to_numpy(net(golden.inputs, training=False))
    assert np.abs(logits - golden.logits).max() <= TOLERANCE * np.abs(logits).max()


@pytest.mark.parametrize("folder", SMALL, ids=lambda folder: folder.name)
def test_goldens_hold_on_this_backend(folder):
    check_goldens(folder)


@pytest.mark.zoo
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_every_presets_goldens_hold_on_this_backend(folder):
    check_goldens(folder)


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_metadata_card_and_config_follow_from_runs_and_manifest(folder):
    metadata = check_files(folder)
    runs = json.loads((folder / RUNS).read_text())
    results = metadata["results"]
    accuracies = [run["curves"]["test_accuracy"][-1] for run in runs]
    assert results["mean"] == pytest.approx(statistics.fmean(accuracies), abs=1e-5)
    if len(runs) > 1:
        assert results["std"] == pytest.approx(np.std(accuracies, ddof=1), abs=1e-5)
    else:
        assert results["std"] is None
    assert results["seeds"] == [run["seed"] for run in runs]
    assert results["stored_weights"] == pytest.approx(accuracies[0], abs=2e-3)
    twin = metadata_of(ZOO / results["dnn_twin"])["results"]["mean"]
    assert results["ratio_to_dnn"] == pytest.approx(results["mean"] / twin, abs=1e-5)

    entry = manifest.entry(folder.name)
    assert metadata["family"] == entry.fields["family"]
    assert metadata["name"] == folder.name
    recipe = entry.recipe(metadata["recipe"]["seed"]).to_config()
    stored = from_dict(metadata["recipe"]).to_config()
    for field, value in stored.items():
        assert recipe[field] == value, field
    assert metadata["command"] == f"python zoo/build.py {folder.name}"
    assert metadata["data"]["terms"]
    assert f"**{100 * results['mean']:.2f} %" in (folder / CARD).read_text()


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_documenting_a_preset_again_changes_nothing(folder, tmp_path):
    """Card, metadata and hashes are what the runs make of them: nothing by hand."""
    part = tmp_path / folder.name
    part.mkdir()
    for path in folder.iterdir():
        (part / path.name).write_bytes(path.read_bytes())
    metadata = metadata_of(folder)
    twin = shelf.mean_accuracy(ZOO / metadata["results"]["dnn_twin"])
    shelf.document(part, folder.name, metadata, twin)
    for name in (METADATA, CARD):
        assert (part / name).read_text() == (folder / name).read_text(), name


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_metadata_say_what_data_the_preset_knows(folder):
    known, short = metadata_of(folder)["data"], len(json.dumps(metadata_of(folder)))
    assert known["class_names"] == list(data.class_names(known["name"]))
    config = json.loads((folder / "config.json").read_text())["config"]
    assert known["input_shape"] == config["input_shape"]
    assert known["raw_range"] == config["preprocessing"]["raw_range"]
    if known["raw_range"] is None:
        assert known["value_range"] is None
        return
    scale, offset = (config["preprocessing"][key] for key in ("scale", "offset"))
    ends = np.multiply.outer(known["raw_range"], scale) + offset
    assert known["value_range"] == pytest.approx([ends.min(), ends.max()], abs=1e-5)
    assert short < 8000, "a recipe by the skeleton's name, not its stages"


def test_the_generated_pages_are_up_to_date():
    assert generate.stale(ZOO, ZOO.parent / "README.md") == []


def test_a_stale_page_is_noticed(tmp_path):
    page = tmp_path / "README.md"
    page.write_text(f"{tables.START}\nold\n{tables.END}\n")
    assert "README.md" in generate.stale(ZOO, page)
    table = tables.front_table(ZOO)
    page.write_text(tables.with_table(page.read_text(), table))
    assert generate.stale(ZOO, page) == []
    for folder in FOLDERS:
        mean = metadata_of(folder)["results"]["mean"]
        assert f"{100 * mean:.2f}" in table, folder.name


def test_weights_stay_small():
    sizes = [(folder / WEIGHTS).stat().st_size for folder in FOLDERS]
    assert max(sizes) <= 64 * 2**20
    assert sum(sizes) <= 250 * 2**20


@pytest.mark.zoo
def test_the_accuracy_of_digits_presets_is_measured_again():
    digits = data.load("digits")
    for folder in FOLDERS:
        if metadata_of(folder)["data"]["name"] == "digits":
            found = verify(folder, digits)
            assert found.accuracy == pytest.approx(found.stated, abs=2.5 / 360)


def test_a_preset_fine_tunes_in_three_lines():
    digits = data.load("digits")
    x, y = digits.x_train, digits.y_train % 2  # even or odd

    net = from_preset("dlgn_fc_digits", num_classes=2, freeze_gates=True)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    net.fit(x, y, epochs=3, verbose=0)

    scores = net.evaluate(digits.x_test, digits.y_test % 2, verbose=0, return_dict=True)
    assert scores["accuracy"] > 0.95
    before = from_preset("dlgn_fc_digits").gates(x[:20])
    after = net.gates(x[:20])
    assert all(np.array_equal(before[site], after[site]) for site in before)


def test_descriptions_say_the_family():
    for entry in manifest.entries().values():
        text = records.description(entry)
        assert entry.fields["family"].upper() in text
        assert ("all ones" in text) == (entry.fields.get("value_input") == "ones")


def test_a_changed_weight_would_be_noticed():
    net = from_preset("dlgn_fc_digits")
    golden = read_golden(ZOO / "dlgn_fc_digits" / "golden.npz")
    kernel = net.network_layers("gating")["dense_1"].weights[0]
    kernel.assign(kernel * 1.05)
    assert golden_error(net, golden) > TOLERANCE
