"""From a recipe and a data set to a model, its gating network made as asked."""

from pathlib import Path
from typing import Any

import keras

from dlgn_keras.data import Dataset
from dlgn_keras.models import FAMILIES, GatedModel, copy_network
from dlgn_keras.training.recipe import Recipe


def build_model(recipe: Recipe, dataset: Dataset) -> GatedModel:
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
    options: dict[str, Any] = {
        "batch_norm": recipe.batch_norm,
        "kernel_initializer": recipe.kernel_initializer,
        "preprocessing": dataset.preprocessing,
        "seed": recipe.seed,
    }
    if recipe.family == "dnn":
        options["use_bias"] = recipe.gating_bias
    else:
        options |= {
            "gate": recipe.gate_mode,
            "beta": recipe.beta,
            "gate_scale": recipe.gate_scale,
            "value_input": recipe.value_input,
            "value": recipe.value,
            "gate_order": recipe.gate_order,
            "shallow": recipe.shallow,
            "gating_bias": recipe.gating_bias,
            "value_bias": recipe.value_bias,
        }
    net = FAMILIES[recipe.family](
        recipe.skeleton, dataset.input_shape, dataset.num_classes, **options
    )
    prepare_gates(net, recipe.regime, recipe.gates_from)
    return net


def prepare_gates(net: GatedModel, regime: str, gates_from: str | None) -> None:
    """Fill and freeze the gating network as the regime asks."""
    if regime == "joint":
        return
    if regime == "frnpf_di":
        copy_network(net, net, "gating")
    elif regime == "flnpf":
        source = load_trained(str(gates_from))
        copy_network(
            source, net, "gating", "value" if source.family == "dnn" else "gating"
        )
    net.gating_network.trainable = False


def load_trained(path: str) -> GatedModel:
    """Return the model saved at `path` (a .keras file or a run folder)."""
    file = Path(path)
    file = file / "model.keras" if file.is_dir() else file
    if not file.is_file():
        raise FileNotFoundError(f"No saved model {path!r} (.keras file or run folder).")
    try:
        net = keras.saving.load_model(file, compile=False)
    except (ValueError, OSError, KeyError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ValueError(f"{file} is no whole saved model: {first_line}") from None
    if not isinstance(net, GatedModel):
        raise ValueError(
            f"{file} must hold a dlgn_keras model. Received: {type(net).__name__}."
        )
    return net
