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
# # 01 Three twins
#
# A ReLU network does two jobs with the same weights. Its *gates* decide which hidden
# units are on: a ReLU passes a positive number on and blocks a negative one. Its
# *weights* compute with the units that are on. What happens if two networks, side by
# side, do one job each?
#
# | family | gating network: makes the gates | value network: computes |
# | --- | --- | --- |
# | DNN | the network itself | the same network |
# | DGN | a ReLU network | linear layers |
# | DLGN | **linear** layers | **linear** layers |
#
# (DGN: *deep gated network*. DLGN: *deep linearly gated network*.) Each hidden unit of
# the value network is multiplied by a gate between 0 and 1, $\sigma(\beta q)$, where
# $q$ is the number that the gating network computes at the same place.
#
# **Claim.** Linear layers alone fail on the task below. Linear layers that are switched
# by other linear layers solve it as well as a ReLU network of the same shape.

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

import dlgn_keras as dk

keras.utils.set_random_seed(SEED)

# %% [markdown]
# ## The task
#
# Points of the plane, in three discs or outside of them. Half of the points lie in a
# disc. No straight line separates the two classes.

# %%
x, y, centres, radius = dk.data.discs(4000, num_discs=3, seed=SEED)
x_train, y_train, x_test, y_test = x[:2000], y[:2000], x[2000:], y[2000:]

# %% [markdown]
# ## One skeleton, three ways to gate
#
# A *skeleton* says what a network is made of, and nothing about gating: here three
# layers of 32 units. The same line builds each of the three families from it. The
# result is an ordinary Keras model.

# %%
skeleton = dk.skeletons.fc(depth=3, width=32)
dlgn = dk.DLGN(skeleton, (2,), num_classes=2, value_bias=True, seed=SEED)
dlgn.summary()

# %% [markdown]
# The two halves are Keras models too. The gating network of a DLGN has no activation
# function at all.

# %%
for layer in dlgn.gating_network.layers:
    print(f"{layer.name:10} {type(layer).__name__}")

# %% [markdown]
# ## model.fit
#
# All models get the same optimizer and the same number of epochs. A linear model stands
# beside the three twins. More linear layers would not help it: a chain of linear maps
# is one linear map.

# %%
seeds = [SEED] if FAST else [SEED, SEED + 1, SEED + 2]
options = {"input_shape": (2,), "num_classes": 2}
models, curves = {}, {}
for seed in seeds:
    models = {
        "linear": keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]),
        "DNN": dk.DNN(skeleton, **options, seed=seed),
        "DGN": dk.DGN(skeleton, **options, value_bias=True, seed=seed),
        "DLGN": dk.DLGN(skeleton, **options, value_bias=True, seed=seed),
    }
    for name, model in models.items():
        keras.utils.set_random_seed(seed)  # the order of the batches
        model.compile(
            keras.optimizers.Adam(0.01),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=["accuracy"],
        )
        history = model.fit(
            x_train,
            y_train,
            validation_data=(x_test, y_test),
            batch_size=100,
            epochs=30,
            verbose=0,
        )
        curves.setdefault(name, []).append(history.history["val_accuracy"])

accuracy = {}
for name, runs in curves.items():
    last = [100 * run[-1] for run in runs]
    accuracy[name] = np.mean(last)
    print(f"{name:6} {np.mean(last):.1f} % ± {np.std(last):.1f}")

# %% [markdown]
# The accuracy is that of the last epoch on the test points. They were not used to
# choose anything.

# %%
figure, axes = plt.subplots(figsize=(6, 3.6), layout="constrained")
for (name, runs), style in zip(curves.items(), [":", "--", "-.", "-"], strict=True):
    epochs = range(1, len(runs[0]) + 1)
    axes.plot(epochs, 100 * np.mean(runs, axis=0), style, label=name)
axes.set_title("Accuracy on new points")
axes.set_xlabel("epoch")
axes.set_ylabel("test accuracy, %")
axes.set_ylim(0, 102)
axes.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## What each model has learnt
#
# The models of the last seed colour the plane by their answers. The circles are the
# true discs; the titles give the mean accuracy.

# %%
ticks = np.linspace(-1, 1, 121, dtype="float32")
plane = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)

figure, axes = plt.subplots(1, 4, figsize=(10, 3), layout="constrained")
for place, (name, model) in zip(axes, models.items(), strict=True):
    logits = model.predict(plane, batch_size=len(plane), verbose=0)
    inside = keras.ops.convert_to_numpy(keras.ops.softmax(logits))[:, 1]
    picture = place.imshow(
        inside.reshape(121, 121),
        cmap="cividis",
        vmin=0,
        vmax=1,
        origin="lower",
        extent=(-1, 1, -1, 1),
    )
    for centre in centres:
        place.add_patch(plt.Circle(centre, radius, fill=False, color="white"))
    place.set_title(f"{name}: {accuracy[name]:.1f} % right")
    place.set_xticks([])
    place.set_yticks([])
figure.colorbar(picture, ax=axes, label="probability of a disc", shrink=0.8)
plt.show()

# %% [markdown]
# ## Save and load
#
# Models save and load as all Keras models do, on any of the three backends.

# %%
import tempfile
from pathlib import Path

with tempfile.TemporaryDirectory() as folder:
    models["DLGN"].save(Path(folder) / "dlgn.keras")
    again = keras.saving.load_model(Path(folder) / "dlgn.keras")
before, after = (m.predict(x_test, verbose=0) for m in (models["DLGN"], again))
np.abs(before - after).max()

# %% [markdown]
# ## The claim
#
# On large networks and harder tasks a DLGN does lose accuracy: the paper that
# introduced it says that it recovers more than 83.5 % of the DNN's accuracy on CIFAR-10
# and CIFAR-100.

# %%
ratio = accuracy["DLGN"] / accuracy["DNN"]
print(f"The DLGN recovers {100 * ratio:.1f} % of the DNN's test accuracy.")
assert accuracy["linear"] < 75
assert accuracy["DLGN"] > 90
assert ratio > 0.97
