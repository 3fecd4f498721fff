"""Faithfulness of attributions: deletion, insertion and grid localisation.

Each measure gives one number per image. Methods are compared on the same images, with
a confidence interval.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.interpret.attributions import METHODS, Attribution, baseline
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.grid_pointing import (
    confident,
    grid_model,
    grid_pointing,
    grids,
    takes_larger,
)
from dlgn_keras.interpret.passes import Model, check_net
from dlgn_keras.models import predict_arrays
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
    localisation: {side: share of positive attribution in the right cell of a grid},
        1 / side^2 by chance; empty if the network cannot take larger images.
    deletion_scores, insertion_scores: one per image.
    localisation_scores: {side: (grids, cells)}.
    """

    deletion: Interval
    insertion: Interval
    localisation: dict[int, Interval]
    deletion_scores: np.ndarray
    insertion_scores: np.ndarray
    localisation_scores: dict[int, np.ndarray]


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
    scores = np.asarray(maps, np.float64).reshape(x.shape)
    if x.ndim > 2:
        scores = scores.sum(channel_axis(net) % (x.ndim - 1) + 1, keepdims=True)
    order = np.argsort(-scores.reshape(len(x), -1), axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable").reshape(scores.shape)
    curves = []
    for step in range(steps + 1):
        changed = rank < round(step * order.shape[1] / steps)
        kept = changed if mode == "insertion" else ~changed
        logits = predict_arrays(net, np.where(kept, x, zero), batch_size=256)
        shares = softmax(logits.astype(np.float64))
        curves.append(shares[np.arange(len(x)), target])
    return np.stack(curves, axis=1)


def score_methods(
    net: Model,
    x: Any,
    y: Any,
    methods: Sequence[str] | Mapping[str, Attribution] = tuple(METHODS),
    steps: int = 20,
    num_grids: Mapping[int, int] | None = None,
    seed: int = 0,
    pool: tuple[Any, Any] | None = None,
) -> dict[str, Faithfulness]:
    """Score attribution methods on one model and one set of images.

    Args:
        net: a DNN, DGN or DLGN, or the twin of a Keras model.
        x, y: raw images and their classes; the class explained is y.
        methods: names from `METHODS`, or functions by name, such as
            `attributions.methods_for(net)`.
        steps: steps of the deletion and insertion curves.
        num_grids: {side: most grids of side x side images}, {2: 125} if None; {}
            skips localisation. Networks that cannot take larger images, such as
            twins of Keras models, also skip it.
        seed: seed of the grids.
        pool: images and classes that grids are drawn from; x and y if None.

    Returns:
        {method: Faithfulness}, all on the same images and grids.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: an unknown method, or fewer than two images.
    """
    chosen: dict[str, Attribution] = {}
    for name in methods:
        if isinstance(methods, Mapping):
            chosen[name] = methods[name]
        else:
            check_choice("methods", name, METHODS)
            chosen[name] = METHODS[name]
    return dict(each_score(net, x, y, chosen, steps, num_grids, seed, pool))


def each_score(
    net: Model,
    x: Any,
    y: Any,
    methods: Mapping[str, Attribution],
    steps: int = 20,
    num_grids: Mapping[int, int] | None = None,
    seed: int = 0,
    pool: tuple[Any, Any] | None = None,
) -> Iterator[tuple[str, Faithfulness]]:
    """Yield what `score_methods` returns, a method at a time."""
    net = check_net(net)
    x, y = np.asarray(x, "float32"), np.asarray(y, int)
    games: dict[int, tuple[Any, Any, Any, Any]] = {}
    wanted = {2: 125} if num_grids is None else num_grids
    if wanted and methods and takes_larger(net):
        images, classes = (x, y) if pool is None else pool
        sure = confident(net, images, classes)
        for side, number in wanted.items():
            drawn = grids(sure, side, number, seed)
            games[side] = grid_model(net, side), images, classes, drawn
    for name, method in methods.items():
        placed = {k: grid_pointing(*game, method) for k, game in games.items()}
        maps = method(net, x, y)
        scores = {
            mode: deletion_curves(net, x, y, maps, steps, mode).mean(1)
            for mode in ("deletion", "insertion")
        }
        # The cells of a grid share an image: grids are independent, cells are not.
        yield (
            name,
            Faithfulness(
                interval(scores["deletion"]),
                interval(scores["insertion"]),
                {side: interval(cells.mean(1)) for side, cells in placed.items()},
                scores["deletion"],
                scores["insertion"],
                placed,
            ),
        )
