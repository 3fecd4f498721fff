"""Deep gated and deep linearly gated networks for Keras 3."""

from typing import Any

# isort: off
from dlgn_keras.launch import choose_backend, import_keras_quietly

choose_backend()  # before anything imports Keras
import_keras_quietly()
# isort: on

from dlgn_keras import (
    data,
    experiments,
    gates,
    interpret,
    kernels,
    layers,
    models,
    paths,
    presets,
    skeletons,
    training,
    tuning,
)
from dlgn_keras.models import DGN, DLGN, DNN, GatedModel, collapse, disentangle
from dlgn_keras.models.base import BaseModel
from dlgn_keras.presets import from_preset
from dlgn_keras.training import DLGNClassifier
from dlgn_keras.version import __version__

__all__ = [
    "DGN",
    "DLGN",
    "DNN",
    "DLGNClassifier",
    "GatedModel",
    "__version__",
    "collapse",
    "data",
    "disentangle",
    "experiments",
    "from_preset",
    "gates",
    "interpret",
    "kernels",
    "layers",
    "models",
    "paths",
    "presets",
    "skeletons",
    "training",
    "tuning",
]


def _explain(net: BaseModel, x: Any, target: Any = None, batch_size: int = 32) -> Any:
    """Return `dk.interpret.explain(net, x, target)`: logits taken apart, exactly.

    Args:
        x: raw inputs (n, *input_shape).
        target: class to explain, one for all or one per example; the predicted
            class if None.
        batch_size: number of examples explained at a time.
    """
    from dlgn_keras.interpret import explain

    return explain(net, x, target, batch_size)


# The models stand below `interpret`: here, where both are known, they get the method.
_explain.__name__, _explain.__qualname__ = "explain", "BaseModel.explain"
BaseModel.explain = _explain
