"""dlgn-keras zoo: list, show, verify and push pretrained models."""

import argparse
import json

from dlgn_keras import data
from dlgn_keras.commands.options import add_data_dir
from dlgn_keras.presets import find, presets, push, verify
from dlgn_keras.presets.files import check_files
from dlgn_keras.presets.find import HEADER, cells
from dlgn_keras.tools.terminal import print_table

ACTIONS = ("list", "show", "verify", "push")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "action",
        choices=ACTIONS,
        help="list presets; show one's accuracy, recipe and origin; verify their "
        "sha256 and golden logits; push one to the hub or a folder",
    )
    parser.add_argument(
        "names",
        nargs="*",
        help="names, folders, https://... or hf://owner/repository; all if none",
    )
    parser.add_argument(
        "--accuracy", action="store_true", help="verify: measure test accuracy too"
    )
    parser.add_argument(
        "--to", default=None, help="push: hf://owner/repository, or a folder"
    )
    parser.add_argument(
        "--private", action="store_true", help="push: make a new repository private"
    )
    add_data_dir(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.action == "show":
        return _show(arguments)
    if arguments.action == "push":
        return _push(arguments)
    if arguments.action == "list" and arguments.names:
        raise ValueError(
            f"`zoo list` takes no names. Received: {' '.join(arguments.names)}; "
            "`zoo show` takes one."
        )
    return _list(arguments) if arguments.action == "list" else _verify(arguments)


def _list(arguments: argparse.Namespace) -> int:
    table = presets()
    if arguments.json:
        rows = [{**row._asdict(), "folder": str(row.folder)} for row in table]
        print(json.dumps(rows))
    elif not table:
        print(table)
    else:
        print_table(HEADER, [cells(row) for row in table])
    return 0


def _show(arguments: argparse.Namespace) -> int:
    if len(arguments.names) != 1:
        raise ValueError(
            f"`zoo show` takes one preset. Received: {len(arguments.names)} names."
        )
    folder = find(arguments.names[0])
    metadata = check_files(folder)
    if arguments.json:
        print(json.dumps(metadata))
        return 0
    results, training = metadata.get("results", {}), metadata.get("training", {})
    rows = [
        ["preset", str(metadata.get("name"))],
        ["what", metadata.get("description", metadata.get("family", ""))],
        ["parameters", f"{metadata.get('parameter_count', 0):,}"],
        ["stored as", str(metadata.get("weights_dtype"))],
    ]
    if results:
        rows += [
            ["test accuracy, last epoch", f"{100 * results['mean']:.2f} %"],
            ["of each seed", ", ".join(f"{a:.4f}" for a in results["test_accuracy"])],
            ["data", metadata["data"]["name"]],
            ["made by", metadata["command"]],
            ["device", training["environment"]["processor"]],
            ["seconds", ", ".join(f"{s:.0f}" for s in training["seconds"])],
        ]
    print_table(["", ""], rows, f"Folder: {folder}")
    return 0


def _push(arguments: argparse.Namespace) -> int:
    if len(arguments.names) != 1 or not arguments.to:
        raise ValueError(
            "`zoo push` takes one preset and --to. "
            f"Received: {len(arguments.names)} names, --to {arguments.to}."
        )
    pushed = push(arguments.names[0], arguments.to, private=arguments.private)
    if arguments.json:
        print(json.dumps(pushed._asdict()))
    else:
        print(f"{pushed.name}: {pushed.files} files, read back whole. Load it by")
        print(f'dk.from_preset("{pushed.address}")')
    return 0


def _verify(arguments: argparse.Namespace) -> int:
    import keras

    wanted = arguments.names or [row.folder for row in presets()]
    if not wanted:
        raise ValueError("No presets. Set DLGN_KERAS_ZOO to a zoo's folder.")
    found, sets = [], {}
    for preset in wanted:
        try:
            dataset = None
            if arguments.accuracy:
                name = check_files(find(preset)).get("data", {}).get("name", "")
                if name not in sets:
                    sets[name] = data.load(name, data_dir=arguments.data_dir)
                dataset = sets[name]
            row = {**verify(preset, dataset)._asdict(), "problem": None}
        except (ValueError, FileNotFoundError) as error:
            row = {"name": str(preset), "problem": " ".join(str(error).split())}
        found.append(row)
        if not arguments.json:
            print(_verified(row), flush=True)
        keras.backend.clear_session()  # or every model so far stays in memory
    good = sum(not row["problem"] for row in found)
    if arguments.json:
        print(json.dumps(found))
    else:
        backend = keras.backend.backend()
        print(f"{good} of {len(found)} presets hold on {backend}.")
    return 0 if good == len(found) else 1


def _verified(row: dict) -> str:
    if row["problem"]:
        return f"{row['name']}: {row['problem']}"
    accuracy = row["accuracy"]
    measured = "" if accuracy is None else f", test accuracy {100 * accuracy:.2f} %"
    return f"{row['name']}: golden logits within {row['golden_error']:.1e}{measured}"
