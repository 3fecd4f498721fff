"""GatedModel: what the three families have in common."""

from dataclasses import dataclass, field
from typing import Any

import keras
import numpy as np

from dlgn_keras import gates as gate_functions
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.layers import ChannelRescaling, Gated
from dlgn_keras.models.raw_inputs import ChecksRawInputs
from dlgn_keras.models.readable import Site, check_inputs
from dlgn_keras.models.stored import Stored
from dlgn_keras.models.walker import Network, value_model
from dlgn_keras.skeletons import Skeleton, check_input_shape, output_shapes
from dlgn_keras.tools.messages import check_choice, check_count


@dataclass
class Parts:
    """What a model is made of, in an object that Keras need not track."""

    arguments: dict[str, Any]
    sites: tuple[Site, ...]
    pre_activations: dict[str, Any]
    gating_layers: dict[str, keras.layers.Layer]
    value: Network
    views: dict[str, keras.Model] = field(default_factory=dict)


class GatedModel(Stored, ChecksRawInputs):
    """Base of DNN, DGN and DLGN: an ordinary Keras model, raw inputs to logits.

    Whatever the family, a model is read through the same few things: its
    skeleton, its sites, the gates of an input, and the value network, which is
    affine in its input once the gates are fixed.
    """

    family = ""
    _parts: Parts

    # -- what a model is ---------------------------------------------------

    @property
    def skeleton(self) -> Skeleton:
        """The skeleton as built, batch norm resolved."""
        return self._parts.arguments["skeleton"]

    @property
    def num_classes(self) -> int:
        return self._parts.arguments["num_classes"]

    @property
    def preprocessing(self) -> Preprocessing | None:
        return self._parts.arguments["preprocessing"]

    @property
    def gating_network(self) -> keras.Model:
        """Preprocessed input -> {site: pre-activations}."""
        return self.view("gating_network", self._make_gating_network)

    @property
    def value_network(self) -> keras.Model:
        """[value input, {site: gates}] -> logits, affine in the value input."""
        return self.view(
            "value_network",
            lambda: value_model(
                self._parts.value, self.input_shape[1:], dict(self.sites)
            ),
        )

    def _make_gating_network(self) -> keras.Model:
        raise NotImplementedError("A family says what its gating network is.")

    def source_site(self, name: str) -> str:
        """Return the site whose pre-activations make the gates used at `name`."""
        return name

    # -- what it says about an input ---------------------------------------

    def gates(
        self, x: Any, mode: str | None = None, batch_size: int = 256
    ) -> dict[str, np.ndarray]:
        """Return {site: gates (n, *shape)} as the value network is multiplied by.

        Args:
            x: raw inputs (n, *input_shape).
            mode: "hard", "soft" or "straight_through"; the model's own if None.
                A DNN's gates are hard: its ReLU's on and off.
            batch_size: how many go through the network at a time.
        """
        beta = self._parts.arguments.get("beta", 4.0)
        scale = self._parts.arguments.get("gate_scale", 1.0)
        gate_functions.check(mode or self.gate_mode, beta, scale)
        made = self.gates_from(self.pre_activations(x, batch_size), mode)
        return {
            site: np.asarray(keras.ops.convert_to_numpy(gate))
            for site, gate in made.items()
        }

    def gates_from(
        self, pre_activations: dict[str, Any], mode: str | None = None
    ) -> dict[str, Any]:
        """Return {site: gates} as tensors, made of {site: pre-activations}.

        Args:
            pre_activations: arrays or tensors (n, *shape), as made at the sites.
            mode: as in `gates`.
        """
        beta = self._parts.arguments.get("beta", 4.0)
        scale = self._parts.arguments.get("gate_scale", 1.0)
        how = mode or self.gate_mode, beta, scale
        return {
            name: gate_functions.apply(pre_activations[self.source_site(name)], *how)
            for name, _ in self.sites
        }

    def raw_inputs(self, x: Any) -> np.ndarray:
        """Return raw inputs as an array, or say in one line what is wrong with it."""
        x = super().raw_inputs(x)
        self._check_range(x)
        return x

    def value_inputs(self, x: Any) -> np.ndarray:
        """Return what the value network is fed for raw inputs: float32, (n, ...)."""
        x = check_inputs(x, self.input_shape[1:]).astype("float32")
        if self.value_input == "ones":
            return np.ones_like(x)
        return x if self.preprocessing is None else self.preprocessing.apply(x)

    def parameters(self, network: str | bool = True) -> Any:
        """Return {stage: kernel, bias and folded batch norm} of one network.

        Args:
            network: "value" (the logits' layer is "logits") or "gating".
        """
        # On PyTorch a Keras model is a torch module, which asks itself for its
        # tensors by this very name, with no argument or a flag.
        if isinstance(network, bool) and hasattr(super(), "parameters"):
            return super().parameters(network)
        return {
            name: layer.parameters_at_inference()
            for name, layer in self.network_layers(str(network)).items()
            if isinstance(layer, Gated)
        }

    def network_layers(self, network: str) -> dict[str, keras.layers.Layer]:
        """Return {stage: layer} of the "value" or the "gating" network."""
        check_choice("network", network, ("value", "gating"))
        parts = self._parts
        layers = parts.value.layers if network == "value" else parts.gating_layers
        return dict(layers)

    # -- saving --------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        config["skeleton"] = self.skeleton.to_config()
        if self.preprocessing is not None:
            config["preprocessing"] = self.preprocessing.to_config()
        for key in ("kernel_initializer", "gating_initializer"):
            if key in config and config[key] is not None:
                config[key] = keras.initializers.serialize(
                    keras.initializers.get(config[key])
                )
        return config

    @classmethod
    def _made_of(cls, config: dict[str, Any]) -> Any:
        config = {**config, "skeleton": Skeleton.from_config(config["skeleton"])}
        if config.get("preprocessing") is not None:
            config["preprocessing"] = Preprocessing.from_config(config["preprocessing"])
        return cls(**config)


def check_arguments(
    skeleton: Any,
    input_shape: Any,
    num_classes: Any,
    batch_norm: bool | None,
    preprocessing: Any,
    seed: Any,
) -> tuple[dict[str, Any], tuple[Site, ...]]:
    """Check what every family is made of; return it resolved, and the sites."""
    if not isinstance(skeleton, Skeleton):
        raise ValueError(
            "`skeleton` must be a Skeleton, such as dk.skeletons.fc(). "
            f"Received: skeleton={skeleton!r}."
        )
    if not isinstance(preprocessing, Preprocessing | None):
        raise ValueError(
            "`preprocessing` must be a dk.data.Preprocessing or None. "
            f"Received: preprocessing={preprocessing!r}."
        )
    if not (seed is None or (isinstance(seed, int) and seed >= 0)):
        raise ValueError(
            f"`seed` must be a whole number from 0 or None. Received: seed={seed!r}."
        )
    if batch_norm is not None:
        skeleton = skeleton.with_batch_norm(batch_norm)
    shapes = output_shapes(skeleton, input_shape)
    sites = tuple(Site(name, shapes[name]) for name in skeleton.site_names)
    if not sites:
        raise ValueError(
            "`skeleton` must have a gated stage. "
            f"Received: {skeleton.name!r} without one."
        )
    resolved = {
        "skeleton": skeleton,
        "input_shape": check_input_shape(input_shape),
        "num_classes": check_count("num_classes", num_classes),
        "preprocessing": preprocessing,
        "seed": seed,
    }
    return resolved, sites


def preprocess(inputs: Any, preprocessing: Preprocessing | None) -> Any:
    """Apply `x * scale + offset`, and leave the inputs if there is none.

    By a layer of a name of its own: Keras numbers bare operations, and its
    second "add" would be the "add_1" of a skeleton.
    """
    if preprocessing is None:
        return inputs
    return ChannelRescaling(
        preprocessing.scale, preprocessing.offset, dtype="float32", name="preprocessing"
    )(inputs)


def as_float32(logits: Any) -> Any:
    """Keep the logits float32 whatever precision the layers compute in."""
    return keras.layers.Activation("linear", dtype="float32", name="output")(logits)
