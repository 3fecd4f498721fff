"""A study, from the command to its table: families side by side, one field varied."""

import json

import pytest

import dlgn_keras as dk
from dlgn_keras.cli import main

TINY = ["--skeleton", "fc:depth=1", "--epochs", "1", "--num-train", "100"]
TINY += ["--num-test", "50", "--algorithm", "grid", "--retrain", "1"]


def study(tmp_path, *more):
    space = tmp_path / "space.json"
    space.write_text('{"width": [4, 12], "value_input": ["input", "ones"]}')
    out = tmp_path / "out"
    command = ["tune", "--families", "dnn,dlgn", "--space", str(space), *TINY, *more]
    assert main([*command, "--out", str(out)]) == 0
    return out


def records_of(folder):
    """The records of the runs in a folder; a search's own result is none."""
    paths = folder.rglob("result.json")
    return [path for path in paths if (path.parent / "recipe.json").exists()]


def written(folder):
    return {path: path.stat().st_mtime_ns for path in records_of(folder)}


def test_each_family_is_tuned_and_one_field_varied(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # the board as on a terminal
    out = study(tmp_path, "--vary", "value_input=input,ones")
    told = capsys.readouterr()
    assert "4 finished" in told.err  # the DLGN's board; a DNN has no value input
    assert "DLGN" in told.out

    found = json.loads((out / "study.json").read_text())["families"]
    assert [sum(e["trials"].values()) for e in found.values()] == [2, 4]
    assert "varied" not in found["dnn"]
    varied = found["dlgn"]["varied"]
    assert (varied["name"], varied["values"]) == ("value_input", ["input", "ones"])
    # What is told is what the runs themselves recorded.
    recorded = {
        dk.training.Recipe.from_file(path.parent / "recipe.json").value_input: [
            json.loads(path.read_text())["test_accuracy"]
        ]
        for path in records_of(out / "dlgn" / "varied")
    }
    assert recorded == dict(
        zip(varied["values"], varied["validation_accuracies"], strict=True)
    )
    # The best recipe's own value, trained by the same seed: the retrained figure.
    best = found["dlgn"]["recipe"]["value_input"]
    retrained = found["dlgn"]["retrained"]["validation_accuracy"]
    assert recorded[best] == [pytest.approx(retrained)]
    assert (out / "matters.png").read_bytes().startswith(b"\x89PNG")

    stamps = written(out)
    assert len(stamps) == 4  # two retrained, two varied
    table = (out / "table.md").read_text()
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == [
        "DNN",
        "DLGN",
    ]
    study(tmp_path, "--vary", "value_input=input,ones")  # nothing is trained again
    assert written(out) == stamps
    assert (out / "table.md").read_text() == table
