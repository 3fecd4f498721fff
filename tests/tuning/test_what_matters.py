"""Importances and pictures of a search, on trials with a planted truth."""

import json

import numpy as np
import pytest

from dlgn_keras.tuning import plots
from dlgn_keras.tuning.comparison import importance, table_rows


def planted(rng, number=60, signal=True):
    """Trials whose score is beta's alone, or nobody's."""
    rows = []
    for k in range(number):
        beta, width = rng.uniform(1, 30), int(rng.choice([8, 16, 32]))
        optimizer = str(rng.choice(["adam", "sgd"]))
        score = -abs(np.log(beta / 6)) if signal else rng.normal()
        row = {
            "trial": str(k),
            "status": "finished",
            "score": float(score),
            "ended": float(k),
            "hp:beta": beta,
            "hp:width": width,
            "hp:optimizer": optimizer,
        }
        if optimizer == "sgd":
            row["hp:momentum"] = float(rng.choice([0.0, 0.9]))
        rows.append(row)
    failed = {"trial": "x", "status": "failed", "score": None, "hp:beta": 3.0}
    return [*rows, failed]


def test_the_planted_hyperparameter_is_found(rng):
    found = importance(planted(rng))
    assert found is not None
    assert found["trials"] == 60
    assert found["out_of_bag"] > 0.8
    beta = found["mean"].pop("beta")
    assert set(found["mean"]) == {"width", "optimizer", "momentum"}
    assert beta > 10 * max(found["mean"].values())


def test_where_nothing_matters_the_forest_says_so(rng):
    found = importance(planted(rng, signal=False))
    assert found is not None
    assert found["out_of_bag"] < 0.3


def test_few_trials_tell_nothing(rng):
    assert importance(planted(rng, 9)) is None


@pytest.mark.parametrize(
    ("objective", "running"),
    [("validation_accuracy", np.maximum), ("validation_loss", np.minimum)],
)
def test_the_best_so_far_is_a_running_best(objective, running, rng):
    rows = planted(rng, 20)
    expected = running.accumulate([row["score"] for row in rows[:-1]])
    shuffled = [rows[k] for k in rng.permutation(len(rows))]
    assert plots.best_so_far(shuffled, objective) == expected.tolist()


@pytest.mark.parametrize("number", [1, 2, 20])
@pytest.mark.parametrize("objective", ["validation_accuracy", "validation_loss"])
def test_pictures_of_few_and_of_many_trials(number, objective, tmp_path, rng):
    rows = planted(rng, number)
    plots.draw_parallel(rows, objective, tmp_path / "parallel.png")
    plots.draw_best_so_far(rows, objective, tmp_path / "best.png")
    for name in ("parallel.png", "best.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")


def test_a_studys_table_and_picture(tmp_path, rng):
    entry = {
        "trials": {"finished": 58, "failed": 2},
        "best": {
            "validation_accuracy": 0.98765,
            "parameters": 12345,
            "hp:beta": 4.25,
            "hp:width": 64,
        },
        "retrained": {
            "validation_accuracy": 0.97,
            "validation_accuracy_std": 0.004,
            "test_accuracy": 0.96,
            "test_accuracy_std": 0.01,
        },
        "importance": importance(planted(rng, 12)),
        "rows": planted(rng),
        "varied": {
            "name": "beta",
            "values": [1, 4, 16],
            "validation_accuracies": [[0.9, 0.92], [0.95, 0.96], [0.9, 0.94]],
        },
    }
    found = {"families": {"dlgn": entry, "dnn": {**entry, "varied": None}}}
    assert table_rows(found)[0] == [
        "DLGN",
        "60",
        "98.77",
        "97.00 ± 0.40",
        "96.00 ± 1.00",
        "12,345",
        "beta 4.25, width 64",
    ]
    plots.draw_comparison(json.loads(json.dumps(found)), tmp_path / "matters.png")
    assert (tmp_path / "matters.png").read_bytes().startswith(b"\x89PNG")
