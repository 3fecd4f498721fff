"""from_preset: a trained model in one line."""

import os
from typing import Any

import keras

from dlgn_keras.presets import weights
from dlgn_keras.presets.config import build
from dlgn_keras.presets.files import CONFIG, WEIGHTS, check_files
from dlgn_keras.presets.find import find
from dlgn_keras.tools.messages import check_count


def from_preset(
    preset: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    freeze_gates: bool | None = None,
    load_weights: bool = True,
    family: type = keras.Model,
) -> Any:
    """Return the model of a preset: raw inputs in, logits out.

    Every file of the preset is compared with its sha256 first, on every load;
    nothing is unpickled, and a config can name this library's families only.

    Args:
        preset: a name of `dk.presets()`, a folder, https://... or
            hf://owner/repository. A zoo elsewhere is found by DLGN_KERAS_ZOO.
        num_classes: another number of classes: the last layer is made anew, the
            rest keeps its trained weights.
        freeze_gates: True keeps the gating network of a DGN or DLGN as it is while
            the value network is tuned, False lets it learn, None leaves it as the
            preset was trained.
        load_weights: False gives the untrained model.
        family: the class the model must be of, as `dk.DLGN.from_preset` asks.

    Raises:
        ValueError: an unknown name, damaged files, frozen gates for a DNN,
            a model of another family.
        FileNotFoundError: no such folder, or no network to fetch it.
        ImportError: hf:// without huggingface_hub.

    Example:
        >>> from dlgn_keras.presets import from_preset
        >>> net = from_preset("dlgn_fc_digits", num_classes=3, freeze_gates=True)
        >>> net.output_shape, net.gating_network.trainable
        ((None, 3), False)
    """
    if num_classes is not None:
        check_count("num_classes", num_classes)
    folder = find(preset)
    check_files(folder)
    net = build(folder / CONFIG)
    if not isinstance(net, family):
        raise ValueError(
            f"`preset` must be a {family.__name__}'s. "
            f"Received: preset={str(preset)!r}, a {type(net).__name__}'s."
        )
    if load_weights:
        weights.load_weights(net, folder / WEIGHTS)
    if num_classes not in (None, net.num_classes):
        net = with_new_head(net, build(folder / CONFIG, num_classes=num_classes))
    if freeze_gates is not None and net.has_gating_network:
        net.gating_network.trainable = not freeze_gates
    elif freeze_gates:
        raise ValueError(
            "`freeze_gates` needs a DGN or a DLGN: a DNN's gates are its own layers'. "
            "Received: freeze_gates=True for a DNN."
        )
    return net


def with_new_head(source: Any, target: Any) -> Any:
    """Return `target` with all weights of `source` but those of the last layer."""
    for network in ("value", "gating"):
        ours = source.network_layers(network)
        for name, layer in target.network_layers(network).items():
            if name != "logits" and layer.get_weights():
                layer.set_weights(ours[name].get_weights())
    return target
