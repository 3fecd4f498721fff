"""What an explanation costs, in forward passes of the same model.

For our models and for twins of Keras models: the processor time of `explain` over that
of a forward pass of the same images in the same batches, taken in turns. Prints the
median of the ratios and their range. Run: python benchmarks/explain.py

With names of keras.applications, such as ResNet50 ConvNeXtTiny, the twins of these with
random weights, and ratios to a forward pass of the *original*. Memory is the largest
resident size of the process, after forward passes of the original and after `explain`:
with one name a process.
"""

import argparse
import resource
import time

import keras
import numpy as np
from keras import layers
from machine import header

import dlgn_keras as dk
from dlgn_keras import interpret

SHAPE, CLASSES = (32, 32, 3), 10
BATCH = 32
SKELETONS = {
    "fc": lambda: dk.skeletons.fc(4, 512),
    "conv": lambda: dk.skeletons.c4gap(64),
    "resnet": lambda: dk.skeletons.resnet(20),
}


def keras_dense():
    units = [layers.Dense(512, activation="relu") for _ in range(4)]
    parts = [keras.Input(SHAPE), layers.Flatten(), *units, layers.Dense(CLASSES)]
    return keras.Sequential(parts)


def keras_conv():
    parts = [keras.Input(SHAPE)]
    for filters in (32, 64, 128):
        for _ in range(2):
            parts.append(layers.Conv2D(filters, 3, padding="same", use_bias=False))
            parts += [layers.BatchNormalization(), layers.ReLU()]
        parts.append(layers.MaxPooling2D(2))
    return keras.Sequential([*parts, layers.Flatten(), layers.Dense(CLASSES)])


def keras_resnet():
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(inputs)
    for filters, strides in [(16, 1), (16, 1), (32, 2), (32, 1), (64, 2), (64, 1)]:
        y = layers.Conv2D(filters, 3, strides, padding="same", activation="relu")(x)
        y = layers.Conv2D(filters, 3, padding="same")(y)
        x = layers.Conv2D(filters, 1, strides)(x) if x.shape[-1] != filters else x
        x = layers.ReLU()(layers.BatchNormalization()(layers.add([x, y])))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


TWINS = {"dense": keras_dense, "conv": keras_conv, "resnet": keras_resnet}


def models():
    """Yield (name, model) of all that is measured."""
    for name, make in SKELETONS.items():
        for family, cls in dk.models.FAMILIES.items():
            yield f"{family} {name}", cls(make(), SHAPE, CLASSES, seed=0)
    for name, make in TWINS.items():
        for family in ("dgn", "dlgn"):
            yield f"{family} twin of Keras {name}", dk.disentangle(make(), family)


def ratios(net, x, repeats, original=None):
    """Processor seconds of a forward pass, and explain's over them, by repeat.

    The forward pass is that of `original`, or of the model itself.
    """

    def seconds(call):
        start = time.process_time()
        call()
        return time.process_time() - start

    def forward():
        dk.models.predict_arrays(net if original is None else original, x, BATCH)

    def explain():
        interpret.explain(net, x, batch_size=BATCH)

    forward(), explain()  # compiled, not timed
    pairs = [(seconds(forward), seconds(explain)) for _ in range(repeats)]
    passes = np.median([a for a, _ in pairs])
    return passes, np.array([b for _, b in pairs]) / passes


def measure_applications(names, size, examples, repeats):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 255, (examples, size, size, 3)).astype("float32")
    print("| model | forward (CPU s) | explain: median | range | MB | MB explaining |")
    print("|---|---|---|---|---|---|")
    for name in names:
        make = getattr(keras.applications, name)
        model = make(weights=None, input_shape=x.shape[1:], classes=CLASSES)
        dk.models.predict_arrays(model, x, BATCH)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        net = dk.disentangle(model)
        passes, found = ratios(net, x, repeats, model)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        numbers = f"{np.median(found):.2f} | {found.min():.2f} to {found.max():.2f}"
        sizes = f"{before / 1024:.0f} | {after / 1024:.0f}"
        print(f"| {name} | {passes:.3f} | {numbers} | {sizes} |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("applications", nargs="*")
    parser.add_argument("--size", type=int, default=64, help="of their images")
    parser.add_argument("--examples", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    given = parser.parse_args()
    rng = np.random.default_rng(0)
    x = rng.normal(size=(given.examples, *SHAPE)).astype("float32")
    print(f"{header()}\n\n{keras.backend.backend()}, {given.examples} images\n")
    if given.applications:
        names = given.applications
        measure_applications(names, given.size, given.examples, given.repeats)
        return
    print("| model | forward (CPU s) | explain: median | range |\n|---|---|---|---|")
    worst = 0.0
    for name, net in models():
        passes, found = ratios(net, x, given.repeats)
        median = float(np.median(found))
        worst = max(worst, median)
        spread = f"{found.min():.2f} to {found.max():.2f}"
        print(f"| {name} | {passes:.3f} | {median:.2f} | {spread} |", flush=True)
    print(f"\nlargest median: {worst:.2f}")


if __name__ == "__main__":
    main()
