"""Predict with an oblique tree, beside scikit-learn's tree of the same depth.

    python benchmarks/tree_predict.py > benchmarks/tree_predict.md

Both trees ask until their last level. They take turns, so that what else the machine
does meets both; a ratio is that of two turns beside each other, in processor time.
"""

import statistics
import time

import machine
import numpy as np
from sklearn.tree import DecisionTreeClassifier

import dlgn_keras as dk
from dlgn_keras.data.routing import Routing

SIZES = ((20_000, 20), (20_000, 57), (2000, 10))
DEPTHS = (2, 4, 6, 8)
TURNS = 60


def trees(rows, features, depth):
    """Return rows, scikit-learn's tree and ours, of full depth."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(rows, features))
    full = dk.data.ObliqueTree(
        rng.normal(size=(2**depth - 1, features)),
        rng.normal(size=2**depth - 1) / 3,
        np.arange(2**depth) % 2,
    )
    y = full.predict(x)
    theirs = DecisionTreeClassifier(max_depth=depth, random_state=0).fit(x, y)
    ours = dk.DLGNTreeClassifier(depth)  # the tree is given, not found
    ours.n_features_in_, ours.classes_ = features, np.arange(2)
    ours.tree_, ours.value_ = full, np.eye(2)[full.leaf_labels]
    ours._routing = Routing(full.normals, full.biases, dtype=np.float32)
    assert (ours.predict(x) == y).mean() > 0.999
    return x, theirs, ours


def seconds(model, x):
    started = time.process_time()
    model.predict(x)
    return time.process_time() - started


def main():
    print("# Prediction with an oblique tree\n")
    print("    python benchmarks/tree_predict.py\n")
    print(machine.header() + f". {TURNS} turns; median (quartiles).\n")
    lines = []
    for rows, features in SIZES:
        for depth in DEPTHS:
            x, theirs, ours = trees(rows, features, depth)
            turns = [(seconds(theirs, x), seconds(ours, x)) for _ in range(TURNS)]
            medians = (statistics.median(column) for column in zip(*turns, strict=True))
            ratio = machine.spread([mine / other for other, mine in turns])
            facts = [f"{rows:,} x {features}", str(depth)]
            lines.append([*facts, *(f"{1e3 * m:.2f}" for m in medians), ratio])
    head = ["rows", "depth", "scikit-learn, ms", "ours, ms", "ratio"]
    machine.print_table(head, lines)


if __name__ == "__main__":
    main()
