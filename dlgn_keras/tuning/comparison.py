"""Families tuned alike: the same budget for each, importances, a table, a picture."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.tools.files import make_folder, write_json, write_text
from dlgn_keras.tools.numbers import percent
from dlgn_keras.tools.terminal import markdown_table
from dlgn_keras.training import environment, fit
from dlgn_keras.tuning.board import show_value
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.plots import draw_comparison
from dlgn_keras.tuning.searching import search
from dlgn_keras.tuning.spaces import is_open
from dlgn_keras.tuning.trials import Row, Tuned, free_memory, hyperparameters_of

HEADER = (
    "family",
    "trials",
    "best trial, validation",
    "retrained, validation",
    "retrained, test",
    "parameters",
    "best recipe",
)
FORESTS, TREES = 5, 100


def compare(
    hypermodels: dict[str, GatedHyperModel],
    out: str | Path,
    *,
    vary: tuple[str, Sequence[Any]] | None = None,
    retrain_seeds: int = 3,
    command: str = "",
    **options: Any,
) -> dict[str, Any]:
    """Tune each hypermodel with the same budget and compare them.

    Args:
        hypermodels: {label: hypermodel}.
        out: folder; a search in a folder of its own per label.
        vary: a recipe field and values: the best recipe of each family that has
            it is trained again at each value, all else held, with
            `retrain_seeds` seeds, at least one, and measured on the validation part.
        retrain_seeds: runs of the best recipe, and of each varied one.
        command: what makes the same again, for the record.
        options: arguments of `search`, the same for all.

    Returns:
        What is written to study.json: per label the best trial, all trials, the
        importances and the varied runs. table.md and matters.png are beside it.
    """
    if vary:
        _check_varied(*vary, hypermodels, retrain_seeds)
    folder = make_folder(out)
    found: dict[str, Any] = {"command": command, "families": {}}
    for label, hypermodel in hypermodels.items():
        tuned = search(
            hypermodel, folder / label, retrain_seeds=retrain_seeds, **options
        )
        if tuned is None:
            raise ValueError("`role` must be alone: a study leads its searches itself.")
        entry = {**tuned.summary(), "importance": importance(tuned.rows)}
        if vary and is_open(vary[0], hypermodel.base.family):
            entry["varied"] = _varied(tuned, hypermodel, *vary, retrain_seeds)
        entry |= {"recipe": tuned.best.to_config(), "rows": tuned.rows}
        found["families"][label] = entry
    found["environment"] = environment()
    write_json(folder / "study.json", found)
    write_text(folder / "table.md", markdown_table(HEADER, table_rows(found)) + "\n")
    draw_comparison(found, folder / "matters.png", over=vary[0] if vary else "beta")
    return found


def _check_varied(
    name: str,
    values: Sequence[Any],
    hypermodels: dict[str, GatedHyperModel],
    seeds: int,
) -> None:
    """Reject early a variation that would fail after hours of search."""
    if seeds < 1:
        raise ValueError(
            "`vary` needs `retrain_seeds` (--retrain) of at least 1. "
            f"Received: retrain_seeds={seeds}."
        )
    for hypermodel in hypermodels.values():
        for value in values if is_open(name, hypermodel.base.family) else ():
            hypermodel.base.replace(**{name: value})


def _varied(
    tuned: Tuned,
    hypermodel: GatedHyperModel,
    name: str,
    values: Sequence[Any],
    seeds: int,
) -> dict[str, Any]:
    """Return validation accuracies of the best recipe at each value of one field."""
    accuracies = []
    for value in values:
        recipe = tuned.best.replace(**{name: value})
        runs = []
        for k in range(1, seeds + 1):
            run = recipe.replace(seed=tuned.best.seed + k)
            where = tuned.folder / "varied" / run.fingerprint
            result = fit(run, where, dataset=hypermodel.blind(), progress=False)
            runs.append(result.test_accuracy)  # blind: its test part is validation
            del result
            free_memory()
        accuracies.append(runs)
    return {"name": name, "values": list(values), "validation_accuracies": accuracies}


def table_rows(found: dict[str, Any]) -> list[list[str]]:
    """Return a row per family: accuracies in %, mean ± deviation over seeds."""
    rows = []
    for label, entry in found["families"].items():
        best, again = entry["best"], entry["retrained"] or {}
        values = [(name, best[f"hp:{name}"]) for name in hyperparameters_of([best])]
        rows.append(
            [
                label.upper(),
                str(sum(entry["trials"].values())),
                percent(best["validation_accuracy"]),
                *(
                    percent(again.get(f"{p}_accuracy"), again.get(f"{p}_accuracy_std"))
                    for p in ("validation", "test")
                ),
                f"{best['parameters']:,}",
                ", ".join(f"{name} {show_value(value)}" for name, value in values),
            ]
        )
    return rows


def importance(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return how much a trial's rank depends on each hyperparameter.

    A random forest learns the ranks of the finished trials from their values. The
    importance of a hyperparameter is the drop in explained variance when its column is
    shuffled. Ranks keep one hopeless trial from outweighing all others.

    Args:
        rows: of a search, see `Tuned`.

    Returns:
        {"trials": number; "out_of_bag": share of the variance explained in trials that
        the forest did not learn, at most 1, near or below 0 if they tell nothing;
        "mean", "std": {name: over forests and shuffles}}; None with fewer than 10
        finished trials.

    Reference: Breiman, Random Forests, Machine Learning 45 (2001).
    """
    from scipy.stats import rankdata
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.inspection import permutation_importance

    finished = [row for row in rows if row["status"] == "finished"]
    if len(finished) < 10:
        return None
    names = hyperparameters_of(finished)
    x = np.column_stack([_column(finished, name) for name in names])
    y = rankdata([row["score"] for row in finished]) / len(finished)
    falls, outside = [], []
    for seed in range(FORESTS):
        forest = RandomForestRegressor(TREES, oob_score=True, random_state=seed)
        forest.fit(x, y)
        found = permutation_importance(forest, x, y, n_repeats=5, random_state=seed)
        falls.append(found["importances"])
        outside.append(forest.oob_score_)
    all_falls = np.concatenate(falls, axis=1)
    return {
        "trials": len(finished),
        "out_of_bag": float(np.mean(outside)),
        "mean": dict(zip(names, all_falls.mean(axis=1).tolist(), strict=True)),
        "std": dict(zip(names, all_falls.std(axis=1).tolist(), strict=True)),
    }


def _column(rows: Sequence[Row], name: str) -> np.ndarray:
    """Return a hyperparameter as numbers; -1 where a trial does not have it."""
    values = [row.get(f"hp:{name}") for row in rows]
    known = sorted({value for value in values if value is not None})
    if any(isinstance(value, str) for value in known):
        return np.array([-1 if v is None else known.index(v) for v in values], float)
    return np.array([-1 if v is None else float(v) for v in values])
