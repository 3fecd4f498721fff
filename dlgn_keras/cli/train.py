"""dlgn-keras train: one model from a recipe."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING

import dlgn_keras as dk
from dlgn_keras.cli.options import (
    add_common_options,
    add_data_dir,
    add_recipe_options,
    data_options,
    default_folder,
    given_options,
    reader,
    whole,
)
from dlgn_keras.tools.numbers import FIGURES, percent
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import Recipe, named_recipe

if TYPE_CHECKING:
    from dlgn_keras.training import Result

EXAMPLE = "dlgn-keras train p0-gconv-adam --family dgn --out runs/gconv"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        default="digits",
        help="a named recipe or a recipe's .json file; the options change its fields",
    )
    parser.add_argument(
        "--out",
        help="run folder; the same command resumes there (default: one per recipe)",
    )
    add_data_dir(parser)
    parser.add_argument(
        "--tensorboard", action="store_true", help="write TensorBoard logs too"
    )
    add_common_options(parser)
    _add_device_options(parser)
    add_recipe_options(parser)


def run(arguments: argparse.Namespace) -> None:
    devices = _chosen_devices(arguments)
    changes = given_options(arguments)
    if arguments.recipe.endswith(".json"):
        recipe = Recipe.from_file(arguments.recipe).replace(**changes)
    else:
        recipe = named_recipe(arguments.recipe, **changes)
    out = Path(arguments.out or default_folder(recipe.family, recipe))
    result = dk.training.fit(
        recipe,
        out,
        **data_options(arguments),
        devices=devices,
        progress=not arguments.json,
        tensorboard=arguments.tensorboard,
    )
    if arguments.json:
        print(json.dumps(result.to_config()))
        return
    print_table(["", ""], _rows(recipe, result), f"Run folder: {out}")


def _rows(recipe: Recipe, result: "Result") -> list[list[str]]:
    best = f"{percent(result.best_test_accuracy)} % (epoch {result.best_epoch})"
    figure = FIGURES[recipe.score]
    rows = [
        ["model", f"{recipe.family} {recipe.skeleton.name} on {recipe.data}"],
        [f"test {figure}, last epoch", f"{percent(result.test_accuracy)} %"],
        [f"test {figure}, best epoch", best],
        ["parameters", f"{result.parameters:,}"],
        ["seconds", f"{result.seconds:.1f}"],
        ["seconds per epoch", f"{result.seconds_per_epoch:.3f}"],
    ]
    if result.validation_accuracy is not None:
        validation = f"{percent(result.validation_accuracy)} %"
        rows.insert(1, [f"validation {figure}, last epoch", validation])
    return rows


def _add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many devices (JAX backend)")
    group.add_argument(
        "--devices",
        type=reader(_count, "all or a number of at least 1"),
        help="how many devices share every batch, or all; 1 if not given, all with "
        "--hosts",
    )
    group.add_argument(
        "--hosts",
        metavar="HOST:PORT,HOST,...",
        help="machines that train together; the first one leads. The same command "
        "runs on each, and --out is a folder that all of them see",
    )
    group.add_argument(
        "--process",
        type=whole,
        metavar="K",
        help="with --hosts: the number of this machine among them, from 0",
    )


def _count(text: str) -> int:
    """Read a number of devices; "all" is 0."""
    count = 0 if text == "all" else int(text)
    if count < 1 and text != "all":
        raise ValueError
    return count


def _chosen_devices(arguments: argparse.Namespace) -> int | None:
    """Join the other hosts if there are any; return `devices` for `fit`."""
    if arguments.hosts is None:
        if arguments.process is not None:
            raise ValueError(
                "`--process` numbers the machines of `--hosts`. "
                f"Received: --process {arguments.process} and no --hosts."
            )
        return 1 if arguments.devices is None else arguments.devices or None
    from dlgn_keras.training.devices import join_hosts

    join_hosts(arguments.hosts, arguments.process)
    return arguments.devices or None
