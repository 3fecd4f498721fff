"""disentangle: from a ReLU network to its gated twin."""

import warnings
from typing import Any

import keras

from dlgn_keras.models.base import GatedModel
from dlgn_keras.models.families import DGN, DLGN, DNN
from dlgn_keras.models.foreign import DisentangledModel, check_twin, read
from dlgn_keras.skeletons import walk
from dlgn_keras.tools.messages import check_choice


def disentangle(
    model: Any,
    family: str = "dgn",
    copy_weights: bool = True,
    *,
    input_shape: Any = None,
    gates: dict[str, str] | None = None,
    **options: Any,
) -> GatedModel | DisentangledModel:
    """Return the DGN or DLGN twin of a ReLU network: gates at the same sites.

    With `family="dgn"` and copied weights the twin is the exact dual of the
    model at inference: hard gates from a copy of it, multiplied into a linear copy
    of it; the logits are the same. Max pooling becomes gates that select. With
    "dlgn" the gating network becomes linear (and its max pooling average pooling,
    of which a warning tells), so the twin is a starting point for training, not an
    equal. A softmax at the end is left out: logits come out.

    What is affine is found by probing: each layer or operation that is no known
    activation, pooling or head is called on random inputs, and must take lines to
    lines and keep the examples of a batch apart. Custom layers, slices, wrappers and
    constants are converted so. With copied weights the whole twin is checked too:
    equal outputs, an affine value network. All this takes the time of about ten
    forward passes of a few random examples; large inputs are probed on three.

    Args:
        model: a `dk.DNN`, or a functional or sequential Keras model of one output; of
            several inputs, in a list or a dictionary. Its activations are ReLU-like,
            clipping or maxima in any spelling: ReLU, LeakyReLU, ReLU6, PReLU,
            hard_tanh, `ops.maximum`, `ops.clip`, max pooling, functions of the
            framework; or smooth, such as SiLU, GELU, ELU and tanh. Normalisations,
            products with a bounded branch and softmax attention have gates too.
            Everything else is affine at inference: layers, operations, nested models.
        family: "dgn" or "dlgn".
        copy_weights: whether both networks start from the model's weights.
        input_shape: without the batch, for a model whose own has unknown sizes.
        gates: {name of a product: name of the branch that is its gate}. Without it the
            gate is the branch that ends in a bounded activation, such as a sigmoid.
        options: further arguments of the twin (`beta`, `gate`, `value_input`, ...).

    Returns:
        a `dk.DGN` or `dk.DLGN` for a `dk.DNN`, else a `dk.models.DisentangledModel`.

    Raises:
        ValueError: an unknown family; a quantised model; what cannot be converted,
            the first layers by name and with the reason; a twin that fails its check.

    Example:
        >>> import keras, numpy as np, dlgn_keras as dk
        >>> model = keras.Sequential([keras.Input((4,)),
        ...     keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)])
        >>> x = np.random.default_rng(0).normal(size=(5, 4)).astype("float32")
        >>> dual = dk.disentangle(model)
        >>> np.allclose(model.predict(x, verbose=0), dual.predict(x, verbose=0))
        True

    Reference: arXiv 2006.10529, section 2 (NPF and NPV of a ReLU network).
    """
    check_choice("family", family, ("dgn", "dlgn"))
    if isinstance(model, DNN):
        return _twin_of_dnn(model, family, copy_weights, options)
    if isinstance(model, GatedModel | DisentangledModel):
        raise ValueError(
            "`model` must be a ReLU network, such as a dk.DNN. "
            f"Received: {type(model).__name__} {model.name!r}, gated already."
        )
    found = read(model, input_shape, gates)
    options = {"gate": "hard" if family == "dgn" else "soft", **options}
    unknown = sorted(set(options) - {"gate", "beta", "value_input", "name"})
    if unknown:
        raise ValueError(
            "The twin of a Keras model has the options gate, beta, value_input and "
            f"name. Received: {unknown[0]}."
        )
    with keras.saving.custom_object_scope(found.custom_objects):
        twin = DisentangledModel(found.graph, family, **options)
    if copy_weights:
        twin.copy_weights_from(found.sources)
        check_twin(model, twin, found.head)
    averaged = [k for k in twin.replacements if k != "output"]
    if averaged:
        _warn_of_averages(averaged)
    return twin


def _warn_of_averages(pools: list[str]) -> None:
    warnings.warn(
        "A DLGN's gating network is linear: max pooling becomes average pooling "
        f"there, in {', '.join(pools)}.",
        stacklevel=4,
    )


def _twin_of_dnn(
    model: DNN, family: str, copy_weights: bool, options: dict[str, Any]
) -> GatedModel:
    config = model.arguments
    shared = {
        "gate": "hard" if family == "dgn" else "soft",
        "gating_bias": config["use_bias"],
        "value_bias": config["use_bias"],
        "kernel_initializer": config["kernel_initializer"],
        "preprocessing": model.preprocessing,
        "seed": config["seed"],
    }
    if family == "dlgn" and model.skeleton.has_max_pool:
        shared["max_pool"] = "average"
        pools = [s.name for s in walk(model.skeleton.stages) if s.selects]
        _warn_of_averages(pools)
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
