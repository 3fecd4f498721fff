"""dlgn-keras compare: twins of one skeleton, one per family, side by side."""

import argparse
import json
import statistics
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlgn_keras as dk
from dlgn_keras.cli.options import (
    add_common_options,
    add_data_dir,
    add_number,
    add_out,
    add_recipe_options,
    data_options,
    default_folder,
    given_options,
    names_of,
)
from dlgn_keras.tools.files import make_folder, write_atomically, write_json
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.numbers import FIGURES, deviation, percent
from dlgn_keras.tools.palette import family_styles
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import NAMED, Recipe
from dlgn_keras.training.recipe import FAMILIES

if TYPE_CHECKING:
    from dlgn_keras.training import Result

EXAMPLE = "dlgn-keras compare --data mnist --skeleton fc --epochs 10 --seeds 3"
HEADER = [
    "family",
    "test {}, last epoch (%)",
    "best epoch (%)",
    "ratio to DNN",
    "parameters",
    "s / epoch",
]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--families", default=",".join(FAMILIES), help="comma-separated"
    )
    add_number(parser, "--seeds", 1, "number of seeds, from 0")
    add_out(parser, "runs/compare")
    add_data_dir(parser)
    add_common_options(parser)
    add_recipe_options(parser, leave_out=("family", "seed", "regime", "gates_from"))


def run(arguments: argparse.Namespace) -> None:
    families = names_of(arguments.families.lower())
    for name in families:
        check_choice("families", name, FAMILIES)
    seeds = range(check_count("seeds", arguments.seeds))
    base = Recipe(**{**NAMED["digits"], **given_options(arguments)})
    out = make_folder(arguments.out or default_folder("compare", base))
    dataset = dk.training.load_data(base, **data_options(arguments))
    results: dict[str, list[Result]] = {}
    for family in dict.fromkeys(families):
        for seed in seeds:
            recipe = base.replace(family=family, seed=seed)
            folder = out / (family if len(seeds) == 1 else f"{family}_seed{seed}")
            result = dk.training.fit(
                recipe, folder, dataset=dataset, progress=not arguments.json
            )
            results.setdefault(family, []).append(result)
    report = summarize(results)
    environment = dk.training.environment()
    write_json(out / "result.json", {"rows": report, "environment": environment})
    write_atomically(out / "curves.png", lambda part: draw_curves(results, part))
    if arguments.json:
        print(json.dumps({"rows": report, "out": str(out)}))
        return
    footer = f"{base.data}, {base.skeleton.name}, {base.epochs} epochs, "
    footer += f"{len(seeds)} seed(s). Run folder: {out}"
    header = [name.format(FIGURES[base.score]) for name in HEADER]
    print_table(header, [_cells(row) for row in report], footer)


def summarize(results: dict[str, list["Result"]]) -> list[dict[str, Any]]:
    """Return one row per family: means and standard deviations over seeds."""
    rows = []
    for family, runs in results.items():
        last = [run.test_accuracy for run in runs]
        best = [run.best_test_accuracy for run in runs]
        seconds = [run.seconds_per_epoch for run in runs]
        rows.append(
            {
                "family": family,
                "seeds": len(runs),
                "test_accuracy": statistics.fmean(last),
                "test_accuracy_std": deviation(last),
                "best_test_accuracy": statistics.fmean(best),
                "best_test_accuracy_std": deviation(best),
                "ratio_to_dnn": None,
                "parameters": runs[0].parameters,
                "seconds_per_epoch": statistics.median(seconds),
            }
        )
    accuracy = {row["family"]: row["test_accuracy"] for row in rows}
    if accuracy.get("dnn"):
        for row in rows:
            row["ratio_to_dnn"] = row["test_accuracy"] / accuracy["dnn"]
    return rows


def _cells(row: dict[str, Any]) -> list[str]:
    ratio = row["ratio_to_dnn"]
    return [
        row["family"].upper(),
        percent(row["test_accuracy"], row["test_accuracy_std"]),
        percent(row["best_test_accuracy"], row["best_test_accuracy_std"]),
        "" if ratio is None else f"{ratio:.4f}",
        f"{row['parameters']:,}",
        f"{row['seconds_per_epoch']:.3f}",
    ]


def draw_curves(results: dict[str, list["Result"]], path: Path) -> None:
    """Draw loss and test accuracy over epochs, one line a run."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    axes = figure.subplots(1, 2)
    styles = family_styles(results)
    first = next(result for runs in results.values() for result in runs)
    score = "r2" if "test_r2" in first.history[0] else "accuracy"
    for family, runs in results.items():
        for k, result in enumerate(runs):
            style: dict[str, Any] = {"color": styles[family][0], "linewidth": 1.5}
            style["label"] = family.upper() if k == 0 else None
            epochs = [row["epoch"] for row in result.history]
            losses = [row["loss"] for row in result.history]
            tests = [100 * row[f"test_{score}"] for row in result.history]
            axes[0].plot(epochs, losses, **style)
            axes[1].plot(epochs, tests, **style)
    axes[0].set(xlabel="epoch", ylabel="training loss", yscale="log")
    axes[1].set(xlabel="epoch", ylabel=f"test {FIGURES[score]} (%)")
    for axis in axes:
        axis.grid(alpha=0.3)
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    figure.savefig(path, dpi=150, format="png")
