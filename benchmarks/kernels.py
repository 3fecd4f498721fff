"""What kernels cost: `python benchmarks/kernels.py` measures and writes kernels.md.

Every section runs in a process of its own, for its peak memory; `--section NAME`
measures one of them anew. Ratios compare runs of one process. On a shared machine
elapsed time says little: processor seconds of all threads stand beside it.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
RESULTS = HERE / "kernels.json"


class Clock:
    """Elapsed and processor seconds, and the growth of the process's memory."""

    def __enter__(self):
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *error):
        self.wall = time.perf_counter() - self._wall
        self.cpu = time.process_time() - self._cpu


def peak_gib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def fc():
    """Exact FC Gram against NumPy's matrix products of the same sizes."""
    import dlgn_keras as dk

    rng = np.random.default_rng(0)
    net = dk.DNN(dk.skeletons.fc(), (784,), num_classes=10, seed=0)
    x, y = rng.normal(size=(2, 4000, 784)).astype("float32")
    factors = [
        [v.astype(float), w.astype(float)]
        for v, w in zip(
            [x, *net.gates(x).values()], [y, *net.gates(y).values()], strict=True
        )
    ]
    best = {"npk": np.inf, "NumPy": np.inf}
    for _ in range(5):
        with Clock() as clock:
            dk.kernels.npk(net, x, y, progress=False)
        best["npk"] = min(best["npk"], clock.cpu)
        with Clock() as clock:
            product = factors[0][0] @ factors[0][1].T
            for a, b in factors[1:]:
                product *= a @ b.T
        best["NumPy"] = min(best["NumPy"], clock.cpu)
    return {
        "what": "fc(5, 128), 784 inputs, 4000 against 4000, gates included",
        "npk, processor s": best["npk"],
        "NumPy, processor s": best["NumPy"],
        "ratio (target 1.5)": best["npk"] / best["NumPy"],
    }


def conv(size, number):
    """Exact C4GAP Gram: time per pair, peak memory."""
    import dlgn_keras as dk

    rng = np.random.default_rng(0)
    shape = (size, size, 3)
    net = dk.DNN(dk.skeletons.c4gap(32), shape, num_classes=10, seed=0)
    x, y = rng.normal(size=(2, number, *shape)).astype("float32")
    dk.kernels.npk(net, x[:1], y[:1], progress=False)
    with Clock() as clock:
        dk.kernels.npk(net, x, y, progress=False)
    return {
        "what": f"c4gap(32), {size}x{size} images, {number} against {number}",
        "elapsed s": clock.wall,
        "processor s": clock.cpu,
        "processor ms a pair": 1e3 * clock.cpu / number**2,
        "peak GiB": peak_gib(),
    }


def trained(skeleton, name, number, epochs):
    import keras

    import dlgn_keras as dk

    data = dk.data.load(name)
    x = np.asarray(data.x_train[:number]).astype("float32")
    x = x.reshape(number, *x.shape[1:]) / (255 if x.max() > 16 else 16)
    keras.utils.set_random_seed(0)
    net = dk.DNN(skeleton, x.shape[1:], num_classes=10, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
    y = np.asarray(data.y_train[:number])
    seen = net.fit(x, y, batch_size=64, epochs=epochs, verbose=0)
    return net, x, seen.history["accuracy"][-1]


def features():
    """Error of path features against number, heads per draw and kind of weights."""
    import dlgn_keras as dk

    net, x, accuracy = trained(dk.skeletons.c4gap(32), "digits", 1400, 8)
    x = x[:150]
    exact = dk.kernels.npk(net, x, progress=False)
    rows = {"what": f"c4gap(32) trained on digits to {accuracy:.3f}, 150 images"}

    def error(**options):
        found = []
        for seed in range(3):
            options |= {"seed": seed, "progress": False}
            made = dk.kernels.npk_estimate(net, x, **options).gram
            found.append(np.linalg.norm(made - exact) / np.linalg.norm(exact))
        return float(np.mean(found))

    for weights in ("orthogonal", "gaussian", "signs"):
        rows[f"error, 512 features, {weights}"] = error(
            num_features=512, weights=weights
        )
    for heads in (1, 4, 32):
        with Clock() as clock:
            value = error(num_features=512, heads=heads)
        rows[f"error, 512 features, {heads} heads a draw"] = value
        rows[f"  its processor s, {heads} heads"] = clock.cpu / 3
    for number in (128, 2048, 8192):
        rows[f"error, {number} features"] = error(num_features=number)
    return rows


def mnist():
    """Path features of 10,000 MNIST images; the exact Gram's cost beside it."""
    import dlgn_keras as dk
    from dlgn_keras.skeletons import AveragePool, Conv, GlobalPool, Skeleton

    net, x, accuracy = trained(
        Skeleton(
            (Conv(16), Conv(16), AveragePool(), Conv(32), Conv(32), GlobalPool()),
            "convnet",
        ),
        "mnist",
        10_000,
        2,
    )
    dk.kernels.path_features(net, x[:128], 32, progress=False)
    with Clock() as clock:
        made = dk.kernels.path_features(net, x, 2048, progress=False)
    some = x[:24]
    with Clock() as exact:
        gram = dk.kernels.npk(net, some, x[24:48], progress=False)
    left, right = made[:24], made[24:48]
    error = np.linalg.norm(left @ right.T / 2048 - gram) / np.linalg.norm(gram)
    needed = 2048 * (error / 0.02) ** 2  # the error falls with the root of the number
    all_pairs = exact.cpu / 24**2 * 10_000 * 10_001 / 2
    return {
        "what": f"conv 16, 16, pool, 32, 32, GAP; MNIST, trained to {accuracy:.3f}",
        "2048 features of 10,000 images, processor s (target 120)": clock.cpu,
        "  elapsed s": clock.wall,
        "  relative Frobenius error (24 against 24)": float(error),
        "exact, processor ms a pair": 1e3 * exact.cpu / 24**2,
        "exact Gram of 10,000 images, processor h (extrapolated)": all_pairs / 3600,
        "features for an error of 2 % (extrapolated)": needed,
        "exact over features at 2 %, processor time": all_pairs
        / (clock.cpu * max(1.0, needed / 2048)),
        "peak GiB": peak_gib(),
    }


SECTIONS = {
    "fc": fc,
    "conv8": lambda: conv(8, 64),
    "conv16": lambda: conv(16, 24),
    "conv32": lambda: conv(32, 32),
    "features": features,
    "mnist": mnist,
}


def write_table(results):
    processors = len(os.sched_getaffinity(0))
    lines = [
        "# Kernels: what they cost",
        "",
        f"Made by `python benchmarks/kernels.py` on {processors} processors "
        f"({platform.machine()}), NumPy {np.__version__}. Targets: FC at most 1.5 "
        "times NumPy's products; conv32 under 60 s and 4 GiB; 2,048 features of "
        "10,000 MNIST images under 2 minutes. Where the load average was above the "
        "number of processors, elapsed times say nothing: processor seconds, of all "
        "threads together, bound what one idle processor would take.",
        "",
        "| section | quantity | value |",
        "|---|---|---|",
    ]
    for name in SECTIONS:
        for key, value in results.get(name, {}).items():
            text = value if isinstance(value, str) else f"{value:.4g}"
            lines.append(f"| {name} | {key.strip()} | {text} |")
    (HERE / "kernels.md").write_text("\n".join(lines) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--section", choices=SECTIONS, help="measure only this one")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.here:
        print("RESULT " + json.dumps(SECTIONS[chosen.section]()))
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.is_file() else {}
    for name in [chosen.section] if chosen.section else SECTIONS:
        command = [sys.executable, __file__, "--here", "--section", name]
        load = os.getloadavg()[0]
        run = subprocess.run(command, check=True, capture_output=True, text=True)
        line = next(v for v in run.stdout.splitlines() if v.startswith("RESULT "))
        results[name] = json.loads(line[7:])
        results[name]["load average before"] = load
        print(name, json.dumps(results[name], indent=1), file=sys.stderr)
        RESULTS.write_text(json.dumps(results, indent=1) + "\n")
        write_table(results)


if __name__ == "__main__":
    main()
