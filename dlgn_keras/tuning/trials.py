"""Trials: one run of a recipe each, their records and rows, and retraining."""

import csv
import gc
import math
import shutil
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import keras_tuner
from keras_tuner.engine.trial import TrialStatus

from dlgn_keras.tools.files import write_atomically, write_json
from dlgn_keras.tools.messages import one_line
from dlgn_keras.tools.numbers import deviation
from dlgn_keras.training import Recipe, Result, evaluate, fit
from dlgn_keras.training.devices import forget_compiled
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.oracles import Lasting
from dlgn_keras.tuning.spaces import OBJECTIVES, tidy
from dlgn_keras.tuning.state import STATUS, read_record

Row = dict[str, Any]
FIRST = ("trial", "status", "score", "parameters", "seconds")
KEPT = ("parameters", "seconds", "validation_accuracy", "ended", "message")


def run_trial(
    hypermodel: GatedHyperModel,
    hp: keras_tuner.HyperParameters,
    trial_id: str,
    folder: Path,
    objective: str,
) -> Row:
    """Train a trial unless its record is there; write and return the record.

    A stopped trial resumes from its last epoch. One that crashes or diverges has a
    record with the error. The memory it took is freed.

    Args:
        hypermodel: makes the recipe and holds the data.
        hp: the trial's hyperparameters.
        trial_id: its name.
        folder: the search's folder.
        objective: one of `OBJECTIVES`.
    """
    known = read_record(folder, trial_id)
    if known is not None:
        return known
    run, started = folder / "runs" / trial_id, time.time()
    record: Row = {"trial": trial_id, "status": "failed", "score": None}
    try:
        recipe = hypermodel.recipe(hp)
        if "tuner/epochs" in hp.values:  # a rung of Hyperband, trained from scratch
            recipe = recipe.replace(epochs=hp.values["tuner/epochs"])
        record["recipe"] = recipe.to_config()
        record |= _train(hypermodel, recipe, run, objective)
    except Exception as error:  # a crash of any kind is an answer
        record["message"] = f"{type(error).__name__}: {one_line(error)}"
    finally:
        free_memory()
    record |= {"started": started, "ended": time.time()}
    write_json(folder / "trials" / f"{trial_id}.json", record)
    shutil.rmtree(run, ignore_errors=True)
    return record


def _train(
    hypermodel: GatedHyperModel, recipe: Recipe, run: Path, objective: str
) -> Row:
    """Return a run's scores on the validation part; it sees no test part."""
    blind = hypermodel.blind()
    result = fit(recipe, run, dataset=blind, progress=False)
    found: Row = {"validation_accuracy": result.test_accuracy}  # blind's test part
    score = result.test_accuracy
    if objective == "validation_loss" and result.model is not None:
        score = evaluate(result.model, blind.x_test, blind.y_test)["loss"]
        found["validation_loss"] = score
    if not math.isfinite(score):
        raise FloatingPointError(f"{objective} is {score} after the last epoch.")
    history = [
        {name.replace("test_", "validation_"): value for name, value in row.items()}
        for row in result.history
    ]
    return {
        "status": "finished",
        "score": score,
        **found,
        "parameters": result.parameters,
        "seconds": result.seconds,
        "interruptions": result.interruptions,
        "environment": result.environment,
        "history": history,
    }


def free_memory() -> None:
    """Free a model's memory: Keras' state, compiled programs, garbage."""
    policy = keras.config.dtype_policy()
    keras.utils.clear_session()  # which forgets the policy too
    keras.config.set_dtype_policy(policy)
    forget_compiled()
    gc.collect()


@dataclass
class Tuned:
    """The result of a search.

    Fields:
        objective: the compared score.
        rows: one dictionary per trial, in the order of their start: trial, status,
            score, parameters, seconds, message, and `hp:<name>` per hyperparameter.
        best: recipe of the best trial.
        best_row: its row.
        retrained: the best recipe trained from scratch with other seeds, on
            record; only these runs were measured on the test part.
        folder: the search's folder.
    """

    objective: str
    rows: list[Row]
    best: Recipe
    best_row: Row
    folder: Path
    retrained: list[Result] = field(default_factory=list, repr=False)

    @property
    def score(self) -> float:
        """The objective of the best trial."""
        return self.best_row["score"]

    def summary(self) -> dict[str, Any]:
        """Return plain values: best trial, counts, retrained runs with their spread."""
        counts = Counter(row["status"] for row in self.rows)
        return {
            "objective": self.objective,
            "trials": {name: counts[name] for name in STATUS.values() if counts[name]},
            "best": self.best_row,
            "retrained": spread_over_seeds(self.retrained, self.best_row),
        }


def spread_over_seeds(runs: Sequence[Result], best: Row) -> dict[str, Any] | None:
    """Return mean and deviation of runs that differ in their seed alone.

    `deviations` is the number of standard deviations by which the best trial lies above
    the mean of the runs. It tends to be positive: the best of many trials is lucky.
    """
    if not runs:
        return None
    found: dict[str, Any] = {"seeds": [run.recipe["seed"] for run in runs]}
    for part in ("validation", "test"):
        each = [getattr(run, f"{part}_accuracy") for run in runs]
        found[f"{part}_accuracy"] = statistics.fmean(each)
        found[f"{part}_accuracy_std"] = deviation(each)
        found[f"{part}_accuracies"] = each
    if found["validation_accuracy_std"]:
        above = best["validation_accuracy"] - found["validation_accuracy"]
        found["deviations"] = above / found["validation_accuracy_std"]
    return found


def rows_of(oracle: Lasting, folder: Path) -> list[Row]:
    """Return a row per trial, from the oracle's state and the trials' records."""
    rows = []
    for trial_id in list(oracle.start_order):
        trial = oracle.trials[trial_id]
        if trial_id in oracle.end_order and trial_id not in oracle.figures:
            record = read_record(folder, trial_id) or {}
            oracle.figures[trial_id] = {name: record.get(name) for name in KEPT}
        figures = oracle.figures.get(trial_id, dict.fromkeys(KEPT))
        row: Row = {
            "trial": trial_id,
            "status": STATUS[trial.status],
            "score": trial.score if trial.status == TrialStatus.COMPLETED else None,
            **figures,
        }
        values = trial.hyperparameters.values
        row |= {f"hp:{name}": tidy(value) for name, value in values.items()}
        row["message"] = figures["message"] or trial.message or ""
        rows.append(row)
    return rows


def hyperparameters_of(rows: Sequence[Row]) -> list[str]:
    """Return the names of the searched hyperparameters, in the order of the space."""
    names = dict.fromkeys(key for row in rows for key in row if key.startswith("hp:"))
    return [name.removeprefix("hp:") for name in names if "tuner/" not in name]


def ranked(rows: Sequence[Row], objective: str) -> list[Row]:
    """Return the finished trials, best first; of equals the earlier one."""
    finished = [row for row in rows if row["status"] == "finished"]
    sign = -1 if OBJECTIVES[objective] == "max" else 1
    return sorted(finished, key=lambda row: sign * row["score"])


def write_csv(rows: Sequence[Row], path: Path) -> None:
    """Write a line per trial; an empty cell is a value that the trial does not have."""
    others = dict.fromkeys(key for row in rows for key in row if key not in FIRST)

    def write(part: Path) -> None:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, [*FIRST, *others], restval="")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(path, write)


def retrain(
    recipe: Recipe,
    hypermodel: GatedHyperModel,
    folder: Path,
    seeds: int,
    progress: bool = True,
) -> list[Result]:
    """Train a recipe from scratch with the seeds that follow its own, and test it.

    Args:
        recipe: the recipe to train.
        hypermodel: holds the data.
        folder: each run has a folder of its own here; finished ones are read.
        seeds: number of runs.
        progress: whether to show a progress line.
    """
    runs = []
    for k in range(1, seeds + 1):
        seed = (recipe.seed + k) % 2**32
        result = fit(
            recipe.replace(seed=seed),
            folder / f"{recipe.fingerprint[:8]}_seed{seed}",
            dataset=hypermodel.dataset,
            progress=progress,
        )
        result.model = None  # it is on disk; here it would only take memory
        runs.append(result)
        free_memory()
    return runs
