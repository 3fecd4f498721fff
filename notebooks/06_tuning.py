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
# # 06 Tuning
#
# Every gate of a DLGN is $\sigma(\beta q)$, and nobody tells you the slope $\beta$, nor
# the width of the network, nor the learning rate. `dk.tuning` looks for them with
# KerasTuner's algorithms, and answers two complaints one hears about such searches:
# that the winner cannot be made again, and that it is worse when it is.
#
# Here every trial is a *recipe*, plain data that says all about a run. And the winner
# is trained again with other seeds, since the best of many trials was also a lucky one.
# Only these runs see the test set, once.
#
# **Claim.** A trial is its recipe: running the winner's again gives its score to the
# last digit. What it is worth is told by other seeds.

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
import tempfile
from pathlib import Path

import keras
import matplotlib.pyplot as plt
import numpy as np

import dlgn_keras as dk
from dlgn_keras import tuning

keras.utils.set_random_seed(SEED)

# %% [markdown]
# ## What is open
#
# A search space is plain data: a list is a choice, `min` and `max` a range. Its names
# are fields of a recipe, and the sizes of the skeleton. What is not in the space stays
# as given here. A fifth of the training data is held out to score the trials.

# %%
hypermodel = tuning.GatedHyperModel(
    "dlgn",
    "fc:depth=3",
    data="digits",
    space={
        "beta": {"min": 0.5, "max": 32.0, "sampling": "log"},
        "width": [16, 32, 64],
        "learning_rate": {"min": 3e-4, "max": 3e-2, "sampling": "log"},
    },
    epochs=1 if FAST else 10,
    num_train=300 if FAST else None,
    seed=SEED,
)

# %% [markdown]
# ## Search
#
# The folder keeps everything. A search can be killed at any moment, and the same call
# goes on: below it is asked for a few trials first, and for more later.

# %%
few, many = (1, 2) if FAST else (4, 16)
folder = Path(tempfile.mkdtemp()) / "search"
options = {"seed": SEED, "progress": False}
first = tuning.search(hypermodel, folder, trials=few, retrain_seeds=0, **options)
found = tuning.search(
    hypermodel, folder, trials=many, retrain_seeds=1 if FAST else 3, **options
)
print("trials kept from the first call:", first.rows == found.rows[:few])
print(*sorted(path.name for path in folder.iterdir()), sep="\n")

# %%
figure, all_axes = plt.subplots(
    1, 2, figsize=(8, 3.2), layout="constrained", sharey=True
)
for axes, name in zip(all_axes, ["beta", "learning_rate"], strict=True):
    for width, mark in {16: "v", 32: "s", 64: "o"}.items():
        rows = [row for row in found.rows if row["hp:width"] == width]
        values = [row[f"hp:{name}"] for row in rows]
        axes.semilogx(values, [100 * row["score"] for row in rows], mark, label=width)
    axes.set_xlabel(name)
all_axes[0].set_ylabel("validation accuracy, %")
all_axes[1].legend(title="width")
plt.show()

# %% [markdown]
# ## The winner, again
#
# Its recipe is an ordinary one: save it, read it, train it, on the command line with
# `dlgn-keras train best.json`.

# %%
print({name: found.best_row[f"hp:{name}"] for name in hypermodel.space})
again = dk.training.fit(found.best, progress=False)
print("score in the search", found.score, "and again", again.validation_accuracy)

# %% [markdown]
# With other seeds for the weights and the order of the data, the same recipe gives
# other figures. Their mean is what to expect of it, and their test accuracies are the
# ones to quote.

# %%
others = {
    part: 100 * np.array([getattr(run, f"{part}_accuracy") for run in found.retrained])
    for part in ("validation", "test")
}
for part, shares in others.items():
    print(f"{part}: {shares.mean():.2f} % ± {shares.std():.2f}", shares.round(2))

# %% [markdown]
# On many machines the same call is made once with `role="chief"` and everywhere else
# with `role="worker"`; on the command line it is `dlgn-keras tune`.
#
# ## The claim

# %%
assert again.validation_accuracy == found.score
assert first.rows == found.rows[:few]
assert len(found.rows) == many
assert all(run.recipe["seed"] != found.best.seed for run in found.retrained)
