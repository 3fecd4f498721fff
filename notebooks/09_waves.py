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
# # 09 Is the DLGN a universal spectral approximator?
#
# Can two stacks of linear maps, one of which switches the other, make any function,
# the fast changing ones too? ReLU networks can, but they learn slow waves long before
# fast ones, their well known *spectral bias*. A DLGN's gates are half-spaces of the
# input: unlike a ReLU network's they cannot fold. That might cost it the fast waves.
#
# We ask by measuring. A signal is the sum of waves of growing frequency, all of the
# same strength. Each of the three families learns it, with as many parameters and as
# many steps, and we watch how much of each wave is still missing.
#
# **Claim.** In these measurements, in one dimension and in two, a DLGN learns every
# wave, the slow ones first, and no worse than the ReLU network; and the neural path
# kernels of all three families have some weight at every frequency measured, less at
# higher ones.
#
# That is what is measured, for these sizes and signals. It is no proof that it holds
# for all.

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
rng = np.random.default_rng(SEED)

# %% [markdown]
# ## The signal
#
# Points on a circle, at the angles $\theta$, and waves $\cos(k\theta + \varphi_k)$ with
# $k$ from 1 to 32. What is left of a wave in a residual $r$ is its Fourier amplitude,
# $\frac{2}{n} |\sum_\theta r(\theta)\, e^{-ik\theta}|$: 1 before learning, 0 when the
# wave is learnt.

# %%
frequencies = [1, 2, 4, 8, 16, 32]
angles = 2 * np.pi * np.arange(128) / 128
circle = np.stack([np.cos(angles), np.sin(angles)], axis=1)
waves = np.exp(1j * np.outer(frequencies, angles))
phases = np.exp(2j * np.pi * rng.random((len(frequencies), 1)))
signal = (phases * waves).real.sum(axis=0)

# %% [markdown]
# ## Three families, one budget
#
# A DGN or a DLGN has two networks, so the ReLU network is made wider until it has as
# many parameters. Everyone gets the same steps of Adam on the whole signal, and the
# better of two learning rates: this is about fitting, no test set is there to spoil.

# %%
width = {"DNN": 91, "DGN": 64, "DLGN": 64}
rates = [0.003] if FAST else [0.003, 0.01]
seeds = [SEED] if FAST else [SEED, SEED + 1, SEED + 2]
epochs, steps = (4, 60) if FAST else (40, 25)


def make(name, seed):
    skeleton = dk.skeletons.fc(depth=3, width=width[name])
    if name == "DNN":
        return dk.DNN(skeleton, (2,), num_classes=1, seed=seed)
    family = {"DGN": dk.DGN, "DLGN": dk.DLGN}[name]
    return family(skeleton, (2,), num_classes=1, value_bias=True, seed=seed)


def learn(model, x, signal, waves, rate):
    """Fit, and return what is missing of each wave: (epochs + 1, waves)."""
    model.compile(keras.optimizers.Adam(rate), "mse")
    many_x, many_y = np.tile(x, (steps, 1)), np.tile(signal, steps)[:, None]
    missing = []
    for epoch in range(epochs + 1):
        residual = signal - model.predict(x, batch_size=len(x), verbose=0)[:, 0]
        missing.append(2 / len(x) * np.abs(waves.conj() @ residual))
        if epoch < epochs:
            model.fit(many_x, many_y, batch_size=len(x), shuffle=False, verbose=0)
    return np.array(missing)


def compare(x, signal, waves, seeds):
    """Return, by family, the models and what they miss, at the better rate."""
    found = {}
    for name in width:
        runs = []
        for rate in rates:
            models = [make(name, seed) for seed in seeds]
            missing = [learn(model, x, signal, waves, rate) for model in models]
            runs.append((np.square(missing)[:, -1].sum(), models, np.array(missing)))
        _, models, missing = min(runs, key=lambda run: run[0])
        found[name] = models, missing
        print(
            f"{name:4} {models[0].count_params()} parameters, missing at the end:",
            end=" ",
        )
        print(np.round(missing[:, -1].mean(axis=0), 3))
    return found


found = compare(circle, signal, waves, seeds)

# %%
figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
colours = plt.colormaps["viridis"](np.linspace(0, 0.9, len(frequencies)))
for place, (name, (_, missing)) in zip(axes, found.items(), strict=True):
    for k, colour in enumerate(colours):
        curve = missing[:, :, k].mean(axis=0)
        place.plot(steps * np.arange(epochs + 1), curve, color=colour)
    place.set_title(name)
    place.set_xlabel("steps")
axes[0].set_ylabel("missing of the wave")
figure.legend(axes[0].lines, frequencies, loc="outside right", title="frequency")
plt.show()

# %% [markdown]
# Slow waves come first in all three panels. The networks with a gating network of their
# own are quicker with the fast ones.
#
# ## What the gates can see: the spectrum of the kernel
#
# The *neural path kernel* (notebook 04) says how alike two inputs are to the gates. A
# value network at fixed gates learns those functions first that have most weight in it.
# So here is the weight of each frequency, as a share of the kernel's trace, after
# learning (lines) and before (dots), with hard gates for all.


# %%
def weights(model, frequencies):
    kernel = dk.kernels.npk(model, circle, mode="hard")
    waves = np.exp(1j * np.outer(frequencies, angles))
    share = np.einsum("kx,xy,ky->k", waves.conj(), kernel, waves).real
    return 2 / len(circle) * share / np.trace(kernel)


all_frequencies = np.arange(1, 41)
spectra = {
    name: np.mean([weights(model, all_frequencies) for model in models], axis=0)
    for name, (models, _) in found.items()
}
slopes = {
    name: np.polyfit(np.log(all_frequencies[3:]), np.log(share[3:]), 1)[0]
    for name, share in spectra.items()
}

figure, axes = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
for k, (name, share) in enumerate(spectra.items()):
    label = f"{name}: falls like $k^{{{slopes[name]:.1f}}}$"
    axes.loglog(all_frequencies, share, color=f"C{k}", label=label)
    start = np.mean(
        [weights(make(name, seed), all_frequencies) for seed in seeds], axis=0
    )
    axes.loglog(all_frequencies, start, ".", color=f"C{k}", markersize=3)
axes.set_xlabel("frequency k")
axes.set_ylabel("share of the kernel's trace")
axes.legend()
plt.show()

# %% [markdown]
# Those of DGN and DLGN can hardly be told apart; after learning, the ReLU network's has
# somewhat more weight at high frequencies. All fall off in the same way. That a DLGN's
# gates cannot fold does not show here. Nor is it the spectrum alone that decides: the
# ReLU network has the most weight at the fastest wave, and takes longest to learn it.
#
# ## Two dimensions
#
# The same on a square, with plane waves of several directions.

# %%
grid = np.linspace(-1, 1, 20, endpoint=False)
square = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
directions = np.array([[1, 0], [1, 1], [2, 1], [3, 2], [4, 4]])
plane_waves = np.exp(1j * np.pi * directions @ square.T)
plane_phases = np.exp(2j * np.pi * rng.random((len(directions), 1)))
landscape = (plane_phases * plane_waves).real.sum(axis=0)
planes = compare(square, landscape, plane_waves, seeds[:1])

# %%
figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
pictures = {"signal": landscape} | {
    name: models[0].predict(square, verbose=0)[:, 0]
    for name, (models, _) in planes.items()
}
for place, (name, values) in zip(axes, pictures.items(), strict=True):
    place.imshow(values.reshape(20, 20), cmap="RdBu_r", vmin=-4, vmax=4)
    place.set_title(name)
    place.set_xticks([])
    place.set_yticks([])
plt.show()

# %% [markdown]
# ## What was measured
#
# For both signals: what the DLGN misses at the end, at the worst frequency, and how it
# compares with the ReLU network over all; that a fast wave is learnt later than a slow
# one; and that no family's kernel is blind to a frequency.
#
# What this does not say: that it stays so for larger networks, for many dimensions, or
# for data that do not fill the space; nor anything about new points between these.

# %%
for name, result in {"circle": found, "square": planes}.items():
    missing = {family: runs.mean(axis=0) for family, (_, runs) in result.items()}
    worst = missing["DLGN"][-1].max()
    ratio = np.square(missing["DLGN"][-1]).sum() / np.square(missing["DNN"][-1]).sum()
    print(f"{name}: the DLGN misses {worst:.1%} of the worst wave,", end=" ")
    print(f"its squared error is {ratio:.2f} times the ReLU network's")
    assert worst < (0.5 if FAST else 0.1)
    assert ratio < 1
    for family, runs in missing.items():
        half_learnt = [np.argmax(runs[:, k] < 0.5) for k in (0, -2)]
        assert half_learnt[0] <= half_learnt[1], family
for share in spectra.values():
    assert share.min() > 1e-5  # no frequency is out of sight
    assert (np.diff(share[[0, 3, 7, 15, 31]]) < 0).all()  # fast ones have less weight
