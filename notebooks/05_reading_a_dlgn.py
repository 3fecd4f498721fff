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
# # 05 Reading a DLGN
#
# In a ReLU network, when does a unit of the fifth layer switch on? It depends on what
# the units of the four layers below did, and on what those below them did. In a DLGN it
# does not: the gating network is a chain of linear maps, and a chain of linear maps is
# one linear map. So each gate, however deep, asks one question of the picture,
#
# $$ V \cdot x + c > 0\,? $$
#
# The answer is a *half-space* of the input space, its border a *hyperplane*, and $V$ is
# a picture: the filter this gate looks through.
#
# **Claim.** Every gate of a trained DLGN, at every depth, is a half-space of the input
# space that is known in closed form; a ReLU network's are not.

# %%
import os
import sys

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # less data and time, to check that it runs

# %%
if "google.colab" in sys.modules:  # elsewhere it is installed already
    import subprocess

    command = [sys.executable, "-m", "pip", "install", "--quiet", "dlgn-keras"]
    subprocess.run(command, check=True)

# %%
import keras
import matplotlib.pyplot as plt
import numpy as np

import dlgn_keras as dk

keras.utils.set_random_seed(SEED)

# %% [markdown]
# ## Filters
#
# A DLGN from the zoo, five layers of 128 units on MNIST. `gate_filters` multiplies the
# gating network out. Here are the strongest filters of the first and of the last layer,
# both as pictures of the size of the input.

# %%
net = dk.DLGN.from_preset("dlgn_fc_mnist")
filters = dk.interpret.all_gate_filters(net)
dk.interpret.plots.plot_filters(filters["dense_1"])

# %%
dk.interpret.plots.plot_filters(filters["dense_5"])

# %% [markdown]
# The strongest filters of the last layer look like one filter and its negative. They
# nearly are: a chain of linear maps prefers a few directions, more so with each layer.
# The effective rank of a layer says how many directions its 128 filters spread over,
# as if all were equally strong.

# %%
for site, found in filters.items():
    rows = found.kernel.reshape(-1, 128)
    print(f"{site}: {dk.kernels.effective_rank(rows.T @ rows):.1f}")

# %% [markdown]
# Do these filters tell the truth? For any picture, filter times pixels plus offset must
# be what the network itself computes, layer by layer. Real digits and pure noise:

# %%
golden = np.load(dk.presets()["dlgn_fc_mnist"].folder / "golden.npz")["inputs"]
noise = np.random.default_rng(SEED).integers(0, 256, (50, 28, 28, 1), dtype="uint8")
images = np.concatenate([golden, noise])
z = net.preprocessing.apply(images)

errors = {}
for site, measured in net.pre_activations(images).items():
    predicted = np.tensordot(z, filters[site].kernel, axes=3) + filters[site].offset
    errors[site] = np.abs(predicted - measured).max() / np.abs(measured).max()
    print(f"{site}: largest error {errors[site]:.1e} of the largest value")

# %% [markdown]
# ## Spectra
#
# A filter can be asked which spatial frequencies it listens to. Fine detail is at the
# rim of these pictures, slow changes in the middle.

# %%
dk.interpret.plots.plot_spectrum(dk.interpret.spectrum(net, "dense_5"), units=4)

# %% [markdown]
# Training shapes them: the random filters a DLGN starts with listen to all
# frequencies alike, the trained ones prefer slow changes, the strokes of digits.

# %%
start = dk.DLGN.from_preset("dlgn_fc_mnist", load_weights=False)
edges = np.linspace(0, 0.5, 11)  # cycles per pixel


def radial(model, site):
    """Power per frequency, whatever the direction, as a share of the sum."""
    found = dk.interpret.spectrum(model, site, size=28)
    radius = np.hypot(*np.meshgrid(*found.frequencies, indexing="ij"))
    power = (found.magnitude**2).sum(axis=(-2, -1))
    ring = np.digitize(radius, edges)
    means = np.array([power[ring == k].mean() for k in range(1, len(edges))])
    return means / means.sum()


figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for k, site in enumerate(["dense_1", "dense_3", "dense_5"]):
    axes.stairs(radial(start, site), edges, color=f"C{k}", linestyle=":")
    axes.stairs(radial(net, site), edges, color=f"C{k}", label=site)
axes.plot([], [], "k:", label="before training")
axes.set_xlabel("cycles per pixel")
axes.set_ylabel("share of the power")
axes.legend()
plt.show()

# %% [markdown]
# ## Hyperplanes
#
# All borders together are a list of hyperplanes, and the data lies somewhere among
# them. On the small digits, with 4 layers of 64 units: 256 hyperplanes in 64
# dimensions. `margins` says how far each picture is from each of them.

# %%
small = dk.DLGN.from_preset("dlgn_fc_digits")
digits = dk.data.load("digits").take(num_test=200 if FAST else 360)
planes = dk.interpret.hyperplanes(small)
print("normals", planes.normals.shape)
print(dk.interpret.gate_patterns(small, digits.x_test))
dk.interpret.plots.plot_margins(dk.interpret.margins(small, digits.x_test))

# %% [markdown]
# ## A slice through the input space
#
# Put a plane through three test pictures, a 0, a 1 and a 7, and look at a small window
# in their midst: these are the pieces into which the gates cut it. In the DLGN every
# cut runs straight through. In its ReLU twin the cuts of later layers bend wherever
# they meet an earlier one: its gates are no half-spaces.

# %%
twin = dk.DNN.from_preset("dnn_fc_digits")
zero, one, seven = (
    digits.x_test[digits.y_test == label][0].astype(float) for label in (0, 1, 7)
)
window = (0.2, 0.4, 0.2, 0.4)
slices = {
    name: dk.interpret.slice_regions(model, zero, one - zero, seven - zero, window)
    for name, model in {"DLGN": small, "DNN": twin}.items()
}
dk.interpret.plots.plot_regions(slices["DLGN"])

# %%
dk.interpret.plots.plot_regions(slices["DNN"])

# %% [markdown]
# ## The claim
#
# The pre-activations of the DLGN follow from its filters at every site, so that its
# gates are known before the network is run. A gate is a half-space only if the middle
# of two pictures at which it is closed is closed as well, and likewise for open: of all
# gates and pairs of test pictures we count the exceptions, in both networks.

# %%
x = digits.x_test[:100].astype("float32")
exceptions = {}
for name, model in {"DLGN": small, "DNN": twin}.items():
    on = {site: q > 0 for site, q in model.pre_activations(x).items()}
    middle = {
        site: q > 0 for site, q in model.pre_activations((x[:50] + x[50:]) / 2).items()
    }
    exceptions[name] = {
        site: int(
            ((on[site][:50] == on[site][50:]) & (on[site][:50] != middle[site])).sum()
        )
        for site in on
    }
print(exceptions)
assert max(errors.values()) < 1e-4
assert sum(exceptions["DLGN"].values()) == 0
assert exceptions["DNN"]["dense_1"] == 0 < exceptions["DNN"]["dense_4"]
