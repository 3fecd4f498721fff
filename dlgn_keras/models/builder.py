"""The builder: from a skeleton to Keras layers, asking at each site what comes out.

A `Network` holds the layers of one skeleton. It makes them on first use and shares
them afterwards, so that the same weights can be walked again with other answers. The
answers (`record`, `gated`) are the only difference between the families.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dlgn_keras import layers as gated_layers
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.models.kept import Functional
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Skeleton,
    Stage,
)
from dlgn_keras.skeletons.rules import StageRules

TENSOR = "value_tensor"

# What comes out at a site, given its stage, its layer and the layer's inputs.
Answer = Callable[[Stage, keras.layers.Layer, list], Any]
# The options of a layer with weights, given its stage.
Options = Callable[[Conv | Dense], dict[str, Any]]


class Network:
    """The layers of a skeleton, and of the logits where `num_classes` is given.

    Args:
        skeleton: the stages to make layers of.
        num_classes: units of the last dense layer; None leaves it out.
        use_bias: whether affine maps add a bias; one that batch norm follows
            never does, since the norm takes it away again.
        kernel_initializer: Keras initializer of every kernel.
        seed: integer; every layer draws from a seed made of it and its name.
            None draws afresh each time.
        norm: "batch", or "scale" for batch norm without centring and offset.
    """

    def __init__(
        self,
        skeleton: Skeleton,
        num_classes: int | None,
        use_bias: bool,
        kernel_initializer: Any,
        seed: int | None,
        norm: str = "batch",
    ) -> None:
        self.norm = norm
        self.skeleton = skeleton
        self.num_classes = num_classes
        self.use_bias = use_bias
        self.kernel_initializer = kernel_initializer
        self.seed = seed
        self.layers: dict[str, keras.layers.Layer] = {}

    def walk(self, x: Any, answer: Answer) -> Any:
        """Return the features of `x`, or its logits where there are classes."""
        features = self._stages(self.skeleton.stages, x, answer)
        if self.num_classes is None:
            return features
        logits = Dense(self.num_classes, gated=False, name="logits")
        return self._layer(logits, features)(features)

    def value_tensor(self) -> gated_layers.ValueTensor:
        """Return, in place of all layers, one tensor of path values (DLGN-VT)."""
        initializer = _seeded(self.kernel_initializer, self.seed, TENSOR)
        self.layers = {
            TENSOR: gated_layers.ValueTensor(
                self.num_classes or 1,
                use_bias=self.use_bias,
                kernel_initializer=initializer,
                name=TENSOR,
            )
        }
        return self.layers[TENSOR]

    def _stages(self, stages: tuple[Stage, ...], x: Any, answer: Answer) -> Any:
        for stage in stages:
            if isinstance(stage, Residual):
                body = self._stages(stage.body, x, answer)
                inputs = [body, self._stages(stage.shortcut, x, answer)]
            else:
                inputs = [x]
            layer = self._layer(stage, x)
            if stage.gated:
                x = answer(stage, layer, inputs)
            else:
                x = layer(inputs if len(inputs) > 1 else inputs[0])
        return x

    def _layer(self, stage: Stage, x: Any) -> keras.layers.Layer:
        if stage.name not in self.layers:
            self.layers[stage.name] = LAYERS(stage, len(x.shape) - 2, self._options)
        return self.layers[stage.name]

    def _options(self, stage: Conv | Dense) -> dict[str, Any]:
        return {
            "use_bias": self.use_bias and not stage.batch_norm,
            "batch_norm": stage.batch_norm and (self.norm == "batch" or self.norm),
            "kernel_initializer": _seeded(
                self.kernel_initializer, self.seed, stage.name
            ),
            "name": stage.name,
        }


# stage, rank of the image, options of a layer with weights -> its Keras layer
LAYERS = StageRules("A layer")
LAST = "channels_last"


@LAYERS.rule(Flatten)
def _flatten(stage: Flatten, rank: int, options: Options) -> keras.layers.Layer:
    return keras.layers.Flatten(data_format=LAST, name=stage.name)


@LAYERS.rule(Residual, "body", "shortcut", "gated")
def _add(stage: Residual, rank: int, options: Options) -> keras.layers.Layer:
    return gated_layers.GatedAdd(name=stage.name)


@LAYERS.rule(Dense, "affine", "gated")
def _dense(stage: Dense, rank: int, options: Options) -> keras.layers.Layer:
    return gated_layers.GatedDense(stage.units, **options(stage))


@LAYERS.rule(Conv, "window", "affine", "gated")
def _conv(stage: Conv, rank: int, options: Options) -> keras.layers.Layer:
    conv = (gated_layers.GatedConv1D, gated_layers.GatedConv2D)[rank - 1]
    return conv(
        stage.filters,
        stage.kernel_size,
        strides=stage.strides,
        padding=stage.padding,
        dilation_rate=stage.dilation,
        groups=stage.groups,
        data_format=LAST,
        **options(stage),
    )


@LAYERS.rule(AveragePool, "window")
def _average_pool(stage: AveragePool, rank: int, _: Options) -> keras.layers.Layer:
    pool = (keras.layers.AveragePooling1D, keras.layers.AveragePooling2D)[rank - 1]
    return pool(stage.pool_size, data_format=LAST, name=stage.name)


@LAYERS.rule(MaxPool, "window")
def _max_pool(stage: MaxPool, rank: int, options: Options) -> keras.layers.Layer:
    pool = (keras.layers.MaxPooling1D, keras.layers.MaxPooling2D)[rank - 1]
    return pool(stage.pool_size, data_format=LAST, name=stage.name)


@LAYERS.rule(GlobalPool)
def _global_pool(stage: GlobalPool, rank: int, options: Options) -> keras.layers.Layer:
    pools = keras.layers.GlobalAveragePooling1D, keras.layers.GlobalAveragePooling2D
    return pools[rank - 1](data_format=LAST, name=stage.name)


def _seeded(initializer: Any, seed: int | None, name: str) -> Any:
    """Return the initializer with a seed of its own for the layer of this name."""
    initializer = keras.initializers.get(initializer)
    config = initializer.get_config()
    if "seed" not in config:
        return initializer
    if seed is not None:
        entropy = [seed, *name.encode()]
        config["seed"] = int(np.random.SeedSequence(entropy).generate_state(1)[0]) >> 1
    else:
        config["seed"] = None
    return type(initializer).from_config(config)


def record(pre_activations: dict[str, Any], rectify: bool) -> Answer:
    """Note q and answer `relu(q)` (a DNN, a DGN's gating network) or q (a DLGN's).

    At a max pooling q is the values to pool; the answer is their maxima, or their
    means.
    """

    def answer(stage: Stage, layer: keras.layers.Layer, inputs: list) -> Any:
        if stage.selects:
            q = pre_activations[stage.name] = inputs[0]
            return layer(q) if rectify else _mean(stage, q)
        q = layer(inputs if len(inputs) > 1 else inputs[0])
        pre_activations[stage.name] = q
        return keras.layers.ReLU(name=f"{stage.name}_relu")(q) if rectify else q

    return answer


def gated(gates: dict[str, Any]) -> Answer:
    """Answer `q * gate`, or the entries that gates select: every value network."""

    def answer(stage: Stage, layer: keras.layers.Layer, inputs: list) -> Any:
        if stage.selects:
            layer = gated_layers.SelectedPooling(
                stage.window.size, data_format=LAST, name=stage.name
            )
        return layer([*inputs, gates[stage.name]])

    return answer


def _mean(stage: Stage, q: Any) -> Any:
    average = AveragePool(stage.window.size, stage.name)
    return LAYERS(average, len(q.shape) - 2, None)(q)


def gate_layer(
    stage: Stage, mode: str, beta: float, scale: float
) -> keras.layers.Layer:
    """Return the layer that makes the gates of a site from its pre-activations."""
    name = f"{stage.name}_gate"
    if stage.selects:
        return gated_layers.SelectionGate(
            stage.window.size, data_format=LAST, mode=mode, beta=beta, name=name
        )
    return gated_layers.LinearGate(beta, mode, scale, name=name)


def gating_model(network: Network, input_shape: tuple, rectify: bool) -> keras.Model:
    """Return the model preprocessed input -> {site: pre-activations}."""
    x = keras.Input(input_shape, name="inputs")
    q: dict[str, Any] = {}
    network.walk(x, record(q, rectify))
    return Functional(x, q, name="gating_network")


def relu_model(network: Network, input_shape: tuple) -> keras.Model:
    """Return the ReLU network preprocessed input -> logits."""
    x = keras.Input(input_shape, name="inputs")
    return Functional(x, network.walk(x, record({}, rectify=True)))


def gate_inputs(site_shapes: dict[str, tuple]) -> dict[str, Any]:
    """Return the symbolic gates that a value network is called with."""
    return {
        site: keras.Input(shape, name=f"{site}_gate")
        for site, shape in site_shapes.items()
    }


def value_model(
    network: Network, input_shape: tuple, site_shapes: dict[str, tuple]
) -> keras.Model:
    """Return the model [value input, {site: gates}] -> logits."""
    z, gates = keras.Input(input_shape, name="inputs"), gate_inputs(site_shapes)
    logits = network.walk(z, gated(gates))
    return Functional([z, gates], logits, name="value_network")


def shallow_gating_model(
    networks: dict[str, Network], input_shape: tuple
) -> tuple[keras.Model, dict[str, keras.layers.Layer]]:
    """Return the gating model whose sites each have a one-layer network of its own.

    The second result holds the layers of the sites by name.
    """
    x = keras.Input(input_shape, name="inputs")
    q: dict[str, Any] = {}
    for network in networks.values():
        network.walk(x, record(q, rectify=False))
    layers = {site: network.layers[site] for site, network in networks.items()}
    return Functional(x, q, name="gating_network"), layers


def tensor_model(
    tensor: gated_layers.ValueTensor, input_shape: tuple, site_shapes: dict[str, tuple]
) -> keras.Model:
    """Return the model [value input, {site: gates}] -> logits; the first is unused."""
    z, gates = keras.Input(input_shape, name="inputs"), gate_inputs(site_shapes)
    logits = tensor(list(gates.values()))
    return Functional([z, gates], logits, name="value_network")


def preprocess(inputs: Any, preprocessing: Preprocessing | None) -> Any:
    """Apply `x * scale + offset`, or return the inputs if there is no preprocessing.

    The layer has a name of its own: Keras numbers bare operations, and its second
    "add" would clash with the "add_1" of a skeleton.
    """
    if preprocessing is None:
        return inputs
    return gated_layers.ChannelRescaling(
        preprocessing.scale, preprocessing.offset, dtype="float32", name="preprocessing"
    )(inputs)


def as_float32(logits: Any) -> Any:
    """Return the logits in float32, whatever precision the layers compute in."""
    return keras.layers.Activation("linear", dtype="float32", name="output")(logits)
