"""What the scikit-learn estimators of tables share: rows in, a trained model out."""

import dataclasses
from typing import Any

import keras
import numpy as np
from sklearn.utils import check_random_state
from sklearn.utils.class_weight import compute_sample_weight

from dlgn_keras.data import Dataset, Preprocessing
from dlgn_keras.skeletons import fc
from dlgn_keras.tools.messages import check_count
from dlgn_keras.training.batches import Share
from dlgn_keras.training.fitting import Run
from dlgn_keras.training.recipe import Recipe

# A fixed batch size: a row's outputs do not depend on the other rows.
ROWS_AT_ONCE = 512


def recipe_of(estimator: Any, **fields: Any) -> Recipe:
    """Return the recipe of an estimator: its parameters that are fields of one.

    Args:
        estimator: has `depth`, `width` and `random_state` too.
        fields: further fields.
    """
    check_count("depth", estimator.depth)
    check_count("width", estimator.width)
    seed = check_random_state(estimator.random_state).randint(2**31 - 1)
    known = {field.name for field in dataclasses.fields(Recipe)}
    options = {k: v for k, v in estimator.get_params().items() if k in known}
    return Recipe(
        skeleton=fc(estimator.depth, estimator.width),
        evaluate_every=estimator.epochs,
        seed=int(seed),
        **options,
        **fields,
    )


def trained(
    recipe: Recipe,
    rows: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray | None,
    standardize: bool,
    num_classes: int,
) -> Run:
    """Return the finished run of a recipe on rows; nothing is evaluated or kept.

    Args:
        weights: factor of every row, of mean 1, or None.
        standardize: whether the model shifts and scales the features.
        num_classes: number of classes, or of numbers to predict.
    """
    dataset = Dataset(
        name="rows",
        x_train=rows,
        y_train=targets,
        x_test=rows[:1],  # a data set has a test part; nothing is measured on it
        y_test=targets[:1],
        preprocessing=standardized(rows) if standardize else Preprocessing(),
        num_classes=num_classes,
        targets=recipe.targets,
    )
    run = Run(recipe, dataset, min(recipe.batch_size, len(rows)), Share(), weights)
    run.parts = {}
    run.train(None, progress=False, tensorboard=None, callbacks=())
    return run


def outputs_of(model: keras.Model, rows: np.ndarray) -> np.ndarray:
    """Return a model's float64 outputs, computed eagerly, some rows at a time."""
    filled = np.resize(
        rows, (-(-len(rows) // ROWS_AT_ONCE), ROWS_AT_ONCE, rows.shape[1])
    )
    parts = [keras.ops.convert_to_numpy(model(part)) for part in filled]
    return np.concatenate(parts)[: len(rows)].astype(np.float64)


def row_weights(y: np.ndarray, sample_weight: Any, class_weight: Any) -> np.ndarray:
    """Return the factor of every row, of mean 1, as float32."""
    weights = np.ones(len(y)) if sample_weight is None else sample_weight
    weights = np.asarray(weights, float)
    if weights.shape != (len(y),) or not np.isfinite(weights).all():
        raise ValueError(
            f"`sample_weight` must be {len(y)} finite numbers, one per row. "
            f"Received: sample_weight of shape {weights.shape}."
        )
    weights = weights * compute_sample_weight(class_weight, y)
    if not (weights.min() >= 0 and weights.sum() > 0):
        raise ValueError(
            "Weights of rows must be at least 0, and not all zero. "
            f"Received: weights from {weights.min():g} to {weights.max():g}."
        )
    return (weights / weights.mean()).astype("float32")


def as_float32(X: np.ndarray) -> np.ndarray:
    """Return rows as float32; raise a ValueError if they overflow."""
    with np.errstate(over="ignore"):
        rows = np.asarray(X, dtype=np.float32)
    if not np.isfinite(rows).all():
        raise ValueError(
            "`X` must fit float32. Received: a value of "
            f"{np.abs(np.asarray(X, float)).max():.3g}."
        )
    return rows


def standardized(rows: np.ndarray) -> Preprocessing:
    """Return the map to mean 0 and deviation 1; a constant feature goes to 0."""
    mean, std = rows.mean(axis=0, dtype=float), rows.std(axis=0, dtype=float)
    scale = 1 / np.where(std > 0, std, 1.0)
    return Preprocessing(tuple(scale.tolist()), tuple((-mean * scale).tolist()))
