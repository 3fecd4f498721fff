"""dlgn-keras evaluate: accuracy and loss of a saved model."""

import argparse
import json

import dlgn_keras as dk
from dlgn_keras.cli.options import add_common_options, add_data_dir
from dlgn_keras.cli.saved import MODEL_HELP, data_for, data_of, load_model
from dlgn_keras.data.scores import check_outputs_fit
from dlgn_keras.tools.numbers import FIGURES, percent
from dlgn_keras.tools.terminal import print_table

EXAMPLE = "dlgn-keras evaluate dlgn_fc_mnist"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", help=MODEL_HELP)
    parser.add_argument(
        "--data", help="data set (default: the one the model was trained on)"
    )
    add_data_dir(parser)
    parser.add_argument(
        "--split", default="test", choices=("train", "test"), help="part to measure"
    )
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> None:
    net = load_model(arguments.model)
    name = data_of(arguments.model, arguments.data)
    dataset = data_for(net, name, arguments)
    x = getattr(dataset, f"x_{arguments.split}")
    y = getattr(dataset, f"y_{arguments.split}")
    check_outputs_fit(net, dataset)
    if dataset.input_shape != net.input_shape[1:]:
        raise ValueError(
            f"`--data` must have inputs of the model's shape {net.input_shape[1:]}. "
            f"Received: {name} with {dataset.input_shape}."
        )
    figures = dk.training.evaluate(net, x, y)
    record = {"model": arguments.model, "data": name, "split": arguments.split}
    if arguments.json:
        print(json.dumps({**record, "examples": len(y), **figures}))
        return
    score = next(iter(figures))
    loss = "squared error" if score == "r2" else "cross-entropy"
    rows = [
        ["model", arguments.model],
        ["data", f"{name}, {arguments.split}, {len(y):,} examples"],
        [FIGURES[score], f"{percent(figures[score])} %"],
        [loss, f"{figures['loss']:.4f}"],
    ]
    print_table(["", ""], rows)
