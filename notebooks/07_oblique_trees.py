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
# # 07 Oblique trees
#
# A decision tree that asks about one feature at a time ("is $x_3$ above 2?") is easy to
# read, and needs many questions for a boundary that runs across the features. An
# *oblique* tree asks about weighted sums, "is $w \cdot x + b$ above 0?". There are
# infinitely many such questions, so good ones are hard to search for.
#
# The gates of a DLGN ask exactly such questions (notebook 05), and gradient descent
# finds them. `dk.DLGNTreeClassifier` trains a DLGN on a table, reads a tree off its
# gates, refits and prunes it, and predicts with the tree alone.
#
# **Claim.** A table goes in, a drawn tree comes out. It asks far fewer questions than
# scikit-learn's tree and is right more often; where the true questions are known, it
# finds them.

# %%
import os

os.environ.setdefault("KERAS_BACKEND", "tensorflow")  # or "jax", or "torch"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
SEED = 0
FAST = "DLGN_FAST" in os.environ  # the tests run on less data

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.tree import DecisionTreeClassifier

import dlgn_keras as dk

# %% [markdown]
# ## A table
#
# 569 tumours, 30 measurements of cell nuclei each, benign or malignant: a table that
# scikit-learn brings along. (With pandas, `load_breast_cancer(as_frame=True)` gives a
# DataFrame; the estimator takes it as it is, and its columns name the features.)

# %%
table = load_breast_cancer()
names, classes = table.feature_names, table.target_names
x_train, x_test, y_train, y_test = train_test_split(
    table.data, classes[table.target], test_size=0.3, random_state=SEED
)
print(x_train.shape, dict(zip(*np.unique(y_train, return_counts=True), strict=True)))

# %% [markdown]
# scikit-learn's tree asks about one measurement at a time. Its depth is not limited. On
# the 171 test rows:

# %%
upright = DecisionTreeClassifier(random_state=SEED).fit(x_train, y_train)
print(f"{upright.score(x_test, y_test):.1%} right, {upright.get_n_leaves()} leaves")

# %% [markdown]
# ## A tree that a network has found
#
# A fifth of the training rows is held out: pruning keeps a question only if it helps
# there. With `n_init=3` three networks are trained, and the tree that is best on these
# rows is kept.

# %%
model = dk.DLGNTreeClassifier(n_init=1 if FAST else 3, random_state=SEED)
model.fit(x_train, y_train)
print(f"{model.score(x_test, y_test):.1%} right, {model.get_n_leaves()} leaves")

# %% [markdown]
# The tree is a scikit-learn estimator: `predict_proba` returns class frequencies of
# leaves, `apply` and `decision_path` tell where a row goes, and it can be cloned,
# pickled and searched by `GridSearchCV`. The text below can be evaluated by hand; a
# feature counts in standard deviations from its mean.

# %%
print(model.export_text(names, terms=5))

# %% [markdown]
# ## Are these the right questions?
#
# For a real table nobody knows. So take points whose labels come from a known tree, on
# the unit sphere in ten dimensions. How far is each of its questions from the nearest
# one of the tree that is read off? 0 means the same hyperplane, 1.41 a right angle.

# %%
depth, number = (2, 1500) if FAST else (3, 6000)
x, y, truth = dk.data.sample_oblique_tree(2 * number, dim=10, depth=depth, seed=SEED)
found = dk.DLGNTreeClassifier(depth, random_state=SEED).fit(x[:number], y[:number])
cosines = found.tree_.normals @ truth.normals.T
cosines /= np.maximum(np.linalg.norm(found.tree_.normals, axis=1)[:, None], 1e-12)
apart = np.sqrt(2 - 2 * np.minimum(np.abs(cosines).max(axis=0), 1))
print("distances", apart.round(2))
print(f"tree read off {found.score(x[number:], y[number:]):.1%}")
straight = DecisionTreeClassifier(random_state=SEED).fit(x[:number], y[:number])
print(f"scikit-learn's {straight.score(x[number:], y[number:]):.1%}")

# %% [markdown]
# ## What the tree says
#
# Importances share the decrease of impurity at each node among the features, in
# proportion to their weights.

# %%
order = np.argsort(-model.feature_importances_)[:8]
figure, axes = plt.subplots(figsize=(6, 2.6), layout="constrained")
axes.barh(names[order][::-1], model.feature_importances_[order][::-1])
axes.set_xlabel("importance")
plt.show()

# %% [markdown]
# The same tree drawn, with the test rows sent down. One weighted sum does here what
# takes scikit-learn's tree 18 questions. Its largest weights say: nuclei whose size
# varies within a picture, and dented ones, speak for a malignant tumour. No measurement
# decides alone.

# %%
model.plot(x_test, y_test, feature_names=names, terms=3)

# %% [markdown]
# ## The claim

# %%
assert model.score(x_test, y_test) > upright.score(x_test, y_test)
assert model.get_n_leaves() < upright.get_n_leaves()
assert apart.max() < 0.3
assert found.score(x[number:], y[number:]) > 0.95
assert straight.score(x[number:], y[number:]) < 0.85
