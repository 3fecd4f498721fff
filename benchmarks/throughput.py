"""Images per second of `fit` against a bare loop of the same model.

    python benchmarks/throughput.py --backend jax

The bare loop is written by hand in the backend's own words: the data on the
device, a compiled step of forward pass, gradient and SGD with momentum, and
nothing else. An epoch of it runs after every epoch of `fit`, in one run. On torch,
which compiles nothing by default, the forward pass is the graph of its operators,
without Keras between them. `--clock processor` counts processor time, which what
else runs on the machine lengthens less.

    python benchmarks/throughput.py --backend jax --stream photos/

compares training from disk with training on the same pictures in memory, by turns in
one run; `--memory` trains from disk alone and tells the process' peak memory.
"""

import argparse
import os
import time
from typing import Any

import numpy as np


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--family", default="dlgn")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--clock", choices=("wall", "processor"), default="wall")
    parser.add_argument("--stream", metavar="FOLDER", help="pictures to train on")
    parser.add_argument("--skeleton", default="c4gap:width=16", help="with --stream")
    parser.add_argument("--memory", action="store_true", help="with --stream")
    arguments = parser.parse_args()
    if arguments.backend:
        os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    if arguments.clock == "processor":
        time.perf_counter = time.process_time  # here and in `fit`

    from machine import header, print_table

    if arguments.stream:
        print(f"\n{header()}; {arguments.clock} time\n")
        print_table(*measure_stream(arguments))
        return
    rows = [
        measure("fc", arguments.family, arguments.epochs),
        measure("c4gap:width=16", arguments.family, arguments.epochs),
    ]
    print(f"\n{header()}; {arguments.clock} time\n")
    print_table(
        ["skeleton", "batch", "fit images/s", "bare images/s", "fit / bare", "epochs"],
        rows,
    )


def measure(skeleton: str, family: str, epochs: int) -> list[str]:
    """Return the table's row of a skeleton."""
    import keras
    from machine import spread

    from dlgn_keras.data import Dataset, Preprocessing
    from dlgn_keras.training import Recipe, build_model, fit

    rng = np.random.default_rng(0)
    shape, number = ((28, 28, 1), 32_000) if skeleton == "fc" else ((16, 16, 3), 5120)
    dataset = Dataset(
        "noise",
        rng.integers(0, 256, (number, *shape)).astype("uint8"),
        rng.integers(0, 10, number),
        rng.integers(0, 256, (100, *shape)).astype("uint8"),
        rng.integers(0, 10, 100),
        10,
        preprocessing=Preprocessing(scale=1 / 255, raw_range=(0, 255)),
    )
    recipe = Recipe(
        family=family,
        skeleton=skeleton,
        optimizer="sgd",
        learning_rate=1e-3,
        batch_size=32,
        epochs=epochs,
    )
    bare = BARE[keras.backend.backend()](build_model(recipe, dataset), dataset, recipe)
    bare(rng.permutation(number).astype("int32"))  # compiles

    class Interleave(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.seconds: list[float] = []

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            started = time.perf_counter()
            bare(rng.permutation(number).astype("int32"))
            self.seconds.append(time.perf_counter() - started)

    other = Interleave()
    result = fit(recipe, dataset=dataset, progress=False, callbacks=[other])
    ours = [number / row["seconds"] for row in result.history][1:]  # 1 compiles
    theirs = [number / seconds for seconds in other.seconds][1:]
    ratio = [a / b for a, b in zip(ours, theirs, strict=True)]
    return [
        f"{family} {skeleton}",
        str(recipe.batch_size),
        spread(ours, 0),
        spread(theirs, 0),
        spread(ratio),
        str(len(ratio)),
    ]


def measure_stream(arguments: argparse.Namespace) -> tuple[list, list]:
    """Return header and rows of training from disk and from memory."""
    import resource

    from machine import spread

    from dlgn_keras.data import load
    from dlgn_keras.training import Recipe, fit

    recipe = Recipe(
        family=arguments.family,
        skeleton=arguments.skeleton,
        batch_size=32,
        epochs=1 if arguments.memory else 2,
    )
    streamed = load(arguments.stream, memory=0)
    number = len(streamed.y_train)

    def speed(dataset: Any) -> float:  # of the last epoch: the first compiles
        row = fit(recipe, dataset=dataset, progress=False).history[-1]
        return number / row["seconds"]

    if arguments.memory:
        speed(streamed)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        return ["pictures", "peak MiB"], [[f"{number}", f"{peak:.0f}"]]
    resident = load(arguments.stream, memory=1e3)
    pairs = [(speed(streamed), speed(resident)) for _ in range(arguments.epochs // 2)]
    ratio = [a / b for a, b in pairs]
    names = [
        "skeleton",
        "pictures",
        "from disk, images/s",
        "in memory",
        "ratio",
        "runs",
    ]
    row = [f"{arguments.family} {arguments.skeleton}", str(number)]
    row += [spread([a for a, _ in pairs]), spread([b for _, b in pairs])]
    return names, [[*row, spread(ratio), str(len(ratio))]]


def bare_jax(net: Any, dataset: Any, recipe: Any) -> Any:
    import jax
    import jax.numpy as jnp

    x, y = jnp.asarray(dataset.x_train), jnp.asarray(dataset.y_train, jnp.int32)
    fixed = [v.value for v in net.non_trainable_variables]
    weights = [jnp.array(v.value) for v in net.trainable_variables]
    momenta = [jnp.zeros_like(w) for w in weights]

    def loss(weights: Any, images: Any, labels: Any) -> Any:
        logits, _ = net.stateless_call(weights, fixed, images, training=True)
        logs = jax.nn.log_softmax(logits)
        return -jnp.take_along_axis(logs, labels[:, None], axis=1).mean()

    @jax.jit
    def step(weights: Any, momenta: Any, x: Any, y: Any, index: Any) -> Any:
        images = x[index].astype(jnp.float32)
        gradients = jax.grad(loss)(weights, images, y[index])
        momenta = [
            recipe.momentum * m - recipe.learning_rate * g
            for m, g in zip(momenta, gradients, strict=True)
        ]
        return [w + m for w, m in zip(weights, momenta, strict=True)], momenta

    def epoch(order: np.ndarray) -> None:
        nonlocal weights, momenta
        for index in order.reshape(-1, recipe.batch_size):
            weights, momenta = step(weights, momenta, x, y, index)
        jax.block_until_ready(weights)

    return epoch


def bare_tensorflow(net: Any, dataset: Any, recipe: Any) -> Any:
    import tensorflow as tf

    x = tf.constant(dataset.x_train)
    y = tf.constant(dataset.y_train.astype("int32"))
    weights = [v.value for v in net.trainable_variables]
    momenta = [tf.Variable(tf.zeros_like(w)) for w in weights]

    @tf.function
    def step(index: Any) -> None:
        images = tf.cast(tf.gather(x, index), tf.float32)
        with tf.GradientTape() as tape:
            logits = net(images, training=True)
            losses = tf.nn.sparse_softmax_cross_entropy_with_logits(
                tf.gather(y, index), logits
            )
            loss = tf.reduce_mean(losses)
        gradients = tape.gradient(loss, weights)
        for weight, momentum, gradient in zip(weights, momenta, gradients, strict=True):
            momentum.assign(
                recipe.momentum * momentum - recipe.learning_rate * gradient
            )
            weight.assign_add(momentum)

    def epoch(order: np.ndarray) -> None:
        for index in order.reshape(-1, recipe.batch_size):
            step(tf.constant(index))
        weights[0].numpy()

    return epoch


def bare_torch(net: Any, dataset: Any, recipe: Any) -> Any:
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    device = next(net.parameters()).device
    x = torch.as_tensor(dataset.x_train, device=device)
    y = torch.as_tensor(dataset.y_train, device=device)
    weights = [v.value for v in net.trainable_variables]
    fixed = [v.value for v in net.non_trainable_variables]
    optimizer = torch.optim.SGD(
        weights, lr=recipe.learning_rate, momentum=recipe.momentum
    )

    def call(weights: Any, images: Any) -> Any:
        return net.stateless_call(weights, fixed, images, training=True)[0]

    batch = x[: recipe.batch_size].float()
    forward = make_fx(call, pre_dispatch=True)(weights, batch)

    def epoch(order: np.ndarray) -> None:
        for index in torch.as_tensor(order, device=device).reshape(
            -1, recipe.batch_size
        ):
            logits = forward(weights, x[index].float())
            loss = torch.nn.functional.cross_entropy(logits, y[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        float(loss)

    return epoch


BARE = {"jax": bare_jax, "tensorflow": bare_tensorflow, "torch": bare_torch}

if __name__ == "__main__":
    main()
