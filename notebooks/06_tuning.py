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
# Every gate of a DLGN is $\sigma(\beta q)$. Which slope $\beta$ is good, which width,
# which learning rate? `dk.tuning` searches with KerasTuner's algorithms, and answers
# two common complaints about such searches: nobody can train the winner again, and if
# somebody can, it scores worse.
#
# Here every trial is a *recipe*, plain data that says all about a run. The winner is
# trained again with other seeds, because the best of many trials was also a lucky one.
# Only these runs see the test set, once.
#
# **Claim.** A trial is its recipe: training the winner's recipe again gives the same
# score to the last digit. Other seeds show what the recipe is worth.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # the tests run on less data

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
# ## The search space
#
# A search space is plain data: a list is a choice, `min` and `max` give a range. Its
# names are fields of a recipe and sizes of the skeleton. All other fields stay as given
# here. A fifth of the training data is held out to score the trials.

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
# The folder keeps everything. If a search is killed, the same call goes on. Below, the
# first call asks for a few trials, the second for more.

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
    axes.set_xlabel({"beta": "slope of the gates, beta"}.get(name, "learning rate"))
figure.suptitle("One mark for each trial")
all_axes[0].set_ylabel("validation accuracy, %")
all_axes[1].legend(title="width")
plt.show()

# %% [markdown]
# ## The winner, again
#
# Its recipe is an ordinary one. On the command line, `dlgn-keras train best.json`
# trains it.

# %%
print({name: found.best_row[f"hp:{name}"] for name in hypermodel.space})
again = dk.training.fit(found.best, progress=False)
print("score in the search", found.score, "and again", again.validation_accuracy)

# %% [markdown]
# With other seeds for the weights and the order of the data, the same recipe gives
# other figures. Their mean is what to expect of the recipe. Quote their test
# accuracies.

# %%
others = {
    part: 100 * np.array([getattr(run, f"{part}_accuracy") for run in found.retrained])
    for part in ("validation", "test")
}
for part, shares in others.items():
    print(f"{part}: {shares.mean():.2f} % ± {shares.std():.2f}", shares.round(2))

# %% [markdown]
# On many machines, one of them makes this call with `role="chief"` and the others with
# `role="worker"`. The command is `dlgn-keras tune`.
#
# ## The claim

# %%
assert again.validation_accuracy == found.score
assert first.rows == found.rows[:few]
assert len(found.rows) == many
assert all(run.recipe["seed"] != found.best.seed for run in found.retrained)
