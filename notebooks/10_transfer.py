# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 10 Transfer: fine-tune a network of the zoo
#
# What a network learnt on one data set is worth something on another. In a DLGN one can
# ask what it is that carries over: the *gates*, which decide which units are on, or the
# *values*, which the units compute?
#
# We take a DLGN that was trained on MNIST, and a data set that it has never seen: the
# handwritten digits of the UCI repository, 8 x 8 pixels, other writers, another
# scanner. We give it 50 labelled pictures.
#
# **Claim.** With 50 labelled pictures, the MNIST network with frozen gates, fine-tuned,
# is far more accurate on the digits than the same network trained from scratch.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # the tests run on less data

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression

import dlgn_keras as dk

# %% [markdown]
# ## The pictures
#
# A preset knows what it takes: raw pixels of MNIST, 28 x 28, from 0 to 255. The digits
# have 8 x 8 pixels from 0 to 16, so we scale and enlarge them, with the margin of four
# pixels that MNIST has.

# %%
PRESET = "dlgn_conv_mnist"
digits = dk.data.load("digits")


def as_mnist(images):
    large = keras.ops.image.resize(255 / 16 * images.astype("float32"), (20, 20))
    large = np.pad(keras.ops.convert_to_numpy(large), [(0, 0), (4, 4), (4, 4), (0, 0)])
    return large.astype("float32")


x_train, x_test = as_mnist(digits.x_train), as_mnist(digits.x_test)
pretrained = dk.from_preset(PRESET)

kept = np.load(dk.presets()[PRESET].folder / "golden.npz")["inputs"]
figure, axes = plt.subplots(2, 8, figsize=(8, 2.3), layout="constrained")
for row, images, title in zip(
    axes, (kept, x_test), ("MNIST", "digits, enlarged"), strict=True
):
    row[0].set_title(title, loc="left", fontsize=10)
    for place, image in zip(row, images, strict=False):
        place.imshow(image[..., 0], cmap="gray")
        place.set_axis_off()
plt.show()

# %% [markdown]
# ## Five ways to use 50 labels
#
# * **from scratch**: the same architecture, new weights, everything trains;
# * **features**: the preset without its last layer, and a logistic regression on the
#   activations;
# * **gates alone**: the gates of the preset, frozen, with a *new* value network;
# * **frozen gates**: the gates of the preset, frozen; its value network trains on;
# * **everything**: both networks of the preset train on.
#
# All but the regression have the same budget: 60 epochs of Adam in batches of 10. Each
# is repeated with other pictures, five of each class.

# %%
EPOCHS = 20 if FAST else 60
SEEDS = range(SEED, SEED + (1 if FAST else 5))


def gates_alone():
    net = dk.from_preset(PRESET, freeze_gates=True)
    new = dk.from_preset(PRESET, load_weights=False)
    net.value_network.set_weights(new.value_network.get_weights())
    return net


def accuracy(net, x, y):
    net.compile(
        optimizer=keras.optimizers.Adam(0.003),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    net.fit(x, y, batch_size=10, epochs=EPOCHS, verbose=0)
    return net.evaluate(x_test, digits.y_test, batch_size=360, verbose=0)[1]


def deviation(values):
    return np.std(values, ddof=1) if len(values) > 1 else 0.0


def probe(x, y):
    features = pretrained.features()
    model = LogisticRegression(max_iter=2000)
    scale = np.abs(features.predict(x, verbose=0)).max()
    model.fit(features.predict(x, verbose=0) / scale, y)
    return model.score(features.predict(x_test, verbose=0) / scale, digits.y_test)


# %%
trained = {
    "from scratch": lambda: dk.from_preset(PRESET, load_weights=False),
    "gates alone": gates_alone,
    "frozen gates": lambda: dk.from_preset(PRESET, freeze_gates=True),
    "everything": lambda: dk.from_preset(PRESET),
}
found = {name: [] for name in (*trained, "features")}
for seed in SEEDS:
    rng = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    few = np.concatenate(
        [
            rng.choice(np.flatnonzero(digits.y_train == c), 5, replace=False)
            for c in range(10)
        ]
    )
    x, y = x_train[few], digits.y_train[few]
    for name, make in trained.items():
        found[name].append(accuracy(make(), x, y))
    found["features"].append(probe(x, y))

before = pretrained.predict(x_test, batch_size=360, verbose=0).argmax(1)
print(f"{'the preset as it is':20} {(before == digits.y_test).mean():7.1%}")
for name, values in found.items():
    print(f"{name:20} {np.mean(values):7.1%} ± {deviation(values):.1%}")

# %%
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
for k, values in enumerate(found.values()):
    axes.plot(100 * np.array(values), [k] * len(values), "o", alpha=0.6)
axes.set_yticks(range(len(found)), list(found))
axes.set_xlabel("test accuracy on the digits, %, with 50 labelled pictures")
axes.grid(axis="x", alpha=0.3)
axes.invert_yaxis()
plt.show()

# %% [markdown]
# Most of what carries over here lies in the values. With the MNIST gates and a new
# value network the DLGN is hardly better than from scratch; with the trained values its
# gates need no change at all, so every filter that was read off the MNIST network
# (notebook 05) still says when a unit is on.
#
# `from_preset(..., num_classes=...)` does the same for another number of classes: the
# last layer is new, the other layers keep their weights. `include_top=False` is
# `net.features()`.

# %% [markdown]
# ## The claim

# %%
mean = {name: np.mean(values) for name, values in found.items()}
assert mean["frozen gates"] > mean["from scratch"] + 0.05
assert mean["frozen gates"] > 0.9  # ten classes: chance is 0.1
