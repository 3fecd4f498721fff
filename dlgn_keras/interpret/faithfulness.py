"""Faithfulness of attributions: deletion, insertion and grid localisation.

Each measure gives one number per image. Methods are compared on the same images, with
a confidence interval.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.attributions import METHODS, Attribution, baseline
from dlgn_keras.interpret.passes import Model, check_net
from dlgn_keras.models import GatedModel, predict_arrays
from dlgn_keras.skeletons import Flatten, walk
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.numbers import softmax


class Interval(NamedTuple):
    """A mean over images with its 95 % confidence interval.

    `mean +- 1.96 deviation / sqrt(number)`, for independent images.
    """

    mean: float
    low: float
    high: float
    number: int


class Faithfulness(NamedTuple):
    """One method's scores.

    deletion: mean probability of the class while pixels are removed, the highest
        attribution first; lower is better.
    insertion: the same while pixels are inserted; higher is better.
    localisation: share of positive attribution in the right cell of a 2x2 grid, 0.25
        by chance; None if the network cannot take larger images.
    deletion_scores, insertion_scores, localisation_scores: one per image (per cell).
    """

    deletion: Interval
    insertion: Interval
    localisation: Interval | None
    deletion_scores: np.ndarray
    insertion_scores: np.ndarray
    localisation_scores: np.ndarray | None


def interval(values: Any) -> Interval:
    """Return the mean of independent values with its 95 % confidence interval.

    Example:
        >>> interval([1.0, 2.0, 3.0, 4.0]).mean
        2.5
    """
    values = np.asarray(values, np.float64).ravel()
    if len(values) < 2:
        raise ValueError(
            f"`values` must hold at least two. Received: {len(values)} values."
        )
    mean = float(values.mean())
    half = 1.96 * float(values.std(ddof=1)) / len(values) ** 0.5
    return Interval(mean, mean - half, mean + half, len(values))


def deletion_curves(
    net: Model,
    x: Any,
    target: Any,
    maps: np.ndarray,
    steps: int = 20,
    mode: str = "deletion",
) -> np.ndarray:
    """Return the probability of a class while pixels are removed or inserted.

    Pixels (all channels of a position) are ranked, the highest attribution first.
    "deletion" starts from the image and replaces pixels by the baseline in equal
    steps; "insertion" starts from the baseline and restores pixels.

    Args:
        net: the model to evaluate.
        x: raw inputs (n, *input_shape). target: (n,) classes.
        maps: attributions (n, *input_shape).
        steps: number of equal steps.
        mode: "deletion" or "insertion".

    Returns:
        (n, steps + 1), the first column before any change.

    Reference: Petsiuk et al., arXiv 1806.07421 (RISE).
    """
    check_choice("mode", mode, ("deletion", "insertion"))
    check_count("steps", steps)
    x, zero = net.raw_inputs(x).astype("float32"), baseline(net)
    target = np.asarray(target, int)
    place = x.shape[1:-1] if x.ndim > 2 else x.shape[1:]
    scores = np.asarray(maps, np.float64).reshape(len(x), *place, -1).sum(-1)
    order = np.argsort(-scores.reshape(len(x), -1), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable").reshape(len(x), *place)
    if x.ndim > 2:
        rank = rank[..., None]
    curves = []
    for step in range(steps + 1):
        changed = rank < round(step * order.shape[1] / steps)
        kept = changed if mode == "insertion" else ~changed
        logits = predict_arrays(net, np.where(kept, x, zero), batch_size=256)
        shares = softmax(logits.astype(np.float64))
        curves.append(shares[np.arange(len(x)), target])
    return np.stack(curves, axis=1)


def grid_model(net: GatedModel) -> GatedModel:
    """Return the same network for images of twice the height and width.

    Raises:
        ValueError: the network flattens positions, or does not take images.
    """
    shape = tuple(net.input_shape[1:])
    if not _takes_larger(net):
        raise ValueError(
            "`net` must pool over all positions to take larger images. "
            f"Received: {net.name!r} for inputs of shape {shape}."
        )
    config = net.get_config()
    config["input_shape"] = (2 * shape[0], 2 * shape[1], shape[2])
    larger = type(net).from_config(config)
    larger.set_weights(net.get_weights())
    return larger


def _takes_larger(net: Model) -> bool:
    """Return whether a network on a skeleton pools over all positions of an image."""
    if not isinstance(net, GatedModel) or len(net.input_shape) != 4:
        return False
    return not any(isinstance(stage, Flatten) for stage in walk(net.skeleton.stages))


def grids(y: Any, number: int, seed: int = 0) -> np.ndarray:
    """Draw (number, 4) indices of images whose four classes differ.

    Raises:
        ValueError: fewer than four classes.
    """
    y, rng = np.asarray(y), np.random.default_rng(seed)
    classes = np.unique(y)
    if len(classes) < 4:
        raise ValueError(f"`y` must hold four classes. Received: {len(classes)}.")
    rows = [rng.choice(classes, 4, replace=False) for _ in range(number)]
    drawn = [[rng.choice(np.flatnonzero(y == c)) for c in row] for row in rows]
    return np.array(drawn, int).reshape(number, 4)


def grid_localisation(
    larger: GatedModel, x: Any, y: Any, indices: np.ndarray, method: Attribution
) -> np.ndarray:
    """Return the share of positive attribution that falls into the right cell.

    Four images of different classes fill a 2x2 grid. The method explains the class of
    each image in turn.

    Args:
        larger: the result of `grid_model`.
        x, y: raw images and classes. indices: (grids, 4), see `grids`.
        method: function (net, x, target) -> attributions.

    Returns:
        (grids, 4), 0 to 1; 0.25 by chance.

    Reference: Böhle et al., "Convolutional Dynamic Alignment Networks", CVPR 2021
    (grid pointing game).
    """
    x, y = np.asarray(x, "float32"), np.asarray(y, int)
    height, width = x.shape[1:3]
    cells = x[indices]
    top, bottom = (
        np.concatenate(list(p), axis=2)
        for p in ((cells[:, 0], cells[:, 1]), (cells[:, 2], cells[:, 3]))
    )
    images = np.concatenate([top, bottom], axis=1)
    shares = []
    for k in range(4):
        found = method(larger, images, y[indices[:, k]]).sum(-1)
        positive = np.maximum(found, 0)
        row, column = divmod(k, 2)
        cell = positive[:, row * height :, column * width :][:, :height, :width]
        total = positive.sum((1, 2))
        inside = cell.sum((1, 2))
        shares.append(np.where(total > 0, inside / np.where(total > 0, total, 1), 0.25))
    return np.stack(shares, axis=1)


def score_methods(
    net: Model,
    x: Any,
    y: Any,
    methods: Sequence[str] | Mapping[str, Attribution] = tuple(METHODS),
    steps: int = 20,
    num_grids: int = 125,
    seed: int = 0,
) -> dict[str, Faithfulness]:
    """Score attribution methods on one model and one set of images.

    Args:
        net: a DNN, DGN or DLGN, or the twin of a Keras model.
        x, y: raw images and their classes; the class explained is y.
        methods: names from `METHODS`, or functions by name.
        steps: steps of the deletion and insertion curves.
        num_grids: number of 2x2 grids; 0 skips localisation. Networks that cannot
            take larger images, such as twins of Keras models, also skip it.
        seed: seed of the grids.

    Returns:
        {method: Faithfulness}, all on the same images and grids.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: an unknown method, or fewer than two images.
    """
    net = check_net(net)
    x, y = np.asarray(x, "float32"), np.asarray(y, int)
    chosen: dict[str, Attribution] = {}
    for name in methods:
        if isinstance(methods, Mapping):
            chosen[name] = methods[name]
        else:
            check_choice("methods", name, METHODS)
            chosen[name] = METHODS[name]
    larger, indices = None, np.zeros((0, 4), int)
    if num_grids and _takes_larger(net):
        larger, indices = grid_model(net), grids(y, num_grids, seed)
    rows = {}
    for name, method in chosen.items():
        maps = method(net, x, y)
        scores = {
            mode: deletion_curves(net, x, y, maps, steps, mode).mean(1)
            for mode in ("deletion", "insertion")
        }
        cells = grid_localisation(larger, x, y, indices, method) if larger else None
        # The four cells of a grid share an image: grids are independent, cells are not.
        placed = None if cells is None else interval(cells.mean(1))
        rows[name] = Faithfulness(
            interval(scores["deletion"]),
            interval(scores["insertion"]),
            placed,
            scores["deletion"],
            scores["insertion"],
            cells,
        )
    return rows
