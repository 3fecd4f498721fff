"""dlgn-keras explain: a page with the exact contributions behind a model's answers."""

import argparse
import json
from pathlib import Path

import dlgn_keras as dk
from dlgn_keras.cli.options import add_common_options, whole
from dlgn_keras.cli.saved import MODEL_HELP, load_model

EXAMPLE = "dlgn-keras explain dlgn_fc_mnist seven.png --out report.html"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument(
        "--out", default="report.html", help="page to write (default: %(default)s)"
    )
    parser.add_argument(
        "--twin",
        metavar="MODEL",
        help="model to show beside it, or none (default: a preset's DNN)",
    )
    parser.add_argument(
        "--target",
        type=whole,
        metavar="CLASS",
        help="number of the class to explain (default: the predicted one)",
    )
    parser.add_argument(
        "--classes",
        metavar="NAME,NAME,...",
        help="names of the classes (default: the data set's)",
    )
    parser.add_argument(
        "--paths",
        type=whole,
        metavar="N",
        default=8,
        help="number of top paths (default: %(default)s)",
    )
    add_common_options(parser)


def twin_of(name: str) -> str | None:
    """Return the preset of the DNN on the skeleton and data of a preset, if any."""
    table = dk.presets()
    if name not in table.names or table[name].family == "dnn":
        return None
    kind = ("dnn", table[name].skeleton, table[name].data)
    same = (r.name for r in table if (r.family, r.skeleton, r.data) == kind)
    return next(same, None)


def run(arguments: argparse.Namespace) -> None:
    net = load_model(arguments.model)
    beside = arguments.twin or twin_of(arguments.model)
    twin = None if beside in (None, "none") else load_model(beside)
    if arguments.classes:
        names = arguments.classes.split(",")
    else:
        names = net.about.get("class_names")
    page = dk.interpret.report(
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
        pixels = dk.interpret.load_image(image, net).raw
        found = net.explain(pixels[None], arguments.target)
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
