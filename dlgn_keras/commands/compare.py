"""dlgn-keras compare: twins of one skeleton, one per family, side by side."""

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

from dlgn_keras.commands.options import (
    add_data_dir,
    add_recipe_options,
    default_folder,
    given_options,
)
from dlgn_keras.tools.files import make_folder, write_atomically, write_json
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import NAMED, Recipe, Result, environment, fit, load_data
from dlgn_keras.training.recipe import FAMILIES

HEADER = [
    "family",
    "test acc., last epoch (%)",
    "best epoch (%)",
    "ratio to DNN",
    "parameters",
    "s / epoch",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--families", default="dnn,dgn,dlgn", help="comma-separated")
    parser.add_argument("--seeds", type=int, default=1, help="number of seeds, from 0")
    parser.add_argument(
        "--out", default="runs/compare", help="run folder; resumes there"
    )
    add_data_dir(parser)
    add_recipe_options(parser, leave_out=("family", "seed", "regime", "gates_from"))


def run(arguments: argparse.Namespace) -> None:
    families = [name.strip().lower() for name in arguments.families.split(",")]
    for name in families:
        check_choice("families", name, FAMILIES)
    seeds = range(check_count("seeds", arguments.seeds))
    base = Recipe(**{**NAMED["digits"], **given_options(arguments)})
    out = make_folder(arguments.out or default_folder("compare", base))
    dataset = load_data(base, arguments.data_dir)
    results: dict[str, list[Result]] = {}
    for family in dict.fromkeys(families):
        for seed in seeds:
            recipe = base.replace(family=family, seed=seed)
            folder = out / (family if len(seeds) == 1 else f"{family}_seed{seed}")
            result = fit(recipe, folder, dataset=dataset, progress=not arguments.json)
            results.setdefault(family, []).append(result)
    report = summarize(results)
    write_json(out / "result.json", {"rows": report, "environment": environment()})
    write_atomically(out / "curves.png", lambda part: draw_curves(results, part))
    if arguments.json:
        print(json.dumps({"rows": report, "out": str(out)}))
        return
    footer = f"{base.data}, {base.skeleton.name}, {base.epochs} epochs, "
    footer += f"{len(seeds)} seed(s). Run folder: {out}"
    print_table(HEADER, [_row(row) for row in report], footer)


def summarize(results: dict[str, list[Result]]) -> list[dict[str, Any]]:
    """Return one row per family: means and standard deviations over seeds."""
    rows = []
    baseline = None
    if "dnn" in results:
        baseline = statistics.fmean(r.test_accuracy for r in results["dnn"])
    for family, runs in results.items():
        last = [run.test_accuracy for run in runs]
        best = [run.best_test_accuracy for run in runs]
        mean = statistics.fmean(last)
        rows.append(
            {
                "family": family,
                "seeds": len(runs),
                "test_accuracy": mean,
                "test_accuracy_std": _deviation(last),
                "best_test_accuracy": statistics.fmean(best),
                "best_test_accuracy_std": _deviation(best),
                "ratio_to_dnn": mean / baseline if baseline else None,
                "parameters": runs[0].parameters,
                "seconds_per_epoch": statistics.median(
                    run.seconds_per_epoch for run in runs
                ),
            }
        )
    return rows


def _deviation(values: list[float]) -> float | None:
    return statistics.stdev(values) if len(values) > 1 else None


def _row(row: dict[str, Any]) -> list[str]:
    ratio = row["ratio_to_dnn"]
    return [
        row["family"].upper(),
        _percent(row["test_accuracy"], row["test_accuracy_std"]),
        _percent(row["best_test_accuracy"], row["best_test_accuracy_std"]),
        "" if ratio is None else f"{ratio:.4f}",
        f"{row['parameters']:,}",
        f"{row['seconds_per_epoch']:.3f}",
    ]


def _percent(mean: float, deviation: float | None) -> str:
    spread = "" if deviation is None else f" ± {100 * deviation:.2f}"
    return f"{100 * mean:.2f}{spread}"


# Okabe and Ito's colours, told apart with any colour vision.
COLOURS = {"dnn": "#000000", "dgn": "#E69F00", "dlgn": "#0072B2"}


def draw_curves(results: dict[str, list[Result]], path: Path) -> None:
    """Draw loss and test accuracy over epochs, a line a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    for family, runs in results.items():
        for k, result in enumerate(runs):
            epochs = [row["epoch"] for row in result.history]
            style = {
                "color": COLOURS[family],
                "label": family.upper() if k == 0 else None,
                "linewidth": 1.5,
            }
            losses = [row["loss"] for row in result.history]
            tests = [100 * row["test_accuracy"] for row in result.history]
            axes[0].plot(epochs, losses, **style)
            axes[1].plot(epochs, tests, **style)
    axes[0].set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes[1].set(xlabel="epoch", ylabel="test accuracy (%)")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150, format="png")
