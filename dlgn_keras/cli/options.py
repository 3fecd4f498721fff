"""Parsers, and the options that several commands share."""

import argparse
import dataclasses
import re
import textwrap
import types
from collections.abc import Callable, Iterable
from typing import Any, NoReturn, Union, get_args, get_origin, get_type_hints

from dlgn_keras.data.names import short_name
from dlgn_keras.skeletons import Skeleton
from dlgn_keras.tools.messages import closest
from dlgn_keras.training.recipe import Recipe

BACKENDS = ("tensorflow", "jax", "torch")


class Help(argparse.RawDescriptionHelpFormatter):
    """Help that tells defaults and keeps names with hyphens on one line."""

    def _split_lines(self, text: str, width: int) -> list[str]:
        return textwrap.wrap(text, width, break_on_hyphens=False)

    def _get_help_string(self, action: argparse.Action) -> str:
        text, default = action.help or "", action.default
        told = "(default" in text or default in ("", argparse.SUPPRESS)
        if told or default is None or default is False:
            return text
        return f"{text} (default: %(default)s)"


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are a ValueError of one sentence."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(formatter_class=Help, **kwargs)

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Any = None, namespace: Any = None
    ) -> Any:
        found, rest = super().parse_known_args(args, namespace)
        if rest:
            options = re.findall(r"--[\w-]+", self.format_usage())
            near = closest(rest[0], options) if rest[0].startswith("-") else ""
            self.error(f"no such option or argument: {' '.join(rest)}.{near}")
        return found, rest

    def error(self, message: str) -> NoReturn:
        choice = re.match(
            r"argument (.+): invalid choice: '(.*)' \(choose from (.*)\)", message
        )
        if choice:
            name, value, known = choice.groups()
            names = [one.strip("' ") for one in known.split(",")]
            message = (
                f"`{name}` must be one of {', '.join(names)}. "
                f"Received: {value!r}.{closest(value, names)}"
            )
        raise ValueError(re.sub(r"^argument (\S+): ", r"`\1` ", message))


def reader(kind: Callable[[str], Any], wanted: str) -> Callable[[str], Any]:
    """Return `kind` as a type of options: bad text is told what is wanted."""

    def read(text: str) -> Any:
        try:
            return kind(text)
        except (ValueError, KeyError):
            raise argparse.ArgumentTypeError(
                f"must be {wanted}. Received: {text!r}."
            ) from None

    return read


whole = reader(int, "a whole number")
number = reader(float, "a number")


def add_number(parser: Any, name: str, default: float, text: str) -> None:
    """Add an option that is a number, of the kind of its default."""
    read, metavar = (whole, "N") if type(default) is int else (number, "X")
    parser.add_argument(name, type=read, metavar=metavar, default=default, help=text)


def add_out(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add --out of a command that resumes."""
    text = "folder; the same command resumes there"
    parser.add_argument("--out", default=folder, help=text)


def add_common_options(parser: argparse.ArgumentParser) -> None:
    """Add --backend and --json."""
    parser.add_argument("--backend", choices=BACKENDS, help="Keras backend to use")
    parser.add_argument(
        "--json", action="store_true", help="print the result as json, no table"
    )


def add_data_dir(parser: argparse.ArgumentParser) -> None:
    """Add --data-dir, --memory and --skip-unreadable: how data are loaded."""
    parser.add_argument(
        "--data-dir", help="tensorflow-datasets folder, or one with <name>.npz"
    )
    parser.add_argument(
        "--memory",
        type=number,
        metavar="GB",
        help="read larger sets of pictures from disk while they are used "
        "(default: a quarter of the free memory)",
    )
    parser.add_argument(
        "--skip-unreadable",
        action="store_true",
        help="leave pictures out that cannot be read",
    )


def data_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `add_data_dir` read, as arguments of `dk.data.load`."""
    names = ("data_dir", "memory", "skip_unreadable")
    return {name: getattr(arguments, name) for name in names}


def add_recipe_options(
    parser: argparse.ArgumentParser, leave_out: Iterable[str] = ()
) -> None:
    """Add an option for each field of Recipe; options not given stay unset."""
    hints = get_type_hints(Recipe)
    group = parser.add_argument_group(
        "recipe", "fields to change; the defaults hold where the recipe sets no other"
    )
    for field in dataclasses.fields(Recipe):
        if field.name in leave_out:
            continue
        read, metavar = _reader(hints[field.name])
        if field.metadata["choices"]:  # the recipe checks them, also from a file
            metavar = f"{{{','.join(field.metadata['choices'])}}}"
        text = field.metadata["help"].replace("%", "%%")
        if field.default not in (None, ()):
            default = str(field.default)
            default = default.lower() if isinstance(field.default, bool) else default
            text += f" (default: {default})"
        group.add_argument(
            "--" + field.name.replace("_", "-"),
            dest=f"recipe_{field.name}",
            default=argparse.SUPPRESS,
            metavar=metavar,
            type=read,
            help=text,
        )


def given_options(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the recipe fields that were given on the command line."""
    prefix = "recipe_"
    return {
        name.removeprefix(prefix): value
        for name, value in vars(arguments).items()
        if name.startswith(prefix)
    }


def default_folder(command: str, recipe: Recipe) -> str:
    """Return runs/<command>_<skeleton>_<data>_<fingerprint>: one folder a recipe."""
    data = short_name(recipe.data)
    return f"runs/{command}_{recipe.skeleton.name}_{data}_{recipe.fingerprint[:8]}"


def names_of(text: str) -> list[str]:
    """Return the names in a comma-separated text."""
    return [name.strip() for name in text.split(",") if name.strip()]


def _reader(hint: Any) -> tuple[Callable[[str], Any], str]:
    """Return how a text becomes a value of the annotated type, and its metavar."""
    union = get_origin(hint) in (Union, types.UnionType)
    kinds = get_args(hint) if union else (hint,)
    kind = next(k for k in reversed(kinds) if k is not type(None))
    if get_origin(kind) is tuple:
        element = get_args(kind)[0]
        read = reader(
            lambda text: tuple(element(part) for part in text.split(",") if part),
            "numbers with commas between them",
        )
        return read, "N,N,..." if element is int else "X,X,..."
    if kind is bool:
        values = {"true": True, "false": False}
        return reader(
            lambda text: values[text.lower()], "true or false"
        ), "{true,false}"
    known = {int: (whole, "N"), float: (number, "X"), Skeleton: (str, "SKELETON")}
    return known.get(kind, (str, "NAME"))  # the recipe parses a skeleton's text
