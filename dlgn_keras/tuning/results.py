"""What a search found: its trials as a table, the best recipe, the same over seeds."""

import csv
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from keras_tuner.engine.trial import TrialStatus

from dlgn_keras.tools.files import write_atomically
from dlgn_keras.training import Recipe, Result, fit
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.objectives import OBJECTIVES
from dlgn_keras.tuning.oracles import Lasting
from dlgn_keras.tuning.spaces import tidy
from dlgn_keras.tuning.trials import free_memory, read_record

Row = dict[str, Any]
FIRST = ("trial", "status", "score", "parameters", "seconds")
KEPT = ("parameters", "seconds", "validation_accuracy", "ended", "message")
STATUS = {
    TrialStatus.COMPLETED: "finished",
    TrialStatus.FAILED: "failed",
    TrialStatus.RUNNING: "running",
    TrialStatus.INVALID: "interrupted",
}


@dataclass
class Tuned:
    """What a search found.

    Fields:
        objective: what was compared.
        rows: one dictionary per trial, in the order of their start: trial, status,
            score, parameters, seconds, message, and `hp:<name>` per hyperparameter.
        best: recipe of the best trial.
        best_row: its row.
        retrained: the best recipe trained from scratch with other seeds, on
            record; the only runs that were measured on the test part.
        folder: where everything lies.
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
        counts = {s: sum(r["status"] == s for r in self.rows) for s in STATUS.values()}
        return {
            "objective": self.objective,
            "trials": {status: n for status, n in counts.items() if n},
            "best": self.best_row,
            "retrained": spread_over_seeds(self.retrained, self.best_row),
        }


def spread_over_seeds(runs: Sequence[Result], best: Row) -> dict[str, Any] | None:
    """Return mean and deviation of runs that differ in their seed alone.

    `deviations` says how many standard deviations of the runs the trial lies
    above their mean: the best of many trials is a lucky one, so it tends to be
    positive.
    """
    if not runs:
        return None
    found: dict[str, Any] = {"seeds": [run.recipe["seed"] for run in runs]}
    for part in ("validation", "test"):
        each = [getattr(run, f"{part}_accuracy") for run in runs]
        found[f"{part}_accuracy"] = statistics.fmean(each)
        found[f"{part}_accuracy_std"] = (
            statistics.stdev(each) if len(each) > 1 else None
        )
        found[f"{part}_accuracies"] = each
    deviation = found["validation_accuracy_std"]
    if deviation:
        above = best["validation_accuracy"] - found["validation_accuracy"]
        found["deviations"] = above / deviation
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
    """Return the names of what was searched, in the order of the space."""
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
    names = [*FIRST, *others]

    def write(part: Path) -> None:
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=names, restval="")
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
        recipe: what to train.
        hypermodel: holds the data.
        folder: where each run has a folder of its own; finished ones are read.
        seeds: how many.
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
