"""node_trainer: trains the nets of an oblique tree's nodes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dlgn_keras.data import Dataset, Preprocessing
from dlgn_keras.models import GatedModel
from dlgn_keras.training.fitting import fit
from dlgn_keras.training.recipe import Recipe

Train = Callable[[np.ndarray, np.ndarray], GatedModel]
STEPS_AN_EPOCH = 10  # as in the paper, whatever the number of points
FEWEST_A_BATCH = 32
EPOCHS = 200


def node_trainer(net: GatedModel, recipe: Any = None, seed: int = 0) -> Train:
    """Return `train(x, y)`, which builds and trains a new net like `net`.

    For `dk.interpret.oblique_tree(..., train=...)`.

    Args:
        net: the new nets have its input, classes and preprocessing.
        recipe: `dk.training.Recipe` of the new nets; its data and seed are ignored,
            and a batch is a tenth of the points. None: the skeleton and gates of
            `net`, by Adam at rate 0.005 for 200 epochs.
        seed: seed of the first net; each further net uses the next seed.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (2,), num_classes=2)
        >>> recipe = dk.training.Recipe(skeleton="fc:depth=1,width=3", epochs=1)
        >>> x = np.random.default_rng(0).normal(size=(64, 2))
        >>> dk.training.node_trainer(net, recipe)(x, x[:, 0] > 0).family
        'dlgn'
    """
    chosen = _own_recipe(net) if recipe is None else recipe
    made = 0

    def train(x: np.ndarray, y: np.ndarray) -> GatedModel:
        nonlocal made
        x, y = np.asarray(x), np.asarray(y, np.int64)
        x = x.astype(np.float32) if x.dtype == np.float64 else x
        batch_size = max(FEWEST_A_BATCH, -(-len(y) // STEPS_AN_EPOCH))
        dataset = Dataset(
            name="node",
            x_train=x,
            y_train=y,
            x_test=x[:1],  # nothing is measured here
            y_test=y[:1],
            num_classes=net.num_classes,
            preprocessing=net.preprocessing or Preprocessing(),
        )
        now = chosen.replace(seed=seed + made, batch_size=batch_size)
        made += 1
        result = fit(now, dataset=dataset, progress=False)
        if result.model is None:
            raise RuntimeError("The trained net came back without its weights.")
        return result.model

    return train


def _own_recipe(net: GatedModel) -> Recipe:
    """Return a recipe that builds the twin of a DLGN."""
    fields = ("gate", "beta", "gate_scale", "value_input", "gate_order", "shallow")
    fields = (*fields, "gating_bias", "value_bias", "value_norm")
    options = {name: net.arguments[name] for name in fields}
    return Recipe(
        family=net.family,
        skeleton=net.skeleton,
        learning_rate=5e-3,
        epochs=EPOCHS,
        evaluate_every=EPOCHS // 4,  # one call runs them: there is nothing to evaluate
        **options,
    )
