"""The base of every model: its gates, its answers, its config."""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import keras
import numpy as np

from dlgn_keras import gates as gate_functions
from dlgn_keras.data.likeness import cautions
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.scores import loss_of
from dlgn_keras.layers import Gated
from dlgn_keras.models.builder import Network, gate_layer, value_model
from dlgn_keras.models.export import Exported
from dlgn_keras.models.inputs import check_inputs, check_validation, predict_arrays
from dlgn_keras.models.kept import Functional
from dlgn_keras.presets import from_preset, save_to_preset
from dlgn_keras.skeletons import Skeleton, walk
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.numbers import sigmoid, softmax


class Site(NamedTuple):
    """A place where a gate stands: its name and the shape of its gates."""

    name: str
    shape: tuple[int, ...]


class Prediction(NamedTuple):
    """A class as an answer: its name, its probability, its logit and its number."""

    name: str
    probability: float
    logit: float
    number: int


@dataclass
class Parts:
    """The parts of a model, in an object that Keras does not track.

    `fed` is what the value network is called with, [value input, {site: gates}];
    None in a DNN, whose layers are the model's own.
    """

    arguments: dict[str, Any]
    sites: tuple[Site, ...]
    pre_activations: dict[str, Any]
    gating_layers: dict[str, keras.layers.Layer]
    value: Network
    views: dict[str, keras.Model] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict)
    fed: Any = None


class BaseModel(Exported):
    """What skeleton models and the twins of Keras models share.

    `_parts` needs `arguments`, `sites`, `pre_activations` ({site: tensor}), `views`
    and `about`.
    """

    _parts: Any
    # `dlgn_keras/__init__.py` sets it: interpret stands above the models.
    explain: Callable[..., Any]

    # -- reading -----------------------------------------------------------

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments the model was made with, defaults resolved."""
        return dict(self._parts.arguments)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Name and shape of every gate, in the order the data pass them."""
        return self._parts.sites

    @property
    def switches(self) -> tuple[str, ...]:
        """The sites whose gates are as `gate_mode` says: all, but in a twin."""
        return tuple(name for name, _ in self.sites)

    @property
    def divisors(self) -> tuple[str, ...]:
        """The sites in whose gates the logits are not linear: none, but in a twin."""
        return ()

    @property
    def gate_mode(self) -> str:
        """The gate the model uses: "hard", "soft" or "straight_through"."""
        return self._parts.arguments.get("gate", "hard")

    @property
    def beta(self) -> float:
        """The slope of soft gates, per unit of pre-activation."""
        return self._parts.arguments.get("beta", 4.0)

    @property
    def value_input(self) -> str:
        """The input of the value network: the "input" itself or all "ones"."""
        return self._parts.arguments.get("value_input", "input")

    def source_site(self, name: str) -> str:
        """Return the site whose pre-activations make the gates of site `name`."""
        return name

    def raw_inputs(self, x: Any) -> np.ndarray:
        """Return raw inputs as an array; raise a ValueError if they do not fit.

        Args:
            x: an array, a tf.data.Dataset or a `keras.utils.PyDataset`; of a data set
                the inputs are taken, in its order.
        """
        return check_inputs(x, self.input_shape[1:])

    def pre_activations(self, x: Any, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Return {site: pre-activations (n, *shape)} in float32.

        For a max pooling these are the values it pools.

        Args:
            x: raw inputs (n, *input_shape), as `predict` takes them.
            batch_size: number of examples per forward pass.
        """
        view = self.view(
            "pre_activations",
            lambda: Functional(self.input, self._parts.pre_activations),
        )
        q = predict_arrays(view, self.raw_inputs(x), batch_size)
        names = [name for name, _ in self.sites if name in q]
        names += [name for name in q if name not in names]
        return {name: np.asarray(q[name], "float32") for name in names}

    def gates(
        self,
        x: Any,
        mode: str | None = None,
        batch_size: int = 256,
        beta: float | None = None,
    ) -> dict[str, np.ndarray]:
        """Return {site: gates (n, *shape)}, the factors in the value network.

        Args:
            x: raw inputs (n, *input_shape).
            mode: "hard", "soft" or "straight_through"; the model's own if None.
                A DNN's own gates are hard: 1 where its ReLU is on, else 0.
            batch_size: number of examples per forward pass.
            beta: slope of soft gates; the model's own if None.
        """
        made = self.gates_from(self.pre_activations(x, batch_size), mode, beta)
        return {
            site: np.asarray(keras.ops.convert_to_numpy(gate), "float32")
            for site, gate in made.items()
        }

    def gates_from(
        self,
        pre_activations: dict[str, Any],
        mode: str | None = None,
        beta: float | None = None,
    ) -> dict[str, Any]:
        """Return {site: gates} as tensors, from {site: pre-activations}.

        Args:
            pre_activations: arrays or tensors (n, *shape).
            mode, beta: as in `gates`.
        """
        raise NotImplementedError("A model defines how its gates are made.")

    def view(self, name: str, make: Callable[[], keras.Model]) -> keras.Model:
        """Return another model over the same layers; `make` runs on first use."""
        if name not in self._parts.views:
            self._parts.views[name] = make()
        return self._parts.views[name]

    # -- origin and answers --------------------------------------------------

    @property
    def about(self) -> dict[str, Any]:
        """What is known of its origin: "preset", "data", "class_names", "usual".

        A preset and a model that `dk.training.fit` trained know it, and saving keeps
        it; `net.about.update(class_names=[...])` tells any other model. "usual" are
        the intervals that `cautions` compares inputs with.
        """
        return self._parts.about

    @property
    def preset(self) -> str | None:
        """The name of the preset it was loaded from, or None."""
        return self.about.get("preset")

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes; their numbers where no names are known."""
        count = self.output_shape[-1]
        names = tuple(self.about.get("class_names", ()))
        return names if len(names) == count else tuple(map(str, range(count)))

    def decode_predictions(self, logits: Any, top: int = 3) -> list[list[Prediction]]:
        """Return the most probable classes of every example, the first one first.

        Args:
            logits: array (n, classes), as `predict` returns it.
            top: how many classes per example. Of one logit for two classes the second
                class is the answer, with its probability; of numbers, the largest.

        Raises:
            ValueError: another shape, or `top` below 1.

        Example:
            >>> import dlgn_keras as dk
            >>> net = dk.from_preset("dlgn_fc_digits")
            >>> images = dk.data.load("digits").x_test[:2]
            >>> answers = net.decode_predictions(net.predict(images, verbose=0), top=2)
            >>> [answer[0].name for answer in answers]
            ['2', '2']
        """
        logits = np.asarray(logits)
        names = self.class_names
        if logits.ndim != 2 or logits.shape[1] != len(names):
            raise ValueError(
                f"`logits` must have shape (n, {len(names)}). "
                f"Received: logits of shape {logits.shape}."
            )
        check_count("top", top)
        shares = self.probabilities(logits)
        return [
            [
                Prediction(names[k], float(p[k]), float(row[k]), int(k))
                for k in np.argsort(-row, kind="stable")[:top]
            ]
            for row, p in zip(logits, shares, strict=True)
        ]

    def probabilities(self, logits: Any) -> np.ndarray:
        """Return what a model says of each class, from logits (n, classes).

        The softmax; of a model trained by the loss binary, the sigmoid of its logit;
        NaN for the loss mse, whose outputs are numbers.
        """
        logits, loss = np.asarray(logits), loss_of(self)
        if loss == "mse":
            return np.full_like(logits, np.nan, dtype="float64")
        return sigmoid(logits) if loss == "binary" else softmax(logits)

    def cautions(self, x: Any) -> list[str]:
        """Return one line per input: how it is unlike the training data, or "".

        The measure is of pixels: mean, deviation and roughness of an image against
        the intervals that hold 998 of 1,000 training images, as a preset stores them.
        It tells inverted digits and noise, not strange objects. A model that knows no
        such intervals says nothing.

        Args:
            x: raw inputs (n, *input_shape).

        Example:
            >>> import numpy as np, dlgn_keras as dk
            >>> net = dk.from_preset("dlgn_fc_digits")
            >>> net.cautions(16 * np.ones((1, 8, 8, 1)))[0][:45]
            'unlike the training data: mean 16, usually 3.'
        """
        raw, usual = self.raw_inputs(x), self.about.get("usual")
        if not usual:
            return [""] * len(keras.tree.flatten(raw)[0])
        return cautions(raw, usual)

    # -- saving ------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = {**self._parts.arguments, "name": self.name}
        if self.about:
            config["about"] = dict(self.about)
        if self.quantized:
            config["quantized"] = True  # `from_config` quantises again
        if self.dtype_policy.name != "float32":
            config["dtype"] = self.dtype_policy.name
        frozen = [
            name
            for name in ("gating_network", "value_network")
            if not self._parts.views.get(name, self).trainable
        ]
        return {**config, "frozen": frozen} if frozen else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        frozen, quantized = config.pop("frozen", []), config.pop("quantized", False)
        about, dtype = config.pop("about", {}), config.pop("dtype", None)
        before = keras.config.dtype_policy()
        try:
            keras.config.set_dtype_policy(dtype or before)
            net = cls._made_of(config)
        finally:
            keras.config.set_dtype_policy(before)
        net.about.update(about)
        if quantized:
            net.quantize("int8")
        for name in frozen:
            getattr(net, name).trainable = False
        return net

    @classmethod
    def _made_of(cls, config: dict[str, Any]) -> Any:
        """Return the model of a config that holds its arguments alone."""
        return cls(**config)

    # -- training ----------------------------------------------------------

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Call Keras' `compile`; warn of a loss or gates that would train badly."""
        super().compile(*args, **kwargs)
        for loss in keras.tree.flatten(kwargs.get("loss", [*args, None, None][1])):
            if wants_probabilities(loss):
                warnings.warn(
                    f"{self.name}: the loss expects probabilities, the model returns "
                    "logits; give the loss with from_logits=True.",
                    stacklevel=2,
                )
        hard = self.has_gating_network and self.gate_mode == "hard" and self.switches
        if hard and self.gating_network.trainable_weights:
            all_hard = len(self.switches) == len(self.sites)
            learns = "not learn" if all_hard else "learn by its other gates alone"
            warnings.warn(
                f"{self.name}: hard gates pass no gradient, so the gating network will "
                f"{learns}; freeze it, or take gate='soft'.",
                stacklevel=2,
            )

    def compile_from_config(self, config: dict[str, Any]) -> None:
        config = keras.saving.deserialize_keras_object(config)
        self.compile(**config)
        if getattr(self, "optimizer", None) is not None and self.built:
            self.optimizer.build(self.trainable_variables)


class GatedModel(BaseModel):
    """Base of DNN, DGN and DLGN: a Keras model from raw inputs to logits.

    Every family is read in the same way: by its skeleton, its sites, the gates of
    an input, and the value network, which is affine in its input at fixed gates.
    The class attributes tell other rooms how the families differ.
    """

    family = ""
    # Whether gates come from a network of their own (False: the ReLUs of a DNN).
    has_gating_network: ClassVar[bool] = True
    # Whether pre-activations are affine in the input, as a DLGN's are.
    has_linear_gates: ClassVar[bool] = False
    _parts: Parts

    # -- parts -------------------------------------------------------------

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

    def features(self) -> keras.Model:
        """Return the model before its head: raw inputs -> what the logits are made of.

        It shares the layers with the model: training one trains the other.

        Raises:
            ValueError: a model whose logits come from a value tensor.

        Example:
            >>> import dlgn_keras as dk
            >>> dk.from_preset("dlgn_fc_digits").features().output_shape
            (None, 64)
        """
        if "logits" not in self._parts.value.layers:
            raise ValueError(
                "`features` needs a value network: a value tensor makes logits of "
                f"gates at once. Received: {self.name!r}."
            )
        return self.view("features", self._make_features)

    def _make_features(self) -> keras.Model:
        name = f"{self.name}_features"
        features = self._parts.value.layers["logits"].input
        if self._parts.fed is not None:
            network = self.value_network
            before = Functional(network.input, features, name="value_features")
            features = before(self._parts.fed)
        return Functional(self.input, features, name=name)

    def _make_gating_network(self) -> keras.Model:
        raise NotImplementedError("A family defines its gating network.")

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

    def gates_from(
        self,
        pre_activations: dict[str, Any],
        mode: str | None = None,
        beta: float | None = None,
    ) -> dict[str, Any]:
        how = self._gate(mode, beta)
        gate_functions.check(*how)
        stages = {s.name: s for s in walk(self.skeleton.stages)}
        found = {}
        for name, _ in self.sites:
            source = self.source_site(name)
            q = pre_activations[source]
            found[name] = gate_layer(stages[source], *how).call(q)
        return found

    def _gate(
        self, mode: str | None, beta: float | None = None
    ) -> tuple[str, float, float]:
        """Return mode, beta and scale of the gates."""
        scale = self._parts.arguments.get("gate_scale", 1.0)
        return mode or self.gate_mode, self.beta if beta is None else beta, scale

    def preprocessed(self, x: Any) -> np.ndarray:
        """Return raw inputs as the networks see them: float32, (n, *input_shape)."""
        x = self.raw_inputs(x).astype("float32")
        return x if self.preprocessing is None else self.preprocessing.apply(x)

    def value_inputs(self, x: Any) -> np.ndarray:
        """Return the input of the value network for raw inputs: float32, (n, ...)."""
        if self.value_input == "input":
            return self.preprocessed(x)
        return np.ones_like(check_inputs(x, self.input_shape[1:]), "float32")

    # -- range of raw inputs -----------------------------------------------
    # Arrays are checked; data sets and tensors are not, as they come in pieces.

    def raw_inputs(self, x: Any) -> np.ndarray:
        x = super().raw_inputs(x)
        self._check_range(x)
        return x

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._check_range(args[0] if args else None)
        return super().__call__(*args, **kwargs)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Call Keras' `fit`; warn of raw inputs out of range, refuse mixed scales."""
        self._check_range(x)
        check_validation(x, kwargs.get("validation_data"))
        return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Call Keras' `evaluate`; warn of raw inputs out of range."""
        self._check_range(x)
        return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Call Keras' `predict`; warn of raw inputs out of range."""
        self._check_range(x)
        return super().predict(x, *args, **kwargs)

    def _check_range(self, x: Any) -> None:
        """Warn of raw inputs outside the range the preprocessing was made for.

        Raises:
            ValueError: one example without a batch axis.
        """
        if isinstance(x, np.ndarray) and x.shape == self.input_shape[1:]:
            check_inputs(x, self.input_shape[1:])
        if not isinstance(x, np.ndarray) or self.preprocessing is None:
            return
        problem = self.preprocessing.range_problem(x)
        if problem:
            warnings.warn(f"{self.name}: raw {problem}", stacklevel=3)

    # -- configs and presets -----------------------------------------------

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

    @classmethod
    def from_preset(cls, preset: Any, **options: Any) -> Any:
        """Return the model of a preset of this family; see `dk.from_preset`."""
        return from_preset(preset, family=cls, **options)

    def save_to_preset(self, folder: Any, **options: Any) -> Any:
        """Write the model as a preset folder; see `dlgn_keras.presets`."""
        return save_to_preset(self, folder, **options)


def wants_probabilities(loss: Any) -> bool:
    """Return whether a loss is a cross-entropy of probabilities, not of logits."""
    if loss is None:
        return False
    try:
        loss = keras.losses.get(loss)
    except ValueError:
        return False
    name = str(getattr(loss, "name", None) or getattr(loss, "__name__", ""))
    if "crossentropy" not in name and name != "kl_divergence":
        return False
    known = str(getattr(loss, "__module__", "")).startswith("keras.")
    return known and not getattr(loss, "from_logits", False)
