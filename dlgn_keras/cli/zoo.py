"""dlgn-keras zoo: list, show, verify and push pretrained models."""

import argparse
import json
from typing import Any

import dlgn_keras as dk
from dlgn_keras.cli.options import add_common_options, add_data_dir
from dlgn_keras.tools.numbers import percent
from dlgn_keras.tools.terminal import print_table

EXAMPLE = "dlgn-keras zoo show dlgn_fc_mnist"
PRESET_HELP = "a name, a folder, https://... or hf://owner/repository"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    def add(action: Any, text: str, example: str) -> argparse.ArgumentParser:
        name = action.__name__.strip("_")
        one = actions.add_parser(
            name,
            help=text,
            description=f"{text[0].upper()}{text[1:]}.",
            epilog=f"example: dlgn-keras zoo {name}{example}",
        )
        one.set_defaults(action=action)
        return one

    rows = add(_list, "list the presets", " --family dlgn --data mnist")
    rows.add_argument("--family", help="dnn, dgn or dlgn only")
    rows.add_argument("--data", help="presets trained on this data set only")
    add_common_options(rows)
    show = add(_show, "show a preset's accuracy, recipe and origin", " dlgn_fc_mnist")
    show.add_argument("preset", help=PRESET_HELP)
    add_common_options(show)
    verify = add(
        _verify,
        "check sha256 and golden logits of presets",
        " dlgn_fc_digits --accuracy",
    )
    verify.add_argument("presets", nargs="*", help=f"{PRESET_HELP}; all if none")
    verify.add_argument(
        "--accuracy", action="store_true", help="measure the test accuracy too"
    )
    add_data_dir(verify)
    add_common_options(verify)
    push = add(
        _push,
        "copy a preset to the hub or to a folder",
        " runs/preset --to hf://owner/repository",
    )
    push.add_argument("preset", help=PRESET_HELP)
    push.add_argument("--to", required=True, help="hf://owner/repository, or a folder")
    push.add_argument(
        "--private", action="store_true", help="make a new repository private"
    )
    add_common_options(push)


def run(arguments: argparse.Namespace) -> int | None:
    return arguments.action(arguments)


def _list(arguments: argparse.Namespace) -> None:
    from dlgn_keras.presets.find import HEADER, cells

    wanted = {"family": arguments.family, "data": arguments.data}
    table = dk.presets(**{k: v for k, v in wanted.items() if v is not None})
    if arguments.json:
        rows = [{**row._asdict(), "folder": str(row.folder)} for row in table]
        print(json.dumps(rows))
    elif not table:
        print(table)
    else:
        print_table(HEADER, [cells(row) for row in table])


def _show(arguments: argparse.Namespace) -> None:
    from dlgn_keras.presets.files import check_files
    from dlgn_keras.presets.find import find

    folder = find(arguments.preset)
    metadata = check_files(folder)
    if arguments.json:
        print(json.dumps(metadata))
        return
    results, training = metadata.get("results", {}), metadata.get("training", {})
    recipe, data = metadata.get("recipe", {}), metadata.get("data", {})
    rows = [
        ["preset", str(metadata.get("name"))],
        ["what", metadata.get("description", metadata.get("family", ""))],
        ["parameters", f"{metadata.get('parameter_count', 0):,}"],
        ["stored as", str(metadata.get("weights_dtype"))],
        ["saved", str(metadata.get("date_saved"))],
    ]
    if recipe:
        rows.append(["recipe", recipe_text(recipe)])
    if "input_shape" in data:
        limits = data.get("raw_range")
        between = f", raw values {limits[0]:g} to {limits[1]:g}" if limits else ""
        shape = ", ".join(map(str, data["input_shape"]))
        rows.append(["input", f"(n, {shape}){between}"])
    if "class_names" in data:
        names = data["class_names"]
        more = f", ... ({len(names)})" if len(names) > 10 else ""
        rows.append(["classes", ", ".join(names[:10]) + more])
    if results:
        rows += [
            ["test accuracy, last epoch", f"{percent(results['mean'])} %"],
            ["of each seed", ", ".join(f"{a:.4f}" for a in results["test_accuracy"])],
            ["data", data["name"]],
            ["made by", metadata["command"]],
            ["commit", training["environment"].get("commit", "unknown")],
            ["device", training["environment"]["processor"]],
            ["seconds", ", ".join(f"{s:.0f}" for s in training["seconds"])],
        ]
    print_table(["", ""], rows, f"Folder: {folder}")


def recipe_text(recipe: dict) -> str:
    """Return a recipe in one line: skeleton, regime, optimizer and length."""
    skeleton = recipe["skeleton"]
    parts = [
        skeleton if isinstance(skeleton, str) else f"{skeleton['name']} (own stages)",
        recipe["regime"],
        f"{recipe['epochs']} epochs of {recipe['optimizer']}",
        f"{recipe['schedule']} to {recipe['learning_rate']:g}",
        f"batch {recipe['batch_size']}",
        f"augmentation {recipe['augmentation']}",
    ]
    return ", ".join(parts)


def _push(arguments: argparse.Namespace) -> None:
    from dlgn_keras.presets import push

    pushed = push(arguments.preset, arguments.to, private=arguments.private)
    if arguments.json:
        print(json.dumps(pushed._asdict()))
    else:
        print(f"{pushed.name}: {pushed.files} files, read back whole. Load it by")
        print(f'dk.from_preset("{pushed.address}")')


def _verify(arguments: argparse.Namespace) -> int:
    import keras

    from dlgn_keras.presets import find, verify
    from dlgn_keras.presets.files import check_files

    wanted = arguments.presets or [row.folder for row in dk.presets()]
    if not wanted:
        raise ValueError("No presets. Set DLGN_KERAS_ZOO to a zoo's folder.")
    found, sets = [], {}
    for preset in wanted:
        try:
            dataset = None
            if arguments.accuracy:
                name = check_files(find(preset)).get("data", {}).get("name", "")
                if name not in sets:
                    sets[name] = dk.data.load(name, data_dir=arguments.data_dir)
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
    measured = "" if accuracy is None else f", test accuracy {percent(accuracy)} %"
    return f"{row['name']}: golden logits within {row['golden_error']:.1e}{measured}"
