"""The experiment's table says what the measures say, of every method on one preset."""

import json

import numpy as np
import pytest

from dlgn_keras import data
from dlgn_keras.experiments import faithfulness, reproduce
from dlgn_keras.interpret import attributions
from dlgn_keras.interpret.faithfulness import deletion_curves
from dlgn_keras.presets import from_preset


def test_the_table_holds_the_means_of_the_curves_and_their_intervals(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(faithfulness, "IMAGES", 30)
    preset = "dlgn_fc_digits"
    options = {"rows": [preset], "progress": False}
    table = reproduce("faithfulness", tmp_path, **options)
    assert [line["method"] for line in table.lines] == list(attributions.METHODS)
    assert {line["images"] for line in table.lines} == {30}
    net, test = from_preset(preset), data.load("digits").take(num_test=30)
    x, y = test.x_test.astype("float32"), test.y_test
    for line in table.lines[:2]:
        maps = attributions.METHODS[line["method"]](net, x, y)
        for mode in ("deletion", "insertion"):
            each = deletion_curves(net, x, y, maps, mode=mode).mean(1)
            assert line[mode] == pytest.approx(each.mean(), abs=1e-4)
            half = 1.96 * each.std(ddof=1) / np.sqrt(30)
            assert line[f"{mode} ±"] == pytest.approx(half, abs=1e-4)
    deletions = [line["deletion"] for line in table.lines]
    assert len(set(deletions)) == len(deletions)  # no method stands in for another
    assert {line["localisation"] for line in table.lines} == {None}
    folder = tmp_path / "faithfulness-small"
    assert json.loads((folder / "table.json").read_text())["lines"] == table.lines
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_rows_are_presets_and_nothing_is_trained(tmp_path):
    options = {"progress": False}
    with pytest.raises(ValueError, match="dlgn_fc_digits"):
        reproduce("faithfulness", tmp_path, rows=["dlgn_fc_digit"], **options)
    with pytest.raises(ValueError, match="trains nothing"):
        reproduce("faithfulness", tmp_path, changes={"epochs": 2}, **options)
