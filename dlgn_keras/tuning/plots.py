"""Pictures of searches: best so far, parallel coordinates, families compared."""

import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.tools.files import write_atomically
from dlgn_keras.tools.numbers import deviation
from dlgn_keras.tools.palette import (
    AMOUNT,
    BLUE,
    GREY,
    family_styles,
)
from dlgn_keras.tuning.board import show_value
from dlgn_keras.tuning.spaces import better
from dlgn_keras.tuning.trials import Row, hyperparameters_of, ranked


def save(figure: Any, path: Path) -> None:
    """Write a figure atomically."""
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150))


def best_so_far(rows: Sequence[Row], objective: str) -> list[float]:
    """Return the best score after each finished trial, in the order they ended."""
    bests: list[float] = []
    for score in _scores(rows):
        worse = bests and not better(objective, score, bests[-1])
        bests.append(bests[-1] if worse else score)
    return bests


def _scores(rows: Sequence[Row]) -> list[float]:
    """Return the scores of the finished trials, in the order they ended."""
    finished = [row for row in rows if row["status"] == "finished"]
    return [row["score"] for row in sorted(finished, key=lambda row: row["ended"] or 0)]


def draw_best_so_far(rows: Sequence[Row], objective: str, path: Path) -> None:
    """Draw every trial's score and the best one so far, over finished trials."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    scores = _scores(rows)
    numbers = range(1, len(scores) + 1)
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    bests = best_so_far(rows, objective)
    # Hopeless trials lie on the edge: they would leave no room for the rest.
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

    Few values are spread evenly; values that span more than a factor of 20 have a
    logarithmic axis. Brighter lines have better scores; the best trial is thick. The
    last axis shows the better half of the scores. A gap means no such value.
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
    width = max(6.0, 1.25 * (len(names) + 2))
    figure = Figure(figsize=(width, 4), layout="constrained")
    axes = figure.add_subplot()
    # A part of a search is often hopeless: colours are spent on the better half.
    middle, rises = float(np.median(scores)), scores[0] >= scores[-1]
    low, high = sorted((middle, scores[0] + (1e-9 if rises else -1e-9)))
    norm = Normalize(low, high)
    colours = ScalarMappable(norm, AMOUNT if rises else f"{AMOUNT}_r")
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
    labels = [name.replace("_", "\n") for name in [*names, objective]]
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
    ends = [(0.0, f"{low:.3g}"), (1.0, f"{high:.3g}")]
    if low > 0 and high > 20 * low:
        span = math.log(high / low)
        ticks = [*ends, (0.5, f"{math.sqrt(low * high):.3g}")]
        return (lambda value: math.log(value / low) / span), ticks
    return (lambda value: (value - low) / (high - low)), ends


def _plain(axes: Any) -> None:
    axes.grid(alpha=0.3)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_comparison(found: dict[str, Any], path: Path, over: str = "beta") -> None:
    """Draw importances, all trials over one field, and the best with it varied.

    Args:
        found: the result of `compare`.
        path: the png to write.
        over: the hyperparameter of the second panel.
    """
    from matplotlib.figure import Figure

    entries = found["families"]
    styles = family_styles(entries)
    panels = [lambda axes: _importances(axes, entries, styles)]
    trials = {
        label: [
            (row[f"hp:{over}"], row["score"])
            for row in entry.get("rows", [])
            if row["status"] == "finished"
            and isinstance(row.get(f"hp:{over}"), int | float)
        ]
        for label, entry in entries.items()
    }
    if any(trials.values()):
        panels.append(lambda axes: _trials(axes, over, trials, styles))
    varied = {label: e["varied"] for label, e in entries.items() if e.get("varied")}
    if varied:
        panels.append(lambda axes: _varied(axes, varied, styles))
    figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
    all_axes = figure.subplots(1, len(panels), squeeze=False)[0]
    for axes, panel in zip(all_axes, panels, strict=True):
        panel(axes)
        _plain(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    save(figure, path)


def _trials(
    axes: Any,
    name: str,
    trials: dict[str, list[tuple[float, float]]],
    styles: dict[str, Any],
) -> None:
    """Draw every trial's score over one hyperparameter, whatever the others were.

    Trials far below all others lie, hollow, on the lower edge.
    """
    scores = [score for points in trials.values() for _, score in points]
    top = max(scores)
    floor = max(min(scores), top - 3 * (top - statistics.median(scores)))
    for label, points in trials.items():
        if points:
            colour, marker = styles[label]
            axes.scatter(
                [value for value, _ in points],
                [max(score, floor) for _, score in points],
                edgecolors=colour,
                facecolors=[colour if s >= floor else "none" for _, s in points],
                marker=marker,
                label=f"{label.upper()}, a trial",
            )
    _log_axis(axes, [value for points in trials.values() for value, _ in points])
    axes.set(xlabel=name.replace("_", " "), ylabel="score of the trial")


def _log_axis(axes: Any, values: list[float], ticks: bool = False) -> None:
    """Use a logarithmic axis for values that span more than a factor of 8."""
    if min(values) > 0 and max(values) > 8 * min(values):
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        if ticks:
            axes.set_xticks(values)


def _importances(axes: Any, entries: dict[str, Any], styles: dict[str, Any]) -> None:
    known = {label: e["importance"] for label, e in entries.items() if e["importance"]}
    names = list(dict.fromkeys(name for e in known.values() for name in e["mean"]))
    names.sort(
        key=lambda name: statistics.fmean(
            e["mean"][name] for e in known.values() if name in e["mean"]
        )
    )
    for k, (label, entry) in enumerate(known.items()):
        here = [name for name in names if name in entry["mean"]]
        axes.errorbar(
            [entry["mean"][name] for name in here],
            [names.index(name) + 0.2 * (k - 1) for name in here],
            xerr=[entry["std"][name] for name in here],
            linestyle="none",
            color=styles[label][0],
            marker=styles[label][1],
            capsize=2,
            label=f"{label.upper()} (out of bag {entry['out_of_bag']:.2f})",
        )
    if not known:
        axes.text(0.5, 0.5, "too few trials to tell", ha="center", va="center")
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_xlabel("importance for a trial's rank")


def _varied(axes: Any, varied: dict[str, Any], styles: dict[str, Any]) -> None:
    name = ""
    for label, entry in varied.items():
        name, values = entry["name"], entry["values"]
        numbers = all(type(v) in (int, float) for v in values)
        runs = entry["validation_accuracies"]
        spreads = [100 * (deviation(r) or 0.0) for r in runs]
        axes.errorbar(
            values if numbers else [str(v) for v in values],
            [100 * statistics.fmean(r) for r in runs],
            yerr=spreads,
            color=styles[label][0],
            marker=styles[label][1],
            capsize=2,
            label=f"best {label.upper()}, else unchanged",
        )
        if numbers:
            _log_axis(axes, values, ticks=True)
    axes.set(xlabel=name.replace("_", " "), ylabel="validation accuracy (%)")
