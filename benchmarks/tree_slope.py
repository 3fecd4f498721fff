"""Choose the gates' slope of DLGNTreeClassifier by held-out rows of planted trees.

    python benchmarks/tree_slope.py > benchmarks/tree_slope.md

Every tree labels 6,000 points on a sphere; in half of the sets a tenth of the labels is
flipped. The score is `validation_score_`: rows that `fit` holds out, never a test part.
"""

import machine
import numpy as np

import dlgn_keras as dk
from dlgn_keras.estimators.base import enough_steps

SLOPES = (1.0, 2.0, 4.0, 8.0)
SHAPES = ((10, 3), (20, 4), (20, 3), (40, 3))  # features, depth
FLIPPED = (0.0, 0.1)
ROWS = 6000


def score(slope, features, depth, flipped, seed):
    x, y, _ = dk.data.sample_oblique_tree(ROWS, features, depth, seed=seed)
    wrong = np.random.default_rng(seed).random(ROWS) < flipped
    network = dk.DLGNClassifier(
        4, 10, shallow=True, beta=slope, label_smoothing=0.1, **enough_steps(ROWS)
    )
    model = dk.DLGNTreeClassifier(depth, estimator=network, random_state=seed)
    return model.fit(x, np.where(wrong, 1 - y, y)).validation_score_


def main():
    print("# The slope of DLGNTreeClassifier\n")
    print("    python benchmarks/tree_slope.py\n")
    print(machine.header() + ". Validation accuracy, %.\n")
    lines = []
    for seed, (features, depth) in enumerate(SHAPES):
        for flipped in FLIPPED:
            found = [100 * score(s, features, depth, flipped, seed) for s in SLOPES]
            facts = [str(features), str(depth), f"{flipped:.0%}"]
            lines.append([*facts, *(f"{value:.1f}" for value in found)])
    means = np.mean([[float(v) for v in line[3:]] for line in lines], axis=0)
    lines.append(["mean", "", "", *(f"{value:.2f}" for value in means)])
    head = ["features", "depth", "flipped", *(f"slope {s:g}" for s in SLOPES)]
    machine.print_table(head, lines)


if __name__ == "__main__":
    main()
