"""Which hyperparameters matter: how much a forest's forecast of the rank needs each."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dlgn_keras.tuning.results import Row, hyperparameters_of

FORESTS, TREES = 5, 100


def importance(rows: Sequence[Row]) -> dict[str, Any] | None:
    """Return how much each hyperparameter decides of a trial's rank.

    A random forest learns the ranks of the finished trials from their values;
    the importance of a hyperparameter is by how much the share of the variance
    that it explains falls once that column is shuffled. Ranks, so that one
    hopeless trial does not outweigh all others.

    Args:
        rows: of a search, see `Tuned`.

    Returns:
        {"trials": how many; "out_of_bag": share of the variance that the forest
        explains in trials it did not learn, at most 1, near or below 0 if the trials
        tell nothing; "mean", "std": {name: over forests and shuffles}}. None with fewer
        than 10 finished trials.

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
        forest = RandomForestRegressor(TREES, oob_score=True, random_state=seed).fit(
            x, y
        )
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
