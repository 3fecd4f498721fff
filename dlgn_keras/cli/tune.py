"""dlgn-keras tune: search for the best recipe, on one machine or on many."""

import argparse
import importlib.util
import json
import shlex
import sys
from collections.abc import Callable
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
    given_options,
    names_of,
    number,
    whole,
)
from dlgn_keras.tools.messages import check_choice, closest
from dlgn_keras.tools.numbers import percent
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import Recipe, named_fields
from dlgn_keras.training.recipe import FAMILIES
from dlgn_keras.tuning.spaces import OBJECTIVES

if TYPE_CHECKING:
    from dlgn_keras.tuning import Tuned

EXAMPLE = "dlgn-keras tune onecycle-c4gap-cifar10 --hours 8 --out runs/tune"
ALGORITHMS = ("random", "hyperband", "bayesian", "grid")
ROLES = ("alone", "chief", "worker")
HELD_OUT = 0.2
SHOWN = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "recipe",
        nargs="?",
        default="digits",
        help="a named recipe or a recipe's .json file, for the fields that the space "
        "leaves alone",
    )
    parser.add_argument(
        "--space",
        default="default",
        help="default, p4 (a published grid), FILE.json, or FILE.py:FUNCTION",
    )
    parser.add_argument(
        "--algorithm",
        choices=ALGORITHMS,
        default=ALGORITHMS[0],
        help="how trials are chosen",
    )
    parser.add_argument(
        "--objective",
        metavar=f"{{{','.join(OBJECTIVES)}}}",
        default="validation_accuracy",
        help="score of a trial, after the last epoch",
    )
    parser.add_argument("--trials", type=whole, metavar="N", help="most trials")
    parser.add_argument("--hours", type=number, metavar="X", help="most hours")
    add_number(parser, "--search-seed", 0, "seed of the search")
    parser.add_argument(
        "--retrain",
        type=whole,
        default=3,
        metavar="RUNS",
        help="runs of the best recipe with other seeds",
    )
    add_out(parser, "runs/tune")
    add_data_dir(parser)
    add_common_options(parser)
    many = parser.add_argument_group("many machines")
    many.add_argument(
        "--role", choices=ROLES, default=ROLES[0], help="role of this machine"
    )
    many.add_argument("--chief", metavar="HOST:PORT", help="address of the chief")
    many.add_argument(
        "--patience",
        type=number,
        default=60.0,
        metavar="SECONDS",
        help="chief and workers stop waiting for each other after this time",
    )
    several = parser.add_argument_group("several families")
    several.add_argument(
        "--families", help="comma-separated: tune each, then compare them"
    )
    several.add_argument(
        "--vary",
        metavar="FIELD=A,B,...",
        help="then train the best recipes again with only this field changed",
    )
    add_recipe_options(parser)


def run(arguments: argparse.Namespace) -> None:
    fields = _fields(arguments)
    options: dict[str, Any] = {
        "algorithm": arguments.algorithm,
        "objective": arguments.objective,
        "trials": arguments.trials,
        "hours": arguments.hours,
        "seed": arguments.search_seed,
        "retrain_seeds": arguments.retrain,
        "role": arguments.role,
        "chief": arguments.chief,
        "patience": arguments.patience,
        "progress": not arguments.json,
    }
    if arguments.families is not None:
        _study(arguments, fields, options)
        return
    if arguments.vary is not None:
        raise ValueError(
            f"`vary` goes with `families`. Received: vary={arguments.vary!r}."
        )
    found = dk.tuning.search(_hypermodel(arguments, fields), arguments.out, **options)
    if found is None:
        return
    if arguments.json:
        print(json.dumps({**found.summary(), "out": arguments.out}))
        return
    _show(found)


def _fields(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe's fields; its skeleton stays a text whose sizes are open."""
    name, given = arguments.recipe, given_options(arguments)
    if name.endswith(".json"):
        recipe = Recipe.from_file(name)
        fields = {**recipe.to_config(), "skeleton": recipe.skeleton}
    else:
        fields = named_fields(name)
    fields["validation"] = fields.get("validation") or HELD_OUT
    return {"data": "digits", **fields, **given}


def _hypermodel(arguments: argparse.Namespace, fields: dict[str, Any]) -> Any:
    space = arguments.space
    return dk.tuning.GatedHyperModel(
        space=_function(space) if ".py:" in space else space,
        data_options=data_options(arguments),
        **fields,
    )


def _function(text: str) -> Callable[..., Any]:
    """Return the function that FILE.py:FUNCTION names."""
    path, _, name = text.rpartition(":")
    if not Path(path).is_file():
        raise FileNotFoundError(f"No file {path!r}.")
    spec = importlib.util.spec_from_file_location("search_space", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"`space` must be a Python file. Received: space={text!r}.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ValueError(
            f"{path} has no function {name!r}.{closest(name, vars(module))}"
        )
    return getattr(module, name)


def _study(
    arguments: argparse.Namespace, fields: dict[str, Any], options: dict[str, Any]
) -> None:
    from dlgn_keras.tuning.comparison import HEADER, compare, table_rows

    families = names_of(arguments.families.lower())
    for name in families:
        check_choice("families", name, FAMILIES)
    check_choice("role", arguments.role, ("alone",))
    found = compare(
        {name: _hypermodel(arguments, {**fields, "family": name}) for name in families},
        arguments.out,
        vary=_vary(arguments.vary),
        command=shlex.join(["dlgn-keras", *sys.argv[1:]]),
        **options,
    )
    if arguments.json:
        print(json.dumps({**found, "out": arguments.out}))
        return
    rows = [row[:-1] for row in table_rows(found)]
    footer = (
        "Accuracies in %, after the last epoch; mean ± deviation over seeds.\n"
        f"Table, figure and a folder with best.json per family: {arguments.out}"
    )
    print_table(HEADER[:-1], rows, footer)  # recipes are too long for a terminal


def _vary(text: str | None) -> tuple[str, list[Any]] | None:
    if text is None:
        return None
    from dlgn_keras.tuning.spaces import FIELDS

    name, _, values = text.partition("=")
    try:
        read = [json.loads(value) for value in values.split(",")]
    except json.JSONDecodeError:
        read = values.split(",")
    if not name or not values:
        raise ValueError(f"`vary` must be FIELD=A,B,... Received: vary={text!r}.")
    check_choice("vary", name, FIELDS)
    return name, read


def _show(found: "Tuned") -> None:
    from dlgn_keras.tuning.board import show_values
    from dlgn_keras.tuning.trials import hyperparameters_of, ranked

    names = hyperparameters_of(found.rows)
    rows = [
        [row["trial"], f"{row['score']:.4f}", show_values(row, names)]
        for row in ranked(found.rows, found.objective)[:SHOWN]
    ]
    summary = found.summary()
    counts = ", ".join(f"{n} {status}" for status, n in summary["trials"].items())
    notes = [f"Trials: {counts}. The best recipe: {found.folder / 'best.json'}"]
    again = summary["retrained"]
    if again:
        validation, test = (
            percent(again[f"{part}_accuracy"], again[f"{part}_accuracy_std"])
            for part in ("validation", "test")
        )
        trial = percent(found.best_row["validation_accuracy"])
        notes += [
            f"Retrained with {len(again['seeds'])} other seeds: validation accuracy "
            f"{validation} (its trial: {trial}), test accuracy {test} %."
        ]
    header = ["trial", found.objective.replace("_", " "), "hyperparameters"]
    print_table(header, rows, "\n".join(notes), left=(0, 2))
