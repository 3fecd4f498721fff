"""A whole Hyperband search: short runs for many, long ones for the best of them."""

import json

from few_digits import digits

import dlgn_keras as dk
from dlgn_keras.tuning.board import show_values

SPACE = {"width": [4, 8, 12], "learning_rate": [0.001, 0.01]}


def test_a_rung_is_trained_for_its_epochs_and_the_best_goes_on(tmp_path):
    hypermodel = dk.tuning.GatedHyperModel(
        space=SPACE, data=digits(30), skeleton="fc:depth=1", epochs=3
    )
    found = dk.tuning.search(
        hypermodel, tmp_path, algorithm="hyperband", retrain_seeds=0, progress=False
    )
    assert found is not None
    records = {
        path.stem: json.loads(path.read_text())
        for path in (tmp_path / "trials").iterdir()
    }
    epochs = {trial: record["recipe"]["epochs"] for trial, record in records.items()}
    assert set(epochs.values()) == {1, 3}
    assert epochs == {t: len(record["history"]) for t, record in records.items()}
    # What went on is the best of its rung, trained anew for longer.
    (promoted,) = (row for row in found.rows if "hp:tuner/trial_id" in row)
    rung = [row for row in found.rows if epochs[row["trial"]] == 1]
    before = max(rung, key=lambda row: row["score"])
    assert promoted["hp:tuner/trial_id"] == before["trial"]
    assert [promoted[f"hp:{n}"] for n in SPACE] == [before[f"hp:{n}"] for n in SPACE]
    assert show_values(promoted, ["width"]) == f"width={before['hp:width']}  epochs=3"
    assert found.best.epochs == epochs[found.best_row["trial"]]
