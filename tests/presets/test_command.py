"""dlgn-keras zoo: what it lists and shows, what it verifies, how it refuses."""

import json
from pathlib import Path

import numpy as np
import pytest

from dlgn_keras import data, training
from dlgn_keras.cli import main
from dlgn_keras.presets import from_preset
from dlgn_keras.presets.files import GOLDEN, read_metadata


@pytest.fixture
def shelf(preset, monkeypatch):
    """A zoo of one tiny preset, ahead of the checkout's."""
    monkeypatch.setenv("DLGN_KERAS_ZOO", str(preset.parent))
    return preset


def as_json(capsys, *arguments):
    code = main(["zoo", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_list_has_the_presets_of_every_zoo(shelf, capsys):
    code, rows = as_json(capsys, "list")
    found = {row["name"]: row for row in rows}
    assert code == 0
    assert found["dlgn_fc_tiny"]["folder"] == str(shelf)
    stated = read_metadata(Path(found["dlgn_fc_digits"]["folder"]))["results"]["mean"]
    assert found["dlgn_fc_digits"]["accuracy"] == stated
    assert main(["zoo", "list"]) == 0
    printed = capsys.readouterr().out
    assert "dlgn_fc_tiny" in printed
    assert f"{100 * stated:.2f}" in printed


def test_show_tells_one_preset(shelf, capsys):
    code, metadata = as_json(capsys, "show", "dlgn_fc_digits")
    assert code == 0
    assert metadata["results"]["stored_weights"] <= 1
    assert main(["zoo", "show", "dlgn_fc_digits"]) == 0
    printed = capsys.readouterr().out
    assert f"{100 * metadata['results']['mean']:.2f} %" in printed
    assert metadata["command"] in printed
    assert f"{from_preset('dlgn_fc_digits').count_params():,}" in printed


def test_verify_measures_the_accuracy_that_predict_has(capsys):
    digits = data.load("digits")
    logits = from_preset("dnn_fc_digits").predict(digits.x_test, verbose=0)
    share = np.mean(logits.argmax(axis=1) == digits.y_test)
    code, (row,) = as_json(capsys, "verify", "dnn_fc_digits", "--accuracy")
    assert code == 0
    assert row["accuracy"] == pytest.approx(share, abs=1e-9)
    assert row["problem"] is None
    assert main(["zoo", "verify", "dnn_fc_digits", "--accuracy"]) == 0
    printed = capsys.readouterr().out
    assert f"test accuracy {100 * share:.2f} %" in printed
    assert "1 of 1 presets hold" in printed


def test_verify_goes_on_after_a_damaged_preset(shelf, originals, capsys):
    (shelf / GOLDEN).write_bytes(b"torn")
    names = [str(shelf), str(originals["dnn"])]
    assert main(["zoo", "verify", *names]) == 1
    torn, whole, total = capsys.readouterr().out.strip().splitlines()
    assert torn.startswith(str(shelf))
    assert GOLDEN in torn
    assert "golden logits within" in whole
    assert total.startswith("1 of 2 presets hold on ")
    code, rows = as_json(capsys, "verify", *names)
    assert code == 1
    assert [row["problem"] is None for row in rows] == [False, True]


BAD = [
    (["list", "dlgn_fc_digits"], "no such option or argument: dlgn_fc_digits"),
    (["lst"], "list, show, verify, save, push. Received: 'lst'. Did you mean 'list'?"),
    (["show"], "required: preset"),
    (["show", "dlgn_fc_digits", "--accuracy"], "no such option"),
    (["show", "dlgn_fc_digts"], "Did you mean 'dlgn_fc_digits'?"),
    (["push", "dlgn_fc_digits"], "required: --to"),
    (["verify", "--acuracy"], "--acuracy. Did you mean '--accuracy'?"),
]


@pytest.mark.parametrize(("arguments", "expected"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(arguments, expected, capsys):
    assert main(["zoo", *arguments]) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("dlgn-keras zoo: ")
    assert expected in line


def test_a_run_is_saved_as_a_preset(tmp_path, capsys):
    recipe = training.Recipe(skeleton="fc:depth=1,width=4", epochs=1, num_train=100)
    result = training.fit(recipe, tmp_path / "run", progress=False)
    folder = tmp_path / "mine"
    assert main(["zoo", "save", str(tmp_path / "run"), "--to", str(folder)]) == 0
    assert str(folder) in capsys.readouterr().out
    metadata = json.loads((folder / "metadata.json").read_text())
    assert metadata["recipe"]["epochs"] == 1
    stated = metadata["results"]["stored_weights"]
    assert stated == pytest.approx(result.test_accuracy, abs=1e-6)
    assert main(["zoo", "verify", str(folder), "--accuracy"]) == 0
