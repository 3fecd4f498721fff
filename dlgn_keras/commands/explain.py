"""dlgn-keras explain: one page with everything exact about a model's answers."""

import argparse
import json

from dlgn_keras.commands.saved import MODEL_HELP, load_model
from dlgn_keras.interpret.report import load_image, report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument("images", nargs="+", help="image files")
    parser.add_argument("--out", default="report.html", help="the page to write")
    parser.add_argument("--twin", default=None, help="a model to stand beside it")
    parser.add_argument("--target", type=int, default=None, help="class to explain")
    parser.add_argument("--classes", default=None, help="comma-separated class names")
    parser.add_argument("--paths", type=int, default=8, help="how many top paths")


def run(arguments: argparse.Namespace) -> None:
    net = load_model(arguments.model)
    twin = load_model(arguments.twin) if arguments.twin else None
    names = arguments.classes.split(",") if arguments.classes else None
    page = report(
        net,
        arguments.images,
        arguments.out,
        twin=twin,
        class_names=names,
        target=arguments.target,
        num_paths=arguments.paths,
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
