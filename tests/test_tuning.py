"""Whole searches on a few digits, on the backend at hand."""

import csv
import json

import keras
import keras_tuner
import numpy as np
import pytest
from few_digits import digits

import dlgn_keras as dk
from dlgn_keras.cli import main
from dlgn_keras.training import Result, evaluate
from dlgn_keras.tuning.trials import read_record, spread_over_seeds

SPACE = {"width": [4, 12], "learning_rate": [0.01, 1e30]}  # half of it diverges
OPTIONS = {"algorithm": "grid", "retrain_seeds": 0, "progress": False}


def model(space=None, dataset=None, **fields):
    fields = {"epochs": 2, "skeleton": "fc:depth=1", "optimizer": "sgd", **fields}
    return dk.tuning.GatedHyperModel(
        space=space or SPACE, data=dataset or digits(30), **fields
    )


def test_a_search_from_its_trials_to_the_recipe_that_train_takes(tmp_path, capsys):
    found = dk.tuning.search(model(), tmp_path, **OPTIONS)
    assert found is not None
    # Every point has a row; those that diverged are on record, and say so.
    with (tmp_path / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    points = [(int(row["hp:width"]), float(row["hp:learning_rate"])) for row in rows]
    assert sorted(points) == [(4, 0.01), (4, 1e30), (12, 0.01), (12, 1e30)]
    for (_, rate), row in zip(points, rows, strict=True):
        assert row["status"] == ("failed" if rate == 1e30 else "finished")
        assert ("not finite" in row["message"]) == (rate == 1e30)
    scores = {row["trial"]: float(row["score"]) for row in rows if row["score"]}
    assert found.score == max(scores.values())
    assert found.best == dk.training.Recipe.from_file(tmp_path / "best.json")
    for picture in ("best_so_far.png", "parallel.png"):
        assert (tmp_path / picture).read_bytes().startswith(b"\x89PNG")
    assert not list((tmp_path / "runs").iterdir())
    # Trained again by its recipe, on data that has its test part, it scores the same.
    result = dk.training.fit(found.best, dataset=digits(30), progress=False)
    tolerance = 0.04 if keras.backend.backend() == "torch" else 1e-6
    assert result.validation_accuracy == pytest.approx(found.score, abs=tolerance)
    # The command line takes the file as it is.
    arguments = ["train", str(tmp_path / "best.json"), "--data", "digits", "--epochs"]
    arguments += ["1", "--num-train", "100", "--out", str(tmp_path / "run"), "--json"]
    assert main(arguments) == 0
    trained = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert trained["recipe"]["skeleton"] == found.best.skeleton.to_config()

    # The same again trains nothing and finds the same.
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "trials").iterdir()}
    again = dk.tuning.search(model(), tmp_path, **OPTIONS)
    assert again is not None
    assert again.rows == found.rows
    assert stamps == {p: p.stat().st_mtime_ns for p in (tmp_path / "trials").iterdir()}


def test_the_best_is_trained_again_with_other_seeds_and_then_tested(tmp_path):
    space = {"width": [12], "beta": [4.0]}
    options = {**OPTIONS, "retrain_seeds": 2}
    found = dk.tuning.search(model(space, learning_rate=0.05), tmp_path, **options)
    assert found is not None
    folders = sorted((tmp_path / "retrained").iterdir())
    results = [Result.load(folder) for folder in folders]
    assert [r.recipe["seed"] for r in results] == [1, 2]
    report = found.summary()["retrained"]
    for part in ("validation", "test"):
        each = [getattr(result, f"{part}_accuracy") for result in results]
        assert report[f"{part}_accuracy"] == pytest.approx(np.mean(each))
        assert report[f"{part}_accuracy_std"] == pytest.approx(np.std(each, ddof=1))
    stored = json.loads((tmp_path / "result.json").read_text())
    assert stored["retrained"] == report
    # The trials themselves never saw the test part: no such figure anywhere.
    record = read_record(tmp_path, found.best_row["trial"])
    assert record is not None
    names = {name for row in record["history"] for name in row} | set(record)
    assert "validation_accuracy" in names
    assert not [name for name in names if "test" in name]
    measured = evaluate(
        dk.training.load_trained(str(folders[0])), digits().x_test, digits().y_test
    )
    assert measured["accuracy"] == pytest.approx(results[0].test_accuracy, abs=1e-6)


def test_plain_keras_tuner_takes_a_hypermodel(tmp_path):
    hypermodel = model({"width": [4, 12]}, learning_rate=0.05, epochs=3)
    tuner = keras_tuner.GridSearch(
        hypermodel, objective="val_accuracy", directory=tmp_path
    )
    tuner.search(verbose=0)
    trials = tuner.oracle.get_best_trials(2)
    assert {trial.hyperparameters.get("width") for trial in trials} == {4, 12}
    (best,) = tuner.get_best_models()
    blind = hypermodel.blind()
    measured = evaluate(best, blind.x_test, blind.y_test)
    assert measured["accuracy"] == pytest.approx(trials[0].score, abs=1e-6)


def test_the_spread_is_told_in_deviations():
    runs = []
    for seed, accuracy in enumerate((0.90, 0.92, 0.94)):
        figures = {"validation_accuracy": accuracy, "test_accuracy": accuracy - 0.1}
        runs.append(
            Result(
                recipe={"seed": seed},
                best_test_accuracy=1.0,
                best_epoch=1,
                parameters=1,
                seconds=1.0,
                seconds_per_epoch=1.0,
                history=[],
                environment={},
                **figures,
            )
        )
    report = spread_over_seeds(runs, {"validation_accuracy": 0.95})
    assert report is not None
    assert report["validation_accuracy"] == pytest.approx(0.92)
    assert report["test_accuracy"] == pytest.approx(0.82)
    assert report["validation_accuracy_std"] == pytest.approx(0.02)
    assert report["deviations"] == pytest.approx(1.5)
