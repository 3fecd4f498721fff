"""dlgn-keras kernel: what the gates of trained models are worth, as kernels."""

import argparse
import json

from dlgn_keras import data
from dlgn_keras.commands.options import add_data_dir
from dlgn_keras.commands.saved import MODEL_HELP, data_of, load_model
from dlgn_keras.kernels import draw_study, study
from dlgn_keras.tools.files import make_folder, write_atomically, write_json
from dlgn_keras.tools.terminal import print_table
from dlgn_keras.training import environment


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", help=MODEL_HELP)
    parser.add_argument("--data", default=None, help="data set")
    add_data_dir(parser)
    parser.add_argument("--train", type=int, default=1000, help="training examples")
    parser.add_argument("--test", type=int, default=1000, help="test examples")
    parser.add_argument("--solver", default="ridge", help="ridge, svm or features")
    parser.add_argument("--alpha", type=float, default=1e-3, help="ridge penalty")
    parser.add_argument("--features", type=int, default=2048, help="path features")
    parser.add_argument("--gram", type=int, default=200, help="examples compared")
    parser.add_argument("--seed", type=int, default=0, help="of the random gates")
    parser.add_argument("--out", default="runs/kernel", help="folder for the results")


def run(arguments: argparse.Namespace) -> None:
    nets = {name: load_model(name) for name in arguments.models}
    name = data_of(arguments.models[0], arguments.data)
    dataset = data.load(name, data_dir=arguments.data_dir)
    dataset = dataset.take(
        min(arguments.train, len(dataset.y_train)),
        min(arguments.test, len(dataset.y_test)),
    )
    out = make_folder(arguments.out)
    found = study(
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
    found = {"data": name, **found, "environment": environment()}
    write_json(out / "kernel.json", found)
    write_atomically(out / "kernel.png", lambda part: draw_study(found, part))
    if arguments.json:
        print(json.dumps(found))
        return
    rows = [
        [row["model"], row["classifier"], f"{100 * row['accuracy']:.2f}"]
        for row in found["accuracy"]
    ]
    print_table(["gates of", "classifier", "test accuracy (%)"], rows)
    kernels = [
        [model, f"{row['label_alignment']:.4f}", f"{row['effective_rank']:.1f}"]
        for model, row in found["kernels"].items()
    ]
    header = ["gates of", "alignment with labels", "effective rank"]
    print_table(header, kernels, f"Results and figure: {out}")
