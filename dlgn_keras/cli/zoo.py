"""dlgn-keras zoo: list, show, verify, save and push pretrained models."""

import argparse
import contextlib
import json
import sys
import warnings
from typing import Any

import dlgn_keras as dk
from dlgn_keras.cli.options import add_common_options, add_data_dir, data_options
from dlgn_keras.cli.saved import data_for, data_of
from dlgn_keras.data.scores import loss_of
from dlgn_keras.tools.messages import one_line
from dlgn_keras.tools.numbers import FIGURES, percent
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
    save = add(_save, "save a run as a preset", " runs/mine --to presets/mine")
    save.add_argument("model", help="a run folder")
    save.add_argument("--to", required=True, help="folder; its name is the preset's")
    save.add_argument(
        "--half", action="store_true", help="store float16, half the size"
    )
    add_data_dir(save)
    add_common_options(save)
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
    with warnings.catch_warnings(record=True) as left_out:
        warnings.simplefilter("always")
        table = dk.presets(**{k: v for k, v in wanted.items() if v is not None})
    for warning in left_out:
        print(warning.message, file=sys.stderr)
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
    facts = {name: text for name, text in facts_of(metadata).items() if text}
    print_table(["", ""], [[*fact] for fact in facts.items()], f"Folder: {folder}")


def facts_of(metadata: dict) -> dict[str, str]:
    """Return what the metadata say, by title; "" where they say nothing."""
    data, results = metadata.get("data", {}), metadata.get("results", {})
    training = metadata.get("training", {})
    environment = training.get("environment", {})
    shape, limits = data.get("input_shape"), data.get("raw_range")
    between = f", raw values {limits[0]:g} to {limits[1]:g}" if limits else ""
    names = data.get("class_names", [])
    more = f", ... ({len(names)})" if len(names) > 10 else ""
    mean = results.get("mean")
    return {
        "preset": metadata.get("name", ""),
        "what": metadata.get("description", metadata.get("family", "")),
        "parameters": f"{metadata.get('parameter_count', 0):,}",
        "stored as": metadata.get("weights_dtype", ""),
        "saved": metadata.get("date_saved", ""),
        "recipe": recipe_text(metadata.get("recipe", {})),
        "input": f"(n, {', '.join(map(str, shape))}){between}" if shape else "",
        "classes": ", ".join(names[:10]) + more,
        "test accuracy, last epoch": "" if mean is None else f"{percent(mean)} %",
        "of each seed": ", ".join(f"{a:.4f}" for a in results.get("test_accuracy", ())),
        "data": data.get("name", ""),
        "made by": metadata.get("command", ""),
        "commit": environment.get("commit", "unknown" if environment else ""),
        "device": environment.get("processor", ""),
        "seconds": ", ".join(f"{s:.0f}" for s in training.get("seconds", ())),
    }


def recipe_text(recipe: dict) -> str:
    """Return a recipe in one line: skeleton, regime, optimizer and length."""
    skeleton = recipe.get("skeleton", "")
    own = f"{skeleton.get('name')} (own stages)" if isinstance(skeleton, dict) else ""
    patterns = (
        "{regime}",
        "{epochs} epochs of {optimizer}",
        "{schedule} to {learning_rate:g}",
        "batch {batch_size}",
        "augmentation {augmentation}",
    )
    parts: list[Any] = [own or skeleton]
    for pattern in patterns:
        with contextlib.suppress(KeyError):  # what the recipe does not say
            parts.append(pattern.format(**recipe))
    return ", ".join(part for part in parts if part)


def _save(arguments: argparse.Namespace) -> None:
    """Save a run's model with its recipe, examples and measured accuracy."""
    from dlgn_keras.training.recipe import from_dict

    result = dk.training.Result.load(arguments.model)
    net = dk.training.load_trained(arguments.model)
    recipe = from_dict(result.recipe)
    dataset = dk.training.load_data(recipe, **data_options(arguments))
    figures = dk.training.evaluate(net, dataset.x_test, dataset.y_test)
    folder = net.save_to_preset(
        arguments.to,
        dtype="float16" if arguments.half else "float32",
        examples=dataset.x_test[:8],
        metadata={
            "recipe": result.recipe,
            "terms": dataset.terms,
            "results": {"stored_weights": figures[recipe.score]},
        },
    )
    if arguments.json:
        print(json.dumps({"folder": str(folder), **figures}))
    else:
        print(f'{folder}: load it by dk.from_preset("{folder}")')


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

    from dlgn_keras.presets import verify
    from dlgn_keras.presets.find import preset_folders

    wanted = arguments.presets or list(preset_folders().values())
    if not wanted:
        raise ValueError("No presets. Set DLGN_KERAS_ZOO to a zoo's folder.")
    found, sets = [], {}
    for preset in wanted:
        try:
            dataset = None
            if arguments.accuracy:
                net = dk.from_preset(preset)
                key = (data_of(str(preset), None), net.input_shape, loss_of(net))
                if key not in sets:
                    sets[key] = data_for(net, key[0], arguments)
                dataset = sets[key]
            row = {**verify(preset, dataset)._asdict(), "problem": None}
        except (ValueError, FileNotFoundError) as error:
            row = {"name": str(preset), "problem": one_line(error)}
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
    what = FIGURES[row["score"]]
    measured = "" if accuracy is None else f", test {what} {percent(accuracy)} %"
    return f"{row['name']}: golden logits within {row['golden_error']:.1e}{measured}"
