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
# # 04 The neural path kernel
#
# The output of a gated network is a sum over *paths*: each path runs from an input
# pixel through one unit of every layer to the output. A path counts for an input $x$ if
# all its gates are open. So every input has a long vector with one entry for each path,
#
# $$\phi_x(p) = x[\text{start of } p] \cdot \prod_l G_l(x)[\text{unit of } p],$$
#
# its *neural path feature*. The output is $\langle \phi_x, v\rangle$, where $v(p)$ is
# the product of the weights along $p$. The *neural path kernel* measures how alike two
# inputs are to the gates:
#
# $$H(x, x') = \langle \phi_x, \phi_{x'}\rangle .$$
#
# No weight of the value network enters. There are far too many paths to list, but the
# sum can be computed layer by layer, exactly.
#
# **Claim.** The architecture shows in the kernel. Pooling over positions makes the
# kernel blind to shifts. Skip connections make it the sum of the kernels of all
# sub-networks.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # the tests run on less data

# %%
import itertools

import keras
import matplotlib.pyplot as plt
import numpy as np

import dlgn_keras as dk

keras.utils.set_random_seed(SEED)
digits = dk.data.load("digits").take(num_train=100 if FAST else 300)

# %% [markdown]
# ## Dense layers: a product of overlaps
#
# In dense layers a path can take any unit of the next layer, so the sum over paths is a
# product with one factor for each layer: the inner product of the pixels, times the
# number of open gates that the two inputs share in each layer. That is three lines of
# NumPy on `net.gates(x)`.

# %%
net = dk.DLGN(
    dk.skeletons.fc(depth=3, width=32),
    digits.input_shape,
    num_classes=10,
    preprocessing=digits.preprocessing,
    seed=SEED,
)
x = digits.x_train[:100]

inputs = net.value_inputs(x).reshape(len(x), -1).astype("float64")
by_hand = inputs @ inputs.T
for gate in net.gates(x).values():
    by_hand *= gate.astype("float64") @ gate.T.astype("float64")

kernel = dk.kernels.npk(net, x)
print("paths to each logit:", 64 * 32**3)
print("largest relative difference:", np.abs(kernel / by_hand - 1).max())

# %% [markdown]
# ## Convolution and pooling: blind to shifts
#
# Take four convolutions that treat the image as a torus (`padding="circular"`: the
# right border is joined to the left one) and average over all positions at the end.
# Shift a picture around the torus, in all 64 ways, and compute its kernel with another
# picture that stays. Padding with zeros, at the border, breaks the symmetry.

# %%
kernels = {}
shifts = list(itertools.product(range(8), range(8)))
still, moved = x[:1], np.stack([np.roll(x[7], s, axis=(0, 1)) for s in shifts])
for padding in ("circular", "same"):
    conv = dk.DLGN(
        dk.skeletons.c4gap(width=16, padding=padding),
        digits.input_shape,
        num_classes=10,
        preprocessing=digits.preprocessing,
        seed=SEED,
    )
    conv.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    conv.fit(digits.x_train, digits.y_train, epochs=1 if FAST else 20, verbose=0)
    kernels[padding] = dk.kernels.npk(conv, still, moved)[0]

figure, axes = plt.subplots(1, 4, figsize=(10, 2.6), layout="constrained")
axes[0].imshow(still[0, ..., 0], cmap="gray")
axes[0].set_title("x stays")
axes[1].imshow(x[7, ..., 0], cmap="gray")
axes[1].set_title("x' is shifted")
for place, (padding, values) in zip(axes[2:], kernels.items(), strict=True):
    shown = place.imshow(
        (values / values.mean()).reshape(8, 8), cmap="cividis", vmin=0.8, vmax=1.2
    )
    place.set_title(f"kernel for each shift\npadding {padding!r}")
figure.colorbar(shown, ax=axes[2:], label="kernel / its mean")
for place in axes:
    place.set_xticks([])
    place.set_yticks([])
plt.show()

# %% [markdown]
# ## Skip connections: an ensemble
#
# Now a residual network of dense layers: a first layer, and four blocks $z + f(z)$. In
# each block a path runs either through $f$ or past it. That makes 16 *sub-networks*,
# one for each set of blocks that are kept, and each path belongs to exactly one of
# them. So the kernel must be a sum over the sub-networks, without mixed terms. Each
# sub-network is a chain of dense layers, whose kernel we know.

# %%
blocks = 4
width = 32
skeleton = dk.skeletons.Skeleton(
    (
        dk.skeletons.Flatten(),
        dk.skeletons.Dense(width),
        *(
            dk.skeletons.Residual((dk.skeletons.Dense(width),), gated=False)
            for _ in range(blocks)
        ),
    ),
    name="residual",
)
residual = dk.DLGN(
    skeleton,
    digits.input_shape,
    num_classes=10,
    preprocessing=digits.preprocessing,
    seed=SEED,
)
residual.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
residual.fit(digits.x_train, digits.y_train, epochs=3 if FAST else 30, verbose=0)

first, *inside = [
    gate.astype("float64") @ gate.T.astype("float64") / width
    for gate in residual.gates(x).values()
]
start = inputs @ inputs.T / inputs.shape[1] * first
members = {
    kept: start * np.prod([inside[block] for block in kept], axis=0)
    for size in range(blocks + 1)
    for kept in itertools.combinations(range(blocks), size)
}
ensemble = sum(members.values())
whole = dk.kernels.npk(residual, x, normalize=True)
print(f"{len(members)} sub-networks,", end=" ")
print("largest relative difference:", np.abs(ensemble / whole - 1).max())

# %% [markdown]
# Which of them matter? The picture shows the share of each sub-network in the trace of
# the kernel (the sum of its diagonal). The kernel is *normalised*: sums over units are
# means. A block that is kept contributes a factor below one, its share of open gates.

# %%
shares = {kept: np.trace(member) / np.trace(whole) for kept, member in members.items()}
figure, axes = plt.subplots(figsize=(7, 3), layout="constrained")
labels = ["".join(str(block + 1) for block in kept) or "none" for kept in shares]
axes.bar(labels, [100 * share for share in shares.values()], color="tab:blue")
axes.set_title("How much each sub-network adds to the kernel")
axes.set_xlabel("blocks that are kept")
axes.set_ylabel("share of the kernel's trace, %")
axes.tick_params(axis="x", rotation=45)
plt.show()

# %% [markdown]
# ## The claim
#
# Both identities hold to the precision of the gates, which are single precision
# numbers. Zero padding, the control, breaks the first identity.

# %%
circular, same = kernels["circular"], kernels["same"]
np.testing.assert_allclose(circular, circular[0], rtol=1e-5)
assert np.ptp(same) > 0.01 * same.mean()
np.testing.assert_allclose(ensemble, whole, rtol=1e-9)
