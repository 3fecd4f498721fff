"""Pictures of a search: best so far, parallel coordinates, what matters."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.tools.files import write_atomically
from dlgn_keras.tuning.board import show_value
from dlgn_keras.tuning.objectives import better
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
    bests = best_so_far(rows, objective)
    # What is hopeless would leave no room for the rest: it lies on the edge.
    edge = bests[-1] + 4 * (float(np.median(scores)) - bests[-1])
    kept = [score for score in scores if not better(objective, edge, score)]
    limits = (min(kept), max(kept))
    colours = [GREY if limits[0] <= s <= limits[1] else "none" for s in scores]
    shown = np.clip(scores, *limits)
    axes.scatter(
        numbers, shown, 18, facecolors=colours, edgecolors=GREY, label="a trial"
    )
    axes.step(numbers, bests, where="post", color=BLUE, label="best so far")
    axes.set(xlabel="finished trials", ylabel=objective.replace("_", " "))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _plain(axes)
    figure.legend(loc="outside upper center", ncols=2, frameon=False)
    save(figure, path)


def draw_parallel(rows: Sequence[Row], objective: str, path: Path) -> None:
    """Draw a line per finished trial through an axis per hyperparameter.

    Values stand in their order, evenly spread where there are few, by their
    logarithm where they span more than a factor of 20. The brighter the line, the
    better the score; the best trial is thick. The last axis is the better half's.
    A gap: the trial has no such value.
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
    # A part of a search is often hopeless: colours are spent on the better half.
    middle, rises = float(np.median(scores)), scores[0] >= scores[-1]
    low, high = sorted((middle, scores[0] + (1e-9 if rises else -1e-9)))
    norm = Normalize(low, high)
    colours = ScalarMappable(norm, "viridis" if rises else "viridis_r")
    hidden = "min" if rises else "max"
    scales = [_scale([row.get(f"hp:{name}") for row in best_first]) for name in names]
    for row in reversed(best_first):
        heights = [
            place(row[f"hp:{name}"]) if row.get(f"hp:{name}") is not None else np.nan
            for name, (place, _) in zip(names, scales, strict=True)
        ]
        heights.append(float(np.clip(norm(row["score"]), -0.05, 1.05)))
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
    for height in (0, 1):
        score = norm.inverse(height)
        place = (len(names), height)
        axes.annotate(f"{score:.4f}", place, (4, 2), textcoords="offset points", size=7)
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
