"""dlgn-keras train: one model from a recipe."""

import argparse
import json
from pathlib import Path

from dlgn_keras.commands.devices import add_device_options, chosen_devices
from dlgn_keras.commands.options import (
    OUT_HELP,
    add_data_dir,
    add_recipe_options,
    default_folder,
    given_options,
)
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import Recipe, fit, named_recipe
from dlgn_keras.training.result import Result


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        default="digits",
        help="a named recipe or a recipe's .json file; the options change its fields",
    )
    parser.add_argument("--out", default=None, help=OUT_HELP)
    add_data_dir(parser)
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs too"
    )
    add_device_options(parser)
    add_recipe_options(parser)


def run(arguments: argparse.Namespace) -> None:
    devices = chosen_devices(arguments)
    changes = given_options(arguments)
    if arguments.recipe.endswith(".json"):
        recipe = Recipe.from_file(arguments.recipe).replace(**changes)
    else:
        recipe = named_recipe(arguments.recipe, **changes)
    out = Path(arguments.out or default_folder(recipe.family, recipe))
    result = fit(
        recipe,
        out,
        data_dir=arguments.data_dir,
        devices=devices,
        progress=not arguments.json,
        tensorboard=arguments.tensorboard,
    )
    if arguments.json:
        print(json.dumps(result.to_config()))
        return
    print_table(["", ""], _rows(recipe, result), f"Run folder: {out}")


def _rows(recipe: Recipe, result: Result) -> list[list[str]]:
    rows = [
        ["model", f"{recipe.family} {recipe.skeleton.name} on {recipe.data}"],
        ["test accuracy, last epoch", f"{100 * result.test_accuracy:.2f} %"],
        [
            "test accuracy, best epoch",
            f"{100 * result.best_test_accuracy:.2f} % (epoch {result.best_epoch})",
        ],
        ["parameters", f"{result.parameters:,}"],
        ["seconds", f"{result.seconds:.1f}"],
        ["seconds per epoch", f"{result.seconds_per_epoch:.3f}"],
    ]
    if result.validation_accuracy is not None:
        validation = f"{100 * result.validation_accuracy:.2f} %"
        rows.insert(1, ["validation accuracy, last epoch", validation])
    return rows
