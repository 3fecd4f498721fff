"""dlgn-keras reproduce: the papers' tables and figures, made again."""

import argparse
import json

import dlgn_keras as dk
from dlgn_keras.cli.options import (
    add_common_options,
    add_data_dir,
    add_number,
    add_out,
    add_recipe_options,
    given_options,
    names_of,
)
from dlgn_keras.experiments import EXPERIMENTS, SCALES
from dlgn_keras.tools.messages import closest
from dlgn_keras.tools.terminal import print_table

EXAMPLE = "dlgn-keras reproduce regimes --scale paper --rows fc-adam --seeds 5"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "name", nargs="?", help=f"an experiment: {', '.join(EXPERIMENTS)}"
    )
    parser.add_argument(
        "--list",
        action="store_true",
        help="list the experiments, with the data and the time that they need",
    )
    parser.add_argument(
        "--scale",
        default=SCALES[0],
        choices=SCALES,
        help="small takes minutes on two cores",
    )
    add_number(parser, "--seeds", 3, "number of seeds, from 0")
    parser.add_argument(
        "--rows", default="", help="comma-separated: row, or row/label (default: all)"
    )
    add_out(parser, "runs/reproduce")
    add_data_dir(parser)
    add_common_options(parser)
    add_recipe_options(parser, leave_out=("family", "seed", "regime", "gates_from"))


def run(arguments: argparse.Namespace) -> None:
    if arguments.list:
        _show_list(arguments.json)
        return
    if arguments.name not in EXPERIMENTS:
        raise ValueError(
            f"An experiment is one of {', '.join(EXPERIMENTS)}; `--list` tells more. "
            f"Received: {arguments.name!r}.{closest(arguments.name, EXPERIMENTS)}"
        )
    table = dk.experiments.reproduce(
        arguments.name,
        arguments.out,
        arguments.scale,
        arguments.seeds,
        rows=names_of(arguments.rows),
        data_dir=arguments.data_dir,
        progress=not arguments.json,
        changes=given_options(arguments),
    )
    folder = f"{arguments.out}/{arguments.name}-{arguments.scale}"
    if arguments.json:
        print(json.dumps({"title": table.title, "lines": table.lines, "out": folder}))
        return
    header, rows = table.texts()
    notes = "\n".join([*table.notes, f"Table and figure: {folder}"])
    print(table.title)
    print_table(header, rows, notes)


def _show_list(as_json: bool) -> None:
    facts = [
        {
            "name": experiment.name,
            "title": experiment.title,
            "source": experiment.source,
            "needs": experiment.needs,
            "time": experiment.time,
        }
        for experiment in EXPERIMENTS.values()
    ]
    if as_json:
        print(json.dumps(facts))
        return
    for fact in facts:
        print(f"{fact['name']}: {fact['title']} ({fact['source']})")
        for scale, time in fact["time"].items():
            print(f"    {scale}: {time}; needs {fact['needs'].get(scale, 'nothing')}")
