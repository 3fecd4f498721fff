"""dlgn-keras explain: a page with the exact contributions behind a model's answers."""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import dlgn_keras as dk
from dlgn_keras.cli.options import (
    add_common_options,
    add_data_dir,
    add_number,
    names_of,
    number,
    reader,
    whole,
)
from dlgn_keras.cli.saved import MODEL_HELP, data_for, load_model
from dlgn_keras.tools.numbers import percent

if TYPE_CHECKING:
    from dlgn_keras.interpret.contributions import Model

EXAMPLE = "dlgn-keras explain dlgn_fc_mnist seven.png --out report.html"
NUMBER = 3  # of a preset's golden images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument(
        "images",
        nargs="*",
        help=f"image files (default: {NUMBER} images that the preset holds)",
    )
    parser.add_argument("--data", help="explain test examples of this data set")
    parser.add_argument(
        "--index",
        metavar="N,N,...",
        default="0",
        help="numbers of the test examples, with --data",
    )
    add_data_dir(parser)
    parser.add_argument("--out", default="report.html", help="page to write")
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
        "--at",
        default="input",
        metavar="SITE",
        help="where to take the contributions: input, auto, or a site such as conv_4",
    )
    parser.add_argument(
        "--against",
        type=class_or_next,
        metavar="CLASS",
        help="class whose logit is subtracted, or next for the runner-up",
    )
    parser.add_argument(
        "--mode",
        choices=("hard", "soft"),
        help="gates of the value network (default: the model's own)",
    )
    parser.add_argument(
        "--beta", type=number, metavar="X", help="slope of the gates of --mode soft"
    )
    parser.add_argument(
        "--classes",
        metavar="NAME,NAME,...",
        help="names of the classes (default: the data set's)",
    )
    add_number(parser, "--paths", 8, "number of top paths")
    add_common_options(parser)


def class_or_next(text: str) -> Any:
    """Return the number of a class, or "next"."""
    return text if text == "next" else whole(text)


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
    titles, x = inputs_of(arguments, net)
    page = dk.interpret.report(
        net,
        arguments.images or x,
        arguments.out,
        twin=twin,
        class_names=names,
        target=arguments.target,
        num_paths=arguments.paths,
        name=Path(arguments.model).name,
        at=arguments.at,
        against=arguments.against,
        mode=arguments.mode,
        beta=arguments.beta,
    )
    found = net.explain(
        x,
        arguments.target,
        arguments.at,
        arguments.against,
        mode=arguments.mode,
        beta=arguments.beta,
    )
    unlike = net.cautions(x)
    if not arguments.json:
        for title, best, caution in zip(
            titles, net.decode_predictions(found.own_logits, top=2), unlike, strict=True
        ):
            print(f"{title}: {', then '.join(map(answer_text, best))}")
            if caution:
                print(f"  Caution: {caution}.")
        print(f"Wrote {page}")
        return
    rows = [
        {
            "image": title,
            "target": int(found.target[i]),
            "against": None if found.against is None else int(found.against[i]),
            "at": found.at,
            "gates": found.gates or None,
            "logits": found.logits[i].tolist(),
            "contributions": float(found.contributions[i].sum(dtype="float64")),
            "bias": float(found.bias[i]),
            "skipped": float(found.skipped[i]),
            "residual": None if np.isnan(found.residual[i]) else found.residual[i],
            "caution": unlike[i],
        }
        for i, title in enumerate(titles)
    ]
    print(json.dumps({"page": str(page), "images": rows}))


def answer_text(answer: Any) -> str:
    """Return a class with its logit and probability, or an output and its number."""
    if answer.probability != answer.probability:  # NaN: a number, no class
        return f"{answer.name} {answer.logit:.4g}"
    share = percent(answer.probability)
    return f"{answer.name} (logit {answer.logit:.2f}, {share} %)"


def label_text(dataset: dk.data.Dataset, k: int) -> str:
    """Return the class of a test example, or its numbers."""
    label = dataset.y_test[k]
    if dataset.targets == "numbers":
        return ", ".join(f"{value:.4g}" for value in np.ravel(label))
    return dataset.class_names[label]


def inputs_of(
    arguments: argparse.Namespace, net: "Model"
) -> tuple[list[str], np.ndarray]:
    """Return titles and raw inputs: files, test examples or a preset's goldens."""
    from dlgn_keras.presets.files import GOLDEN
    from dlgn_keras.presets.find import find
    from dlgn_keras.presets.verify import read_golden

    if arguments.images:
        if arguments.data:
            raise ValueError(
                "Give image files or --data, not both. "
                f"Received: {arguments.images[0]!r} and --data {arguments.data}."
            )
        files = arguments.images
        return files, np.stack([dk.interpret.load_image(f, net).raw for f in files])
    if arguments.data:
        dataset = data_for(net, arguments.data, arguments)
        indices = [reader(int, "numbers")(part) for part in names_of(arguments.index)]
        last = len(dataset.y_test) - 1
        if not indices or not all(0 <= k <= last for k in indices):
            raise ValueError(
                f"`--index` must be numbers from 0 to {last}. "
                f"Received: --index {arguments.index}."
            )
        titles = [f"{arguments.data} {k} ({label_text(dataset, k)})" for k in indices]
        return titles, dataset.x_test[indices].astype("float32")
    if net.preset is None:
        raise ValueError(
            f"Give image files, or --data, to explain {arguments.model!r}. "
            "Received: neither."
        )
    x = read_golden(find(arguments.model) / GOLDEN).inputs[:NUMBER]
    return [f"golden {k}" for k in range(len(x))], x.astype("float32")
