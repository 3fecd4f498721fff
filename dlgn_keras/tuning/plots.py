"""Pictures of a search: best so far, parallel coordinates, what matters."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.training.files import write_atomically
from dlgn_keras.tuning.board import show_value
from dlgn_keras.tuning.objectives import OBJECTIVES, better
from dlgn_keras.tuning.results import Row, hyperparameters_of, ranked

BLUE, ORANGE, GREY = "#0072B2", "#E69F00", "#999999"


def save(figure: Any, path: Path) -> None:
    """Write a figure, whole or not at all."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150))


def best_so_far(rows: Sequence[Row], objective: str) -> list[float]:
    """Return the best score after each finished trial, in the order they ended."""
    finished = [row for row in rows if row["status"] == "finished"]
    bests: list[float] = []
    for row in sorted(finished, key=lambda row: row["ended"] or 0):
        score = row["score"]
        if bests and not better(objective, score, bests[-1]):
            score = bests[-1]
        bests.append(score)
    return bests


def draw_best_so_far(rows: Sequence[Row], objective: str, path: Path) -> None:
    """Draw every trial's score and the best one so far, over finished trials."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    finished = [row for row in rows if row["status"] == "finished"]
    finished.sort(key=lambda row: row["ended"] or 0)
    scores = [row["score"] for row in finished]
    numbers = range(1, len(scores) + 1)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.plot(numbers, scores, "o", color=GREY, markersize=4, label="a trial")
    bests = best_so_far(rows, objective)
    axes.step(numbers, bests, where="post", color=BLUE, label="best so far")
    axes.set(xlabel="finished trials", ylabel=objective.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    side = "lower right" if OBJECTIVES[objective] == "max" else "upper right"
    axes.legend(frameon=False, loc=side)
    save(figure, path)


def draw_parallel(rows: Sequence[Row], objective: str, path: Path) -> None:
    """Draw a line per finished trial through an axis per hyperparameter.

    Values stand in their order, evenly spread where there are few, by their
    logarithm where they span more than a factor of 20. The brighter the line, the
    better the score; the best trial is thick. A gap: the trial has no such value.
    """
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.figure import Figure

    best_first = ranked(rows, objective)
    names = [
        name
        for name in hyperparameters_of(rows)
        if len({str(row.get(f"hp:{name}")) for row in best_first}) > 1
    ]
    scores = [row["score"] for row in best_first]
    figure = Figure(
        figsize=(max(6.0, 1.25 * (len(names) + 2)), 4), layout="constrained"
    )
    axes = figure.add_subplot()
    # Half of a search is often hopeless: its colours are spent on the better half.
    middle = float(np.median(scores))
    norm = Normalize(min(middle, scores[0]), max(middle, scores[0], middle + 1e-9))
    colours = ScalarMappable(norm, "viridis" if scores[0] >= middle else "viridis_r")
    hidden = "min" if scores[0] >= middle else "max"
    scales = [_scale([row.get(f"hp:{name}") for row in best_first]) for name in names]
    for row in reversed(best_first):
        heights = [
            place(row[f"hp:{name}"]) if row.get(f"hp:{name}") is not None else np.nan
            for name, (place, _) in zip(names, scales, strict=True)
        ]
        heights.append(_share(row["score"], scores))
        is_best = row is best_first[0]
        axes.plot(
            heights,
            color=colours.to_rgba(row["score"]),
            linewidth=3 if is_best else 1,
            alpha=1 if is_best else 0.7,
            marker="o",
            markersize=5 if is_best else 2,
        )
    for k, (_, ticks) in enumerate(scales):
        axes.axvline(k, color="black", linewidth=0.6)
        for height, text in ticks:
            axes.annotate(text, (k, height), (4, 2), textcoords="offset points", size=7)
    axes.axvline(len(names), color="black", linewidth=0.6)
    for score in (min(scores), max(scores)):
        axes.annotate(
            f"{score:.4f}",
            (len(names), _share(score, scores)),
            (4, 2),
            textcoords="offset points",
            size=7,
        )
    labels = [
        *(name.replace("_", "\n") for name in names),
        objective.replace("_", "\n"),
    ]
    axes.set_xticks(range(len(labels)), labels, fontsize=8)
    axes.set_yticks([])
    axes.set_xlim(-0.2, len(names) + 0.6)
    axes.spines[:].set_visible(False)
    figure.colorbar(colours, ax=axes, label=objective.replace("_", " "), extend=hidden)
    save(figure, path)


def _share(value: float, values: Sequence[float]) -> float:
    low, high = min(values), max(values)
    return (value - low) / (high - low) if high > low else 0.5


def _scale(values: Sequence[Any]) -> tuple[Any, list[tuple[float, str]]]:
    """Return (value -> height from 0 to 1, ticks) of an axis."""
    known = {value for value in values if value is not None}
    if any(isinstance(value, str) for value in known) or len(known) <= 8:
        distinct = sorted(known)
        top = max(1, len(distinct) - 1)
        heights = {value: k / top for k, value in enumerate(distinct)}
        ticks = [(height, show_value(value)) for value, height in heights.items()]
        return heights.__getitem__, ticks
    low, high = min(known), max(known)
    if low > 0 and high > 20 * low:
        span = math.log(high / low)
        middle = math.sqrt(low * high)
        ticks = [(0.0, low), (0.5, middle), (1.0, high)]
        return (lambda value: math.log(value / low) / span), _texts(ticks)
    ticks = [(0.0, low), (1.0, high)]
    return (lambda value: (value - low) / (high - low)), _texts(ticks)


def _texts(ticks: list[tuple[float, Any]]) -> list[tuple[float, str]]:
    return [(height, f"{value:.3g}") for height, value in ticks]


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
