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
# # 08 Bring your own network
#
# You have a trained Keras model. To take it apart you do not have to build it again:
# `dk.disentangle` reads any functional Keras model, with ReLUs or with the smooth
# activations, norms and attention of modern ones, and returns its *dual*: a gating
# network that makes gates, beside a value network that is affine once they are known.
#
# **Claim.** The dual of a trained Keras model gives the same answers, and splits each
# answer into contributions of the pixels, exactly.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # the tests run on less data

# %%
import warnings

import keras
import matplotlib.pyplot as plt
import numpy as np
from keras import layers

import dlgn_keras as dk

keras.utils.set_random_seed(SEED)

# %% [markdown]
# ## A model as you would write it
#
# Convolutions, batch norm, a residual connection, max pooling and dropout, in plain
# Keras. Only the loader of scikit-learn's digits is from this library.

# %%
digits = dk.data.load("digits")
if FAST:
    digits = digits.take(num_train=320, num_test=96)

inputs = keras.Input((8, 8, 1))
x = layers.Rescaling(1 / 16)(inputs)
x = layers.Conv2D(16, 3, padding="same", name="conv_1")(x)
x = layers.BatchNormalization()(x)
x = block = layers.ReLU(name="relu_1")(x)
x = layers.Conv2D(16, 3, padding="same", activation="relu", name="conv_2")(x)
x = layers.Add()([x, block])
x = layers.MaxPooling2D(name="pool")(x)
x = layers.Conv2D(32, 3, padding="same", activation="relu", name="conv_3")(x)
x = layers.GlobalAveragePooling2D()(x)
x = layers.Dropout(0.1)(x)
outputs = layers.Dense(10, name="logits")(x)
model = keras.Model(inputs, outputs, name="yours")

loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
model.fit(digits.x_train, digits.y_train, epochs=2 if FAST else 15, verbose=0)
accuracy = {"yours": model.evaluate(digits.x_test, digits.y_test, verbose=0)[1]}

# %% [markdown]
# ## Its dual
#
# One line makes it. The dual is a Keras model too, with gates at the same places: one
# for each ReLU, and for max pooling gates that select the largest entry of each window.

# %%
dual = dk.disentangle(model)
for site in dual.sites:
    print(site.name, site.shape)

logits = model.predict(digits.x_test, verbose=0)
again = dual.predict(digits.x_test, verbose=0)
print("largest difference of the logits:", np.abs(again - logits).max())

# %% [markdown]
# ## Taken apart
#
# Everything that notebook 02 does with a network from the zoo works with yours as well:
# the contributions of the pixels and a bias, which comes from biases and batch norm,
# sum to the logit.

# %%
few = digits.x_test[:3]
found = dual.explain(few)
dk.interpret.plots.plot_contributions(few, found)

# %% [markdown]
# ## As a DLGN
#
# `family="dlgn"` makes the gating network linear: it drops the ReLUs and replaces max
# pooling by average pooling, with a warning. That is no longer your model, so its
# accuracy falls at first. But training can start from there, and each gate of the
# trained DLGN is a half-space of the input (notebook 05).

# %%
with warnings.catch_warnings(record=True) as told:
    warnings.simplefilter("always")
    dlgn = dk.disentangle(model, family="dlgn", beta=10.0)
print(*{str(w.message) for w in told if w.category is UserWarning})
dlgn.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
accuracy["as a DLGN"] = dlgn.evaluate(digits.x_test, digits.y_test, verbose=0)[1]
dlgn.fit(digits.x_train, digits.y_train, epochs=2 if FAST else 15, verbose=0)
accuracy["trained on"] = dlgn.evaluate(digits.x_test, digits.y_test, verbose=0)[1]

figure, axes = plt.subplots(figsize=(5, 2), layout="constrained")
bars = axes.barh(list(accuracy), [100 * share for share in accuracy.values()])
axes.bar_label(bars, fmt="%.1f")
axes.invert_yaxis()
axes.set_xlim(0, 110)
axes.set_xlabel("test accuracy, %")
axes.set_title("Your model, and the DLGN made of it")
plt.show()

# %% [markdown]
# ## A modern network: no ReLU, attention
#
# Gates need not switch. GELU is `q * gate(q)` with a smooth gate, layer normalisation
# multiplies by one over a deviation, attention multiplies by its weights: at fixed
# gates all of it is affine. Here is a small vision transformer, in plain Keras.

# %%
inputs = keras.Input((8, 8, 1))
x = layers.Rescaling(1 / 8, offset=-1)(inputs)
x = layers.Conv2D(32, 2, strides=2, name="patches")(x)
x = layers.Reshape((16, 32))(x)
x = layers.EinsumDense(  # with a bias for each place
    "btc,cd->btd", (16, 32), bias_axes="td", name="places"
)(x)
for k in (1, 2):
    y = layers.LayerNormalization()(x)
    y = layers.MultiHeadAttention(2, 16, name=f"heads_{k}")(y, y)
    x = layers.Add()([x, y])
    y = layers.LayerNormalization()(x)
    y = layers.Dense(64, activation="gelu", name=f"wide_{k}")(y)
    x = layers.Add()([x, layers.Dense(32, name=f"narrow_{k}")(y)])
x = layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x))
vit = keras.Model(inputs, layers.Dense(10, name="logits")(x), name="vit")

vit.compile(keras.optimizers.Adam(3e-3), loss, metrics=["accuracy"])
vit.fit(digits.x_train, digits.y_train, epochs=2 if FAST else 15, verbose=0)
print("test accuracy:", vit.evaluate(digits.x_test, digits.y_test, verbose=0)[1])

vit_dual = dk.disentangle(vit)
for site in vit_dual.sites:
    print(site.name, site.shape)

# %% [markdown]
# The pixels' contributions to the answer's logit less that of the runner-up:

# %%
vit_found = vit_dual.explain(few, against="next")
dk.interpret.plots.plot_contributions(few, vit_found)

# %% [markdown]
# What cannot be converted, such as a recurrent layer, is named with the reason before
# anything is built:

# %%
odd = keras.Sequential([keras.Input((8, 1)), layers.LSTM(4, name="recurrent")])
try:
    dk.disentangle(odd)
except ValueError as error:
    print(error)

# %% [markdown]
# ## The claim

# %%
scale = np.abs(logits).max()
np.testing.assert_allclose(again, logits, atol=1e-4 * scale)
total = found.contributions.sum(axis=(1, 2, 3)) + found.bias
np.testing.assert_allclose(total, logits[:3].max(axis=1), atol=1e-4 * scale)

logits = vit.predict(few, verbose=0)
scale = np.abs(logits).max()
np.testing.assert_allclose(vit_found.logits, logits, atol=1e-4 * scale)
total = vit_found.contributions.sum(axis=(1, 2, 3)) + vit_found.bias
gap = [vit_found.logit(i) for i in range(3)]
np.testing.assert_allclose(total, gap, atol=1e-4 * scale)
