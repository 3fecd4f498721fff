"""A small vision transformer on MNIST, its DGN and its DLGN, trained alike.

    python benchmarks/modern.py [--seeds 0 1 2] [--epochs 2] [--data-dir FOLDER]

Patches of 7 x 7, two blocks of width 32 (two heads, GELU, twice the width inside), a
mean over the places. `dk.disentangle(model, family,
copy_weights=False)` makes the twins: two networks each, so twice the weights, all drawn
afresh. AdamW, one warm-up and a cosine, batches of 128; nothing was tuned for any of
the three. The accuracy is that of the last epoch on the 10,000 test images. Each run is
written when it is done, into modern/runs/; the same command goes on, and makes
modern/table.md of all runs there are.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import machine
import numpy as np
from keras import layers

import dlgn_keras as dk
from dlgn_keras.tools.files import write_json, write_text
from dlgn_keras.tools.numbers import deviation

HERE = Path(__file__).parent / "modern"
KINDS = ("plain", "dgn", "dlgn")
WIDTH, BLOCKS, BATCH, PEAK = 32, 2, 128, 3e-3
LAST = {"data_format": "channels_last"}


def vit():
    inputs = keras.Input((28, 28, 1))
    x = layers.Rescaling(1 / 64, offset=-0.5)(inputs)
    x = layers.Conv2D(WIDTH, 7, strides=7, **LAST)(x)
    x = layers.Reshape((16, WIDTH))(x)
    x = layers.EinsumDense(  # with a bias for each place
        "btc,cd->btd", (16, WIDTH), bias_axes="td"
    )(x)
    for _ in range(BLOCKS):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(2, WIDTH // 2)(y, y)])
        y = layers.Dense(2 * WIDTH, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(WIDTH)(y)])
    x = layers.GlobalAveragePooling1D(**LAST)(layers.LayerNormalization()(x))
    return keras.Model(inputs, layers.Dense(10)(x), name="vit")


def train(kind, seed, epochs, data):
    """Return what a run gives: accuracies, losses, weights, seconds."""
    keras.utils.set_random_seed(seed)
    net = vit()
    if kind != "plain":
        net = dk.disentangle(net, kind, copy_weights=False)
    steps = epochs * (len(data.x_train) // BATCH)
    rate = keras.optimizers.schedules.CosineDecay(
        PEAK / 10, steps - 200, warmup_target=PEAK, warmup_steps=200
    )
    net.compile(
        keras.optimizers.AdamW(rate, weight_decay=0.01),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    started = time.process_time()
    count = steps // epochs * BATCH
    told = net.fit(
        data.x_train[:count], data.y_train[:count], BATCH, epochs, verbose=0
    ).history
    seconds = time.process_time() - started
    measured = net.evaluate(data.x_test, data.y_test, 500, verbose=0)
    return {
        "kind": kind,
        "seed": seed,
        "epochs": epochs,
        "accuracy": 100 * measured[1],
        "train_accuracy": 100 * told["accuracy"][-1],
        "weights": net.count_params(),
        "seconds": round(seconds),
    }


def report(epochs):
    runs = [json.loads(path.read_text()) for path in sorted(HERE.glob("runs/*.json"))]
    runs = [run for run in runs if run["epochs"] == epochs]
    lines = [
        f"`python benchmarks/modern.py --epochs {epochs}`: accuracy in the last epoch, "
        "mean ± standard deviation over the",
        "seeds. Training accuracy is the mean over that epoch.",
        "",
        machine.header(),
        "",
        "| network | seeds | test accuracy | training accuracy | weights | CPU s |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for kind in KINDS:
        found = [run for run in runs if run["kind"] == kind]
        if not found:
            continue
        test, fitted = (
            np.array([run[name] for run in found])
            for name in ("accuracy", "train_accuracy")
        )
        seeds = ", ".join(str(run["seed"]) for run in found)
        name = "transformer" if kind == "plain" else f"its {kind.upper()}"
        seconds = np.mean([run["seconds"] for run in found])
        lines.append(
            f"| {name} | {seeds} | {test.mean():.2f} ± {deviation(test) or 0:.2f} "
            f"({test.min():.2f} to {test.max():.2f}) | {fitted.mean():.2f} "
            f"| {found[0]['weights']:,} | {seconds:.0f} |"
        )
    write_text(HERE / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1, 2])
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    (HERE / "runs").mkdir(parents=True, exist_ok=True)
    data = dk.data.load("mnist", data_dir=given.data_dir)
    for seed in given.seeds:
        for kind in KINDS:
            path = HERE / "runs" / f"{kind}-{given.epochs}-epochs-seed{seed}.json"
            if not path.is_file():
                found = train(kind, seed, given.epochs, data)
                write_json(path, found)
                print(found, flush=True)
    report(given.epochs)


if __name__ == "__main__":
    main()
