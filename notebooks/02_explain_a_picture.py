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
# # 02 Load the zoo, explain a picture
#
# Which pixels made the network say *seven*? For most networks the answer is an
# estimate. For the networks of this library it is a sum that can be checked.
#
# A DLGN has a *gating network*, which decides which units are on, and a *value network*
# of linear layers, whose units are multiplied by these gates. At the gates of a given
# picture, the logit is an affine function of the pixels:
#
# $$\text{logit} = \sum_{\text{pixels}} \text{contribution} + \text{bias}.$$
#
# **Claim.** The contributions and the bias add up to the logit, and each contribution
# is what the logit loses if the value network does not see this pixel.

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
# ## The zoo
#
# Trained networks come with the library. A name gives family, skeleton and data; the
# accuracy is that of the last epoch on the test set.

# %%
dk.presets()

# %% [markdown]
# We take a DLGN with five layers of 128 units, trained on MNIST, and the ordinary ReLU
# network of the same shape, trained in the same way: its twin. Every file is compared
# with its checksum. The results are Keras models.

# %%
dlgn = dk.DLGN.from_preset("dlgn_fc_mnist")
twin = dk.DNN.from_preset("dnn_fc_mnist")
dlgn.name, dlgn.count_params(), dlgn.sites

# %% [markdown]
# A preset carries eight test images with the logits it had when it was made, so that
# anyone can check that it still works. They are raw pixels from 0 to 255, which is what
# the model takes.

# %%
kept = np.load(dk.presets()["dlgn_fc_mnist"].folder / "golden.npz")
images = kept["inputs"]
logits = dlgn.predict(images, verbose=0)
print("largest difference", np.abs(logits - kept["logits"]).max())
print(
    "DLGN says",
    logits.argmax(1),
    "and its twin",
    twin.predict(images, verbose=0).argmax(1),
)

# %% [markdown]
# ## Take an answer apart
#
# `explain` explains the logit of the predicted class; `target=` chooses another class.

# %%
found = dlgn.explain(images)
print("contributions", found.contributions.shape, "bias", found.bias.shape)
for k in range(3):
    total = found.contributions[k].sum() + found.bias[k]
    print(f"image {k}: sum {total:.5f}, logit {logits[k, found.target[k]]:.5f}")

# %% [markdown]
# As pictures: red pixels speak for the class, blue ones against it. The black
# background contributes nothing, because zero times any weight is zero. A ReLU network
# can be taken apart in the same way, at the gates it has for this picture.

# %%
both = {"DLGN": found, "DNN": twin.explain(images, target=found.target)}
dk.interpret.plots.plot_contributions(images[:3], both)

# %% [markdown]
# ## Why this class and not the next one?
#
# The difference of two logits is a sum over the pixels as well. This sum shows what
# decided between the class that the network chose and its second choice.

# %%
second = np.argsort(logits, axis=1)[:, -2]
against = dlgn.explain(images, target=second)
difference = found.contributions - against.contributions

figure, axes = plt.subplots(2, 4, figsize=(8.4, 4.6), layout="constrained")
for k, place in enumerate(axes.T.reshape(-1, 2)):
    bound = np.abs(difference[k]).max()
    place[0].imshow(images[k, ..., 0], cmap="gray")
    place[1].imshow(difference[k, ..., 0], cmap="RdBu_r", vmin=-bound, vmax=bound)
    place[1].set_title(f"for {found.target[k]}, against {second[k]}", fontsize=10)
for place in axes.flat:
    place.set_axis_off()
plt.show()

# %% [markdown]
# ## Check it by hand
#
# The two halves are Keras models of their own, so the claim can be checked without
# `explain`. Compute the gates of a picture. Set one pixel of the *value network's*
# input to zero and keep the gates. The logit must fall by the contribution of this
# pixel. We try every pixel of one picture.

# %%
picture = images[:1]
gates = dlgn.gates(picture)
inputs = dlgn.value_inputs(picture)  # the pixels as the network sees them, 0 to 1
spots = np.argwhere(picture[0, ..., 0] > 0)
without = np.repeat(inputs, len(spots), axis=0)
without[np.arange(len(spots)), spots[:, 0], spots[:, 1]] = 0
held = {site: np.repeat(gate, len(spots), axis=0) for site, gate in gates.items()}
target = found.target[0]
fall = (
    logits[0, target]
    - dlgn.value_network.predict([without, held], verbose=0)[:, target]
)
contribution = found.contributions[0, spots[:, 0], spots[:, 1], 0]

figure, axes = plt.subplots(figsize=(4, 3.6), layout="constrained")
axes.plot(contribution, fall, ".")
axes.axline((0, 0), slope=1, color="gray", linewidth=0.8)
axes.set_xlabel("contribution of a pixel")
axes.set_ylabel("fall of the logit without this pixel")
axes.set_title("Contribution and effect agree")
plt.show()
# %% [markdown]
# This does *not* say what the network would answer for a picture without that pixel:
# other gates could open. Notebook 05 shows how the gates depend on the picture.
#
# From a terminal, `dlgn-keras explain dlgn_fc_mnist seven.png --out report.html` writes
# all of this, the largest paths and the gates to one page.
#
# ## The claim

# %%
total = found.contributions.sum(axis=(1, 2, 3)) + found.bias
np.testing.assert_allclose(total, logits.max(axis=1), rtol=1e-4, atol=1e-4)
np.testing.assert_allclose(fall, contribution, rtol=1e-3, atol=1e-3)
assert np.abs(contribution).max() > 0.1  # there was something to compare
