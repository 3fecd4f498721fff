"""The model of a recipe, made for a data set or read from the disk."""

import inspect
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.data.dataset import Facts
from dlgn_keras.models import FAMILIES, GatedModel, copy_network
from dlgn_keras.training.recipe import Recipe


def build_model(recipe: Recipe, dataset: Facts) -> GatedModel:
    """Return the model a recipe describes, ready to train on a data set.

    The regimes of a gating network (arXiv 2006.10529, section 4):
    "joint" trains it with the value network (DLNPF); "frnpf_ii" freezes its
    random start, independent of the value network's; "frnpf_di" freezes a copy
    of the value network's start; "flnpf" freezes a copy of a trained model's
    weights, `recipe.gates_from`. A frozen gating network keeps its batch-norm
    statistics frozen too.

    Raises:
        ValueError: arguments that do not fit the skeleton or the data.
        FileNotFoundError: `gates_from` names no file.
    """
    check_targets_fit(recipe.loss, dataset)
    binary = recipe.loss == "binary"
    net = FAMILIES[recipe.family](
        input_shape=dataset.input_shape,
        num_classes=1 if binary else dataset.num_classes,
        preprocessing=dataset.preprocessing,
        **model_options(recipe),
    )
    prepare_gates(net, recipe.regime, recipe.gates_from)
    names = dataset.class_names[1:] if binary else dataset.class_names
    net.about.update(data=dataset.name, class_names=list(names))
    if recipe.loss != "crossentropy":
        net.about["loss"] = recipe.loss
    return net


def check_targets_fit(loss: str, dataset: Facts) -> None:
    """Raise a ValueError unless the data have what the loss compares with."""
    classes, numbers = dataset.num_classes, dataset.targets == "numbers"
    fits = numbers if loss == "mse" else not numbers
    if not fits or (loss == "binary" and classes != 2):
        wanted = {"mse": "targets='numbers'", "binary": "two classes"}
        raise ValueError(
            f"`loss` {loss!r} needs data with {wanted.get(loss, 'classes')}. "
            f"Received: {dataset.name} with targets={dataset.targets!r}"
            f"{'' if numbers else f' and {classes} classes'}."
        )


def model_options(recipe: Recipe) -> dict[str, Any]:
    """Return the arguments of the family's class that a recipe has values for."""
    values = vars(recipe) | {
        "gate": recipe.gate_mode,
        "use_bias": recipe.gating_bias,
    }
    parameters = inspect.signature(FAMILIES[recipe.family]).parameters
    return {name: values[name] for name in parameters if name in values}


def prepare_gates(net: GatedModel, regime: str, gates_from: str | None) -> None:
    """Initialise and freeze the gating network according to the regime."""
    if regime == "joint":
        return
    if regime == "frnpf_di":
        copy_network(net, net, "gating")
    elif regime == "flnpf":
        source = load_trained(str(gates_from))
        copy_network(source, net, "gating", "gating")
    net.gating_network.trainable = False


def load_trained(path: str) -> GatedModel:
    """Return the model saved at `path` (a .keras file or a run folder)."""
    net = load_keras(path)
    if not isinstance(net, GatedModel):
        raise ValueError(
            f"{path} must hold a dlgn_keras model. Received: {type(net).__name__}."
        )
    return net


def load_keras(path: str) -> keras.Model:
    """Return any Keras model saved at `path` (a .keras file or a run folder)."""
    file = Path(path)
    file = file / "model.keras" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f"No saved model {path!r} (.keras file or run folder).")
    try:
        return keras.saving.load_model(file, compile=False)
    except Exception as error:  # damage shows as anything: zip, json, HDF5, Keras
        first_line = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"{file} is no whole saved model: {first_line}") from None
