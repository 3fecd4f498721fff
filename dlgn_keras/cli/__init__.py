"""dlgn-keras: the command line. Each command is a module, loaded when it is named.

A command's module has `EXAMPLE`, `add_arguments(parser)` and `run(arguments)`; all of
them parse without Keras, which is imported when a command runs.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import dlgn_keras
from dlgn_keras.cli.options import Parser
from dlgn_keras.tools.messages import one_line
from dlgn_keras.version import __version__

COMMANDS = {
    "compare": "train DNN, DGN and DLGN twins and compare them",
    "train": "train one model from a recipe",
    "tune": "search for the best recipe, on one machine or many",
    "evaluate": "measure the accuracy of a saved model on a data set",
    "explain": "write a page that explains a model's answers",
    "kernel": "compare the neural path kernels of trained models",
    "page": "write a site that runs presets in the browser",
    "reproduce": "make a published table or figure again",
    "zoo": "list, show, verify and push pretrained models",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; bad input is one line on standard error and exit code 2."""
    argv = list(sys.argv[1:] if argv is None else argv)
    command = next((word for word in argv if not word.startswith("-")), "")
    module: Any = _module(command) if command in COMMANDS else None
    program = f"dlgn-keras {command}" if module else "dlgn-keras"
    try:
        arguments = _parser(command, module).parse_args(argv)
        dlgn_keras.register_classes()
        return module.run(arguments) or 0
    except (ValueError, TypeError, OSError, ImportError, FloatingPointError) as error:
        line = one_line(error)
        if isinstance(error, ModuleNotFoundError) and error.name:
            name = error.name.partition(".")[0].replace("_", "-")
            line = f"needs {name}, which is not installed: pip install {name}."
        print(f"{program}: {line}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(
            f"{program}: interrupted; with an output folder, the same command resumes.",
            file=sys.stderr,
        )
        return 130


def _module(command: str) -> Any:
    return importlib.import_module(f"dlgn_keras.cli.{command}")


def _parser(command: str, module: Any) -> argparse.ArgumentParser:
    """Return the program's parser, with the options of one command."""
    parser = Parser(
        prog="dlgn-keras",
        description="Deep gated networks for Keras: train, load, compare, take apart.",
        epilog="`dlgn-keras COMMAND --help` lists the options of a command.",
    )
    parser.add_argument("-V", "--version", action="version", version=__version__)
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, text in COMMANDS.items():
        sentence = f"{text[0].upper()}{text[1:]}."
        one = commands.add_parser(name, help=text, description=sentence)
        if name == command:
            one.epilog = f"example: {module.EXAMPLE}"
            module.add_arguments(one)
    return parser
