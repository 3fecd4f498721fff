"""dlgn-keras: the command line. One module per command lives in `commands/`."""

import argparse
import importlib
import sys
from collections.abc import Sequence

from dlgn_keras.version import __version__

COMMANDS = {
    "compare": "train DNN, DGN and DLGN twins and compare them",
    "train": "train one model from a recipe",
    "tune": "search for the best recipe, on one machine or many",
    "evaluate": "measure a saved model on a data set",
    "explain": "write a page that takes a model's answers apart",
    "kernel": "compare the neural path kernels of trained models",
    "reproduce": "make a published table or figure again",
    "zoo": "list, show, verify and push pretrained models",
}
BACKENDS = ("tensorflow", "jax", "torch")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dlgn-keras",
        description="Deep gated networks for Keras: train, load, compare, take apart.",
        epilog="`dlgn-keras COMMAND --help` tells the options of a command.",
    )
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=text,
            description=text[0].upper() + text[1:] + ".",
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )
        command.add_argument(
            "--backend", choices=BACKENDS, default=None, help="Keras backend to use"
        )
        command.add_argument(
            "--json", action="store_true", help="print the result as json, no table"
        )
        _module(name).add_arguments(command)
    return parser


def _module(name: str):
    return importlib.import_module(f"dlgn_keras.commands.{name}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input is one line on standard error and exit code 2."""
    arguments = _parser().parse_args(argv)
    try:
        return _module(arguments.command).run(arguments) or 0
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        line = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError) and error.name:
            name = error.name.partition(".")[0].replace("_", "-")
            line = f"needs {name}, which is not installed: pip install {name}."
        print(f"dlgn-keras {arguments.command}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"dlgn-keras {arguments.command}: interrupted; the same command goes on "
            "where it stopped if it has an output folder.",
            file=sys.stderr,
        )
        return 130


if __name__ == "__main__":
    sys.exit(main())
