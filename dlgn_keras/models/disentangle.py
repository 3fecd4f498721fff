"""disentangle: from a ReLU network to the gated pair that separates its two halves."""

from typing import Any

from dlgn_keras.messages import check_choice
from dlgn_keras.models.families import DGN, DLGN, DNN
from dlgn_keras.models.gated_model import GatedModel


def disentangle(
    model: Any, family: str = "dgn", copy_weights: bool = True, **options: Any
) -> GatedModel:
    """Return the DGN or DLGN twin of a DNN: gates at the same sites.

    With `family="dgn"` and copied weights the twin is the exact dual of the
    DNN: hard gates from a copy of it, multiplied into a linear copy of it;
    the logits are the same. With "dlgn" the gating network becomes linear, so
    the twin is a starting point for training, not an equal.

    Args:
        model: a `dk.DNN`.
        family: "dgn" or "dlgn".
        copy_weights: whether both networks start from the DNN's weights.
        options: further arguments of the twin (`beta`, `gate`, `value_input`, ...).

    Raises:
        ValueError: another kind of model, an unknown family, or max pooling.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> dnn = dk.DNN(dk.skeletons.fc(2, 8), (4,), num_classes=3)
        >>> x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
        >>> dual = dk.disentangle(dnn)
        >>> np.allclose(dnn.predict(x, verbose=0), dual.predict(x, verbose=0))
        True

    Reference: arXiv 2006.10529, section 2 (NPF and NPV of a ReLU network).
    """
    check_choice("family", family, ("dgn", "dlgn"))
    if not isinstance(model, DNN):
        raise ValueError(
            f"`model` must be a dk.DNN. Received: {type(model).__name__} "
            f"{getattr(model, 'name', '')!r}."
        )
    config = model.arguments
    shared = {
        "gate": "hard" if family == "dgn" else "soft",
        "gating_bias": config["use_bias"],
        "value_bias": config["use_bias"],
        "kernel_initializer": config["kernel_initializer"],
        "preprocessing": model.preprocessing,
        "seed": config["seed"],
    }
    twin_class = DGN if family == "dgn" else DLGN
    twin = twin_class(
        model.skeleton, config["input_shape"], model.num_classes, **(shared | options)
    )
    if copy_weights:
        copy_network(model, twin, "value")
        copy_network(model, twin, "gating")
    return twin


def copy_network(
    source: GatedModel, target: GatedModel, network: str, from_network: str = "value"
) -> None:
    """Copy the weights of a network of `source` into a network of `target`.

    Args:
        source: model whose layers are read.
        target: model of the same skeleton whose layers are written.
        network: "gating" or "value", the network of `target` to write.
        from_network: "gating" or "value" (a DNN's own), the one to read.

    Raises:
        ValueError: a layer of the target that the source lacks, or of another shape.
    """
    ours = source.network_layers(from_network)
    for name, layer in target.network_layers(network).items():
        weights = layer.get_weights()
        if not weights:
            continue
        given = ours[name].get_weights() if name in ours else []
        if [w.shape for w in given] != [w.shape for w in weights]:
            raise ValueError(
                f"Weights can be copied between equal layers only. Received: {name!r} "
                f"with shapes {[w.shape for w in given]} for a layer with shapes "
                f"{[w.shape for w in weights]}."
            )
        layer.set_weights(given)
