"""dlgn-keras kernel: the gates of trained models, measured as kernels."""

import argparse
import json

import dlgn_keras as dk
from dlgn_keras.cli.options import add_common_options, add_data_dir, add_number
from dlgn_keras.cli.saved import MODEL_HELP, data_for, data_of, load_model
from dlgn_keras.tools.files import make_folder, write_atomically, write_json
from dlgn_keras.tools.numbers import percent
from dlgn_keras.tools.terminal import print_table

EXAMPLE = "dlgn-keras kernel dnn_fc_digits dlgn_fc_digits"
SOLVERS = ("ridge", "svm", "features")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", help=MODEL_HELP)
    parser.add_argument(
        "--data", help="data set (default: the one the model was trained on)"
    )
    add_data_dir(parser)
    for name, default, text in (
        ("train", 1000, "training examples"),
        ("test", 1000, "test examples"),
        ("alpha", 1e-3, "ridge penalty"),
        ("features", 2048, "random path features"),
        ("gram", 200, "examples in the compared Grams"),
        ("seed", 0, "seed of the random gates"),
    ):
        add_number(parser, f"--{name}", default, text)
    parser.add_argument(
        "--solver", default=SOLVERS[0], choices=SOLVERS, help="classifier on the kernel"
    )
    parser.add_argument("--out", default="runs/kernel", help="folder for the results")
    add_common_options(parser)


def run(arguments: argparse.Namespace) -> None:
    nets = {name: load_model(name) for name in arguments.models}
    name = data_of(arguments.models[0], arguments.data)
    dataset = data_for(next(iter(nets.values())), name, arguments)
    dataset = dataset.take(
        min(arguments.train, len(dataset.y_train)),
        min(arguments.test, len(dataset.y_test)),
    )
    out = make_folder(arguments.out)
    found = dk.kernels.study(
        nets,
        (dataset.x_train, dataset.y_train),
        (dataset.x_test, dataset.y_test),
        solver=arguments.solver,
        alpha=arguments.alpha,
        num_features=arguments.features,
        gram_size=arguments.gram,
        seed=arguments.seed,
        progress=not arguments.json,
    )
    found = {"data": name, **found, "environment": dk.training.environment()}
    write_json(out / "kernel.json", found)
    write_atomically(
        out / "kernel.png", lambda part: dk.kernels.draw_study(found, part)
    )
    if arguments.json:
        print(json.dumps(found))
        return
    rows = [
        [row["model"], row["classifier"], percent(row["accuracy"])]
        for row in found["accuracy"]
    ]
    print_table(["gates of", "classifier", "test accuracy (%)"], rows)
    kernels = [
        [model, f"{row['label_alignment']:.4f}", f"{row['effective_rank']:.1f}"]
        for model, row in found["kernels"].items()
    ]
    header = ["gates of", "alignment with labels", "effective rank"]
    print_table(header, kernels, f"Results and figure: {out}")
