"""The picture of a study: what matters per family, and one field varied alone."""

import statistics
from pathlib import Path
from typing import Any

from dlgn_keras.training.files import write_atomically

# Okabe and Ito's colours, told apart with any colour vision; markers for print.
STYLES = {"dnn": ("#000000", "s"), "dgn": ("#E69F00", "^"), "dlgn": ("#0072B2", "o")}
OTHERS = (("#009E73", "D"), ("#D55E00", "v"), ("#CC79A7", "P"))


def draw_study(found: dict[str, Any], path: Path) -> None:
    """Draw the importances, and validation accuracy over the varied field."""
    from matplotlib.figure import Figure

    entries = found["families"]
    styles = {
        label: STYLES.get(label, OTHERS[k % len(OTHERS)])
        for k, label in enumerate(entries)
    }
    varied = {label: e["varied"] for label, e in entries.items() if e.get("varied")}
    figure = Figure(figsize=(10 if varied else 5.5, 4), layout="constrained")
    axes = figure.subplots(1, 2 if varied else 1, squeeze=False)[0]
    _importances(axes[0], entries, styles)
    if varied:
        _varied(axes[1], varied, styles)
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.set_axisbelow(True)
        axis.spines[["top", "right"]].set_visible(False)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(frameon=False)
    write_atomically(path, lambda part: figure.savefig(part, format="png", dpi=150))


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
    axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axes.set_xlabel("importance for a trial's rank")


def _varied(axes: Any, varied: dict[str, Any], styles: dict[str, Any]) -> None:
    name = ""
    for label, entry in varied.items():
        name, values = entry["name"], entry["values"]
        runs = entry["validation_accuracies"]
        deviations = [100 * statistics.stdev(r) if len(r) > 1 else 0.0 for r in runs]
        axes.errorbar(
            values,
            [100 * statistics.fmean(r) for r in runs],
            yerr=deviations,
            color=styles[label][0],
            marker=styles[label][1],
            capsize=2,
            label=f"best {label.upper()}, else unchanged",
        )
        numeric = all(isinstance(v, int | float) and v > 0 for v in values)
        if numeric and max(values) > 8 * min(values):
            axes.set_xscale("log")
            axes.set_xticks(values, [f"{v:g}" for v in values], minor=False)
            axes.minorticks_off()
    axes.set(xlabel=name.replace("_", " "), ylabel="validation accuracy (%)")
