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
# In a ReLU network, when does a unit of the fifth layer switch on? That depends on
# which units of the four layers below are on. In a DLGN it does not: the gating network
# is a chain of linear maps, and a chain of linear maps is one linear map. So each gate,
# however deep, asks one question about the picture,
#
# $$ V \cdot x + c > 0\,? $$
#
# The pictures with the answer yes form a *half-space* of the input space. Its border is
# a *hyperplane*, and $V$ is itself a picture: the filter of this gate.
#
# **Claim.** Every gate of a trained DLGN, at every depth, is a half-space of the input
# space that is known in closed form. The gates of a ReLU network are not.

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
# ## Filters
#
# We load a DLGN from the zoo, five layers of 128 units, trained on MNIST.
# `all_gate_filters` multiplies the layers of the gating network. The pictures show the
# strongest filters of the first and of the last layer, in the size of the input.

# %%
net = dk.DLGN.from_preset("dlgn_fc_mnist")
filters = dk.interpret.all_gate_filters(net)
dk.interpret.plots.plot_filters(filters["dense_1"])

# %%
dk.interpret.plots.plot_filters(filters["dense_5"])

# %% [markdown]
# The strongest filters of the last layer look like one filter and its negative. They
# nearly are: a chain of linear maps prefers a few directions, and more so with each
# layer. The effective rank says in how many directions, if all were equally strong, the
# 128 filters of a layer lie.

# %%
for site, found in filters.items():
    rows = found.kernel.reshape(-1, 128)
    print(f"{site}: {dk.kernels.effective_rank(rows.T @ rows):.1f}")

# %% [markdown]
# Are these filters right? For every picture, filter times pixels plus offset must equal
# the number that the network itself computes. We test real digits and pure noise:

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
# To which spatial frequencies does a filter respond? In these pictures the middle
# stands for slow changes and the border for fine detail.

# %%
dk.interpret.plots.plot_spectrum(dk.interpret.spectrum(net, "dense_5"), units=4)

# %% [markdown]
# Training shapes the filters. The random filters of an untrained DLGN respond to all
# frequencies alike; the trained ones prefer slow changes, such as the strokes of
# digits.

# %%
start = dk.DLGN.from_preset("dlgn_fc_mnist", load_weights=False)
edges = np.linspace(0, 0.5, 11)  # cycles per pixel

figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
for k, site in enumerate(["dense_1", "dense_3", "dense_5"]):
    for model, line in {start: ":", net: "-"}.items():
        found = dk.interpret.spectrum(model, site, size=28)
        radius = np.hypot(*np.meshgrid(*found.frequencies, indexing="ij"))
        power = (found.magnitude**2).sum(axis=(-2, -1))
        ring = np.digitize(radius, edges)
        power = np.array([power[ring == k].mean() for k in range(1, len(edges))])
        axes.stairs(100 * power / power.sum(), edges, color=f"C{k}", linestyle=line)
    axes.plot([], [], color=f"C{k}", label=f"layer {site[-1]}")
axes.plot([], [], "k:", label="before training")
axes.set_title("Which frequencies the filters of a layer respond to")
axes.set_xlabel("frequency, cycles per pixel")
axes.set_ylabel("share of the power, %")
axes.set_ylim(bottom=0)
axes.legend()
plt.show()

# %% [markdown]
# ## Hyperplanes
#
# The borders of all gates are a list of hyperplanes. A DLGN of 4 layers of 64 units on
# the small digits has 256 hyperplanes in 64 dimensions. `margins` says how far each
# picture is from each of them.

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
# between them. The gates cut it into pieces. In the DLGN every cut is a straight line.
# In its ReLU twin the cuts of later layers bend where they meet an earlier cut: its
# gates are not half-spaces.

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
# The filters give the pre-activations of the DLGN at every site, so its gates are known
# without running the network. If a gate is a half-space and closed for two pictures, it
# is closed for their mean as well, and likewise if it is open. Over all gates and pairs
# of test pictures we count the exceptions, in both networks.

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
