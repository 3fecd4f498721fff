"""Attributions scored by Quantus, on nets of scikit-learn's digits.

    pip install 'dlgn-keras[quantus]'
    KERAS_BACKEND=torch python benchmarks/quantus_table.py > benchmarks/quantus.md

The first test images that all nets classify rightly, the same for all; mean and half of
the 95 % interval over images.
"""

import sys

import numpy as np

import dlgn_keras as dk
from dlgn_keras.interpret import quantus_scores
from dlgn_keras.interpret.by_quantus import MEASURES
from dlgn_keras.interpret.faithfulness import interval
from dlgn_keras.tools.terminal import markdown_table

PRESETS = ("dnn_conv_digits", "dgn_conv_digits", "dlgn_conv_digits")
IMAGES = 40


def main():
    digits = dk.data.load("digits")
    nets = {name: dk.from_preset(name) for name in PRESETS}
    right = np.ones(len(digits.y_test), bool)
    for net in nets.values():
        right &= net.predict(digits.x_test, verbose=0).argmax(1) == digits.y_test
    rows = np.flatnonzero(right)[:IMAGES]
    x, y = digits.x_test[rows].astype("float32"), digits.y_test[rows]
    lines = []
    for name, net in nets.items():
        print(name, file=sys.stderr)
        for method, scores in quantus_scores(net, x, y).items():
            lines.append([name, method, *(shown(scores[m]) for m in MEASURES)])
    print(markdown_table(["net", "method", *MEASURES], lines))


def shown(values):
    found = interval(values[np.isfinite(values)])
    return f"{found.mean:.3g} ± {found.high - found.mean:.2g}"


if __name__ == "__main__":
    main()
