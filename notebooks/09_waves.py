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
# # 09 Waves: which frequencies does a DLGN learn?
#
# ReLU networks can approximate any function, but they learn slow waves long before fast
# ones: this is their well known *spectral bias*. The gates of a DLGN are half-spaces of
# the input. Those of a ReLU network can fold, those of a DLGN cannot. Does that cost it
# the fast waves? Is a DLGN a *universal spectral approximator*?
#
# We measure it. A signal is the sum of waves of growing frequency, all of the same
# strength. Each of the three families learns it with about as many parameters and the
# same number of steps, and we record how much of each wave is still missing.
#
# **Claim.** In these measurements, in one dimension and in two, a DLGN learns every
# wave, the slow ones first, and no worse than the ReLU network. The neural path kernels
# of all three families have some weight at every frequency measured, and less at higher
# ones.
#
# The measurements hold for these sizes and signals. They prove nothing about others.

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
rng = np.random.default_rng(SEED)

# %% [markdown]
# ## The signal
#
# Points on a circle, at the angles $\theta$, and waves $\cos(k\theta + \varphi_k)$ with
# $k$ from 1 to 32. The Fourier amplitude of the residual $r$, $\frac{2}{n} |\sum_\theta
# r(\theta)\, e^{-ik\theta}|$, says how much of a wave is missing: 1 before learning, 0
# when the wave is learnt.

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
# A DGN or a DLGN has two networks, so the ReLU network is wider, to have as many
# parameters. All get the same number of Adam steps on the whole signal, and the better
# of two learning rates. This is about fitting: there is no test set.

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
    """Fit, and return how much of each wave is missing: (epochs + 1, waves)."""
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
    """Return {family: (models, missing waves)} at the better learning rate."""
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
axes[0].set_ylabel("missing share of the wave")
figure.legend(axes[0].lines, frequencies, loc="outside right", title="frequency")
plt.show()

# %% [markdown]
# All three families learn the slow waves first. DGN and DLGN learn the fast ones sooner
# than the ReLU network.
#
# ## What the gates can see: the spectrum of the kernel
#
# The *neural path kernel* (notebook 04) measures how alike two inputs are to the gates.
# A value network at fixed gates first learns the functions that have most weight in
# this kernel. The picture shows the weight of each frequency, as a share of the
# kernel's trace, after learning (lines) and before (dots), with hard gates for all
# families.


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
axes.set_title("The gates respond less to faster waves")
axes.legend()
plt.show()

# %% [markdown]
# The kernels of DGN and DLGN are nearly the same. After learning, the kernel of the
# ReLU network has somewhat more weight at high frequencies. All fall off in the same
# way: that the gates of a DLGN cannot fold has no visible effect here. The spectrum
# alone does not decide either: the ReLU network has most weight at the fastest wave,
# and takes longest to learn it.
#
# ## Two dimensions
#
# The same measurement on a square, with plane waves of several directions.

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
# For both signals: the DLGN learns every wave, and its squared error is below that of
# the ReLU network. A fast wave is learnt later than a slow one. The kernel of each
# family has some weight at every frequency.
#
# This says nothing about larger networks, about many dimensions, about data that do not
# fill the space, or about new points between these.

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
