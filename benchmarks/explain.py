"""What taking a network apart costs, against its own forward pass, in one run.

Prints, per model: the best time of `predict` (all examples in one batch) and of
`explain` (batches of its own choice), taken in turns; their ratio in wall and in CPU
seconds (the second bears a busy machine better); and the time for the filters of every
gate. Run: python benchmarks/explain.py
"""

import argparse
import time
from functools import partial

import keras
import numpy as np
from machine import header

import dlgn_keras as dk
from dlgn_keras import interpret

MODELS = {
    "c4gap": lambda: dk.skeletons.c4gap(32),
    "vgg16": lambda: dk.skeletons.vgg16((16, 32, 64, 128, 128)),
    "resnet20": lambda: dk.skeletons.resnet(20),
}


def best_seconds(calls, repeats):
    """Best wall and CPU seconds of each call, taken in turns so that load is shared."""
    for call in calls:
        call()  # not timed: it compiles
    best = [[np.inf, np.inf] for _ in calls]
    for _ in range(repeats):
        for k, call in enumerate(calls):
            wall, processor = time.perf_counter(), time.process_time()
            call()
            spent = time.perf_counter() - wall, time.process_time() - processor
            best[k] = [min(pair) for pair in zip(best[k], spent, strict=True)]
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--models", nargs="*", default=list(MODELS), choices=MODELS)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(given.examples, 32, 32, 3)).astype("float32")
    print(
        f"{header()}\n\n{keras.backend.backend()}, {given.examples} images, 32x32x3\n"
    )
    print("| model | predict (s) | explain (s) | ratio | CPU ratio | filters (CPU s) |")
    print("|---|---|---|---|---|---|", flush=True)
    for name in given.models:
        for family, make in dk.models.FAMILIES.items():
            net = make(MODELS[name](), (32, 32, 3), 10, seed=0)
            predict = partial(net.predict, x, batch_size=len(x), verbose=0)
            explain = partial(interpret.explain, net, x)
            forward, explained = best_seconds((predict, explain), given.repeats)
            filters = "-"
            if family == "dlgn":
                start = time.process_time()
                interpret.all_gate_filters(net)
                filters = f"{time.process_time() - start:.2f}"
            wall, processor = explained[0] / forward[0], explained[1] / forward[1]
            print(
                f"| {family} {name} | {forward[0]:.3f} | {explained[0]:.3f} | "
                f"{wall:.2f} | {processor:.2f} | {filters} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
