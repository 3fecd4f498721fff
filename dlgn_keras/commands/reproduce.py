"""dlgn-keras reproduce: the papers' tables and figures, made again."""

import argparse
import json

from dlgn_keras.commands.options import (
    add_data_dir,
    add_recipe_options,
    given_options,
)
from dlgn_keras.experiments import EXPERIMENTS, reproduce
from dlgn_keras.experiments.tables import shown
from dlgn_keras.tools.messages import closest
from dlgn_keras.tools.terminal import print_table


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", help="an experiment; see --list")
    parser.add_argument(
        "--list", action="store_true", help="tell what there is, its needs and time"
    )
    parser.add_argument(
        "--scale", default="small", help="small (minutes on two cores) or paper"
    )
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds, from 0")
    parser.add_argument(
        "--rows", default="", help="comma-separated: row, or row/label; all if empty"
    )
    parser.add_argument("--out", default="runs/reproduce", help="folder; goes on there")
    add_data_dir(parser)
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
    table = reproduce(
        arguments.name,
        arguments.out,
        arguments.scale,
        arguments.seeds,
        rows=[row for row in arguments.rows.split(",") if row],
        data_dir=arguments.data_dir,
        progress=not arguments.json,
        changes=given_options(arguments),
    )
    folder = f"{arguments.out}/{arguments.name}-{arguments.scale}"
    if arguments.json:
        print(json.dumps({"title": table.title, "lines": table.lines, "out": folder}))
        return
    lines = [shown(line) for line in table.lines]
    notes = "\n".join([*table.notes, f"Table and figure: {folder}"])
    print(table.title)
    print_table(list(lines[0]), [list(line.values()) for line in lines], notes)


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
