"""Command-line options made from the fields of a Recipe: one list of options."""

import argparse
import dataclasses
import json
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

from dlgn_keras.skeletons import Skeleton
from dlgn_keras.training.recipe import Recipe

OUT_HELP = "run folder; the same command goes on there (default: one per recipe)"


def default_folder(command: str, recipe: Recipe) -> str:
    """Return runs/<command>_<skeleton>_<data>_<fingerprint>: one folder a recipe."""
    data = Path(recipe.data).stem
    return f"runs/{command}_{recipe.skeleton.name}_{data}_{recipe.fingerprint[:8]}"


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, where mnist, cifar10 and cifar100 are looked for."""
    parser.add_argument(
        "--data-dir",
        default=None,
        help="tensorflow-datasets folder, or one with <name>.npz",
    )


def add_recipe_options(
    parser: argparse.ArgumentParser, leave_out: Iterable[str] = ()
) -> None:
    """Add an option per field of Recipe; what is not given stays unset."""
    hints = get_type_hints(Recipe)
    group = parser.add_argument_group("recipe")
    for field in dataclasses.fields(Recipe):
        if field.name in leave_out:
            continue
        default = "" if field.default is None else f" (default: {_show(field.default)})"
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=f"recipe_{field.name}",
            default=argparse.SUPPRESS,
            metavar=field.name.upper(),
            type=_reader(hints[field.name]),
            help=field.metadata["help"].replace("%", "%%") + default,
        )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe fields that were given on the command line."""
    prefix = "recipe_"
    return {
        name.removeprefix(prefix): value
        for name, value in vars(arguments).items()
        if name.startswith(prefix)
    }


def _show(value: Any) -> str:
    return json.dumps(value) if isinstance(value, tuple | bool) else str(value)


def _reader(hint: Any) -> Any:
    """Return a function from text to a value of the annotated type."""
    kinds = list(get_args(hint)) if get_origin(hint) in _UNIONS else [hint]
    kinds = [kind for kind in kinds if kind is not type(None)]
    kind = kinds[-1]
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]

        def read_tuple(text: str) -> tuple:
            return tuple(element(part) for part in text.split(",") if part)

        return read_tuple
    if kind is bool:
        return _read_bool
    if kind is Skeleton:
        return str  # the recipe parses it, with a message of its own
    return kind


_UNIONS = (Union, types.UnionType)


def _read_bool(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise argparse.ArgumentTypeError(f"must be true or false, not {text!r}")
    return text.lower() == "true"
