"""The experiment's table says what the measures say, of every method on one preset."""

import json

import numpy as np
import pytest

from dlgn_keras import data
from dlgn_keras.experiments import faithfulness, reproduce
from dlgn_keras.experiments.verdicts import verdicts
from dlgn_keras.interpret import attributions
from dlgn_keras.interpret.faithfulness import deletion_curves
from dlgn_keras.presets import from_preset

MEASURES = list(faithfulness.MEASURES)


def test_the_table_holds_the_means_of_the_curves_and_their_intervals(
    tmp_path, monkeypatch
):
    size = faithfulness.Size(30, 20, 30, {})
    monkeypatch.setitem(faithfulness.SIZES, "small", size)
    preset = "dlgn_fc_digits"
    options = {"rows": [preset], "progress": False}
    table = reproduce("faithfulness", tmp_path, **options)
    assert [line["method"] for line in table.lines] == list(attributions.METHODS)
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
    assert {line["2x2"] for line in table.lines} == {None}
    folder = tmp_path / "faithfulness-small"
    assert json.loads((folder / "table.json").read_text())["lines"] == table.lines
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"


def test_contributions_at_sites_are_rows_and_a_second_call_reads_them(
    tmp_path, monkeypatch
):
    size = faithfulness.Size(10, 2, 60, {2: 2})
    monkeypatch.setitem(faithfulness.SIZES, "small", size)
    options = {"rows": ["dlgn_resnet8_digits"], "progress": False}
    table = reproduce("faithfulness", tmp_path, **options)
    methods = [line["method"] for line in table.lines]
    assert "Grad-CAM" in methods
    assert sum(" at " in method for method in methods) == 4
    assert all(0 <= line["2x2"] <= 1 for line in table.lines)
    assert any("the best of ours" in note for note in table.notes)
    monkeypatch.setattr(faithfulness, "line", None)
    assert reproduce("faithfulness", tmp_path, **options).lines == table.lines


def test_a_verdict_tells_wins_ties_and_losses():
    def line(method, deletion, insertion):
        measured = {"deletion": deletion, "insertion": insertion}
        blank = dict.fromkeys(["2x2", "3x3"])
        halves = {f"{name} ±": 0.1 for name in measured}
        return {"row": "net", "method": method, **measured, **blank, **halves}

    ours, other = line("contributions", 0.1, 0.5), line("occlusion", 0.4, 0.55)
    (said,) = verdicts([ours, other], MEASURES)
    assert "deletion win (contributions 0.100 against occlusion 0.400)" in said
    assert "insertion tie" in said
    assert "2x2" not in said
    (said,) = verdicts([line("contributions", 0.9, 0.9), other], MEASURES)
    assert "deletion lose" in said
    assert "insertion win" in said


def test_rows_are_presets_and_nothing_is_trained(tmp_path):
    options = {"progress": False}
    with pytest.raises(ValueError, match="dlgn_fc_digits"):
        reproduce("faithfulness", tmp_path, rows=["dlgn_fc_digit"], **options)
    with pytest.raises(ValueError, match="trains nothing"):
        reproduce("faithfulness", tmp_path, changes={"epochs": 2}, **options)
