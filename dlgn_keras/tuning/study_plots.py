"""The picture of a study: what matters per family, and one field varied alone."""

import statistics
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import write_atomically

# Okabe and Ito's colours, told apart with any colour vision; markers for print.
STYLES = {"dnn": ("#000000", "s"), "dgn": ("#E69F00", "^"), "dlgn": ("#0072B2", "o")}
OTHERS = (("#009E73", "D"), ("#D55E00", "v"), ("#CC79A7", "P"))


def draw_study(found: dict[str, Any], path: Path, over: str = "beta") -> None:
    """Draw what matters: importances, all trials over one field, that field varied.

    Args:
        found: what `study` returns.
        path: the png to write.
        over: the hyperparameter of the second panel.
    """
    from matplotlib.figure import Figure

    entries = found["families"]
    styles = {
        label: STYLES.get(label, OTHERS[k % len(OTHERS)])
        for k, label in enumerate(entries)
    }
    panels = [lambda axes: _importances(axes, entries, styles)]
    trials = {
        label: [(row[f"hp:{over}"], row["score"]) for row in _finished(entry, over)]
        for label, entry in entries.items()
    }
    if any(trials.values()):
        panels.append(lambda axes: _trials(axes, over, trials, styles))
    varied = {label: e["varied"] for label, e in entries.items() if e.get("varied")}
    if varied:
        panels.append(lambda axes: _varied(axes, varied, styles))
    figure = Figure(figsize=(4.6 * len(panels), 3.8), layout="constrained")
    for axes, panel in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        panel(axes)
        axes.grid(alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(frameon=False, fontsize=8)
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150))


def _finished(entry: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [
        row
        for row in entry.get("rows", [])
        if row["status"] == "finished"
        and isinstance(row.get(f"hp:{name}"), int | float)
    ]


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
    floor = max(
        min(scores), max(scores) - 3 * (max(scores) - statistics.median(scores))
    )
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
    _scale(axes, [value for points in trials.values() for value, _ in points])
    axes.set(xlabel=name.replace("_", " "), ylabel="score of the trial")


def _scale(axes: Any, values: list[float], ticks: bool = False) -> None:
    """Use a logarithmic axis where the values span much."""
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
        deviations = [100 * statistics.stdev(r) if len(r) > 1 else 0.0 for r in runs]
        axes.errorbar(
            values if numbers else [str(v) for v in values],
            [100 * statistics.fmean(r) for r in runs],
            yerr=deviations,
            color=styles[label][0],
            marker=styles[label][1],
            capsize=2,
            label=f"best {label.upper()}, else unchanged",
        )
        if numbers:
            _scale(axes, values, ticks=True)
    axes.set(xlabel=name.replace("_", " "), ylabel="validation accuracy (%)")
