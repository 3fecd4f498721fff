"""Time of a training step and of inference, DGN and DLGN over their DNN twin.

    python benchmarks/train_step.py --backend jax

Each family takes its turn in every round of one run, so that what else the
machine does hits all alike; a ratio is taken within a round, and the table
shows the median over the rounds and their quartiles. A gated network is two
trunks: a training step costs at least 2.0 times its twin's. At inference a dense
DLGN's gates may come from one matrix product (`dk.collapse`): inputs times all units,
which is less than a second trunk where there are fewer inputs than units in a layer.

`--clock processor` counts the seconds that this process had a processor, all its
threads together: on a machine that others use, waiting for them is no cost of ours.
"""

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

FAMILIES = ("dnn", "dgn", "dlgn")
# name: skeleton by text, input shape, batch size.
SETUPS = {
    "fc": ("fc:depth=4,width=512", (784,), 512),
    "fc-digits": ("fc:depth=4,width=512", (64,), 512),
    "c4gap": ("c4gap:width=32", (16, 16, 3), 64),
    "resnet20": ("resnet20", (16, 16, 3), 32),
}
Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--skeletons", default=",".join(SETUPS))
    parser.add_argument("--seconds", type=float, default=40, help="time per skeleton")
    parser.add_argument("--clock", choices=CLOCKS, default="wall")
    arguments = parser.parse_args()
    if arguments.backend:
        os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from machine import header, print_table

    rows = []
    for name in arguments.skeletons.split(","):
        rows.append(measure(name, arguments.seconds, CLOCKS[arguments.clock]))
    print(f"\n{header()}; {arguments.clock} time\n")
    columns = ["DNN ms", "DGN / DNN", "DLGN / DNN"]
    head = ["skeleton", "input", "batch"]
    head += [f"step: {c}" for c in columns] + [f"inference: {c}" for c in columns]
    print_table([*head, "inference: collapsed DLGN / DNN", "rounds"], rows)


def measure(name: str, seconds: float, clock: Clock) -> list[str]:
    """Return the table's row of a skeleton."""
    import keras
    import numpy as np
    from machine import spread

    import dlgn_keras as dk

    text, shape, batch = SETUPS[name]
    skeleton = dk.skeletons.parse(text)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, *shape)).astype("float32")
    y = rng.integers(0, 10, batch).astype("int32")
    models: dict[str, Any] = {}
    for family in FAMILIES:
        net = dk.models.FAMILIES[family](skeleton, shape, num_classes=10, seed=0)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        net.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss)
        models[family] = net
    if "fc" in name:
        models["collapsed"] = dk.collapse(models["dlgn"])

    def step(family: str) -> None:
        models[family].train_on_batch(x, y)  # returns floats: the device is done

    def infer(family: str) -> None:
        models[family].predict_on_batch(x)  # an array, likewise

    # Inference first: training moves the weights that a collapsed model copied.
    inference = rounds(infer, tuple(models), seconds / 4, clock)
    training = rounds(step, FAMILIES, seconds, clock)
    shown = [name, "x".join(map(str, shape)), str(batch)]
    for times in (training, inference):
        shown.append(spread([1e3 * t for t in times["dnn"]], 1))
        shown += [spread(ratios(times, family)) for family in ("dgn", "dlgn")]
    collapsed = spread(ratios(inference, "collapsed")) if "fc" in name else ""
    return [*shown, collapsed, str(len(training["dnn"]))]


def rounds(
    run: Any, names: tuple[str, ...], seconds: float, clock: Clock
) -> dict[str, list[float]]:
    """Time one run of each in turn, the order rotating, for so many seconds."""
    for name in names:
        run(name)  # compiles
        run(name)
    times: dict[str, list[float]] = {name: [] for name in names}
    end, number = clock() + seconds, 0
    while clock() < end or number < 5:
        for k in range(len(names)):
            name = names[(number + k) % len(names)]
            started = clock()
            run(name)
            times[name].append(clock() - started)
        number += 1
    return times


def ratios(times: dict[str, list[float]], family: str) -> list[float]:
    return [a / b for a, b in zip(times[family], times["dnn"], strict=True)]


if __name__ == "__main__":
    main()
