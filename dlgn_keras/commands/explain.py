"""dlgn-keras explain: one page with everything exact about a model's answers."""

import argparse
import json
from pathlib import Path

from dlgn_keras.commands.saved import MODEL_HELP, class_names_of, load_model
from dlgn_keras.interpret.report import load_image, report
from dlgn_keras.presets import presets


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--out", default="report.html", help="the page to write")
    parser.add_argument(
        "--twin",
        default=None,
        help="a model to stand beside it; a preset's DNN if left out, or none",
    )
    parser.add_argument("--target", type=int, default=None, help="class to explain")
    parser.add_argument(
        "--classes",
        default=None,
        help="comma-separated names of the classes; default: those of the data set",
    )
    parser.add_argument("--paths", type=int, default=8, help="how many top paths")


def twin_of(name: str) -> str | None:
    """Return the preset of the DNN on the skeleton and data of a preset, if any."""
    table = presets()
    if name not in table.names or table[name].family == "dnn":
        return None
    same = {"skeleton": table[name].skeleton, "data": table[name].data}
    return next((row.name for row in presets(family="dnn", **same)), None)


def run(arguments: argparse.Namespace) -> None:
    net = load_model(arguments.model)
    beside = arguments.twin or twin_of(arguments.model)
    twin = None if beside in (None, "none") else load_model(beside)
    if arguments.classes:
        names = arguments.classes.split(",")
    else:
        names = class_names_of(arguments.model, net)
    page = report(
        net,
        arguments.images,
        arguments.out,
        twin=twin,
        class_names=names,
        target=arguments.target,
        num_paths=arguments.paths,
        name=Path(arguments.model).name,
    )
    if not arguments.json:
        print(f"Wrote {page}")
        return
    rows = []
    for image in arguments.images:
        found = net.explain(load_image(image, net).raw[None], arguments.target)
        rows.append(
            {
                "image": image,
                "target": int(found.target[0]),
                "logits": found.logits[0].tolist(),
                "contributions": float(found.contributions[0].sum()),
                "bias": float(found.bias[0]),
            }
        )
    print(json.dumps({"page": str(page), "images": rows}))
