"""Deep gated and deep linearly gated networks for Keras 3.

Rooms load when they are first asked for. Only the classes that saved models name are
imported at once; the dlgn-keras program imports even those when it runs a command.
"""

import importlib
from typing import TYPE_CHECKING

from dlgn_keras.launch import prepare_program
from dlgn_keras.tools import lazy
from dlgn_keras.version import __version__

if TYPE_CHECKING:
    from dlgn_keras import (
        data,
        estimators,
        experiments,
        gates,
        interpret,
        kernels,
        layers,
        models,
        paths,
        skeletons,
        training,
        tuning,
    )
    from dlgn_keras.estimators import DLGNTreeClassifier, DLGNTreeRegressor
    from dlgn_keras.models import DGN, DLGN, DNN, GatedModel, collapse, disentangle
    from dlgn_keras.presets import from_preset, presets
    from dlgn_keras.training import DLGNClassifier, DLGNRegressor

__all__ = [
    "DGN",
    "DLGN",
    "DNN",
    "DLGNClassifier",
    "DLGNRegressor",
    "DLGNTreeClassifier",
    "DLGNTreeRegressor",
    "GatedModel",
    "__version__",
    "collapse",
    "data",
    "disentangle",
    "estimators",
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

_HOMES = {
    "DGN": "models",
    "DLGN": "models",
    "DLGNClassifier": "training",
    "DLGNRegressor": "training",
    "DLGNTreeClassifier": "estimators",
    "DLGNTreeRegressor": "estimators",
    "DNN": "models",
    "GatedModel": "models",
    "collapse": "models",
    "disentangle": "models",
    "from_preset": "presets",
}
__getattr__, __dir__ = lazy.attach(__name__, __all__, _HOMES)


def register_classes() -> None:
    """Import the classes that saved models and presets name, and their methods."""
    for room in ("methods", "training.ingredients"):
        importlib.import_module(f"{__name__}.{room}")


if not prepare_program():
    register_classes()
