"""DisentangledModel: the gated pair of any functional Keras model.

As in `dlgn_keras.models.builder`, layers are made on first use, and the networks
differ only in what comes out of a site.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras import gates as gate_functions
from dlgn_keras.models.base import BaseModel, Site
from dlgn_keras.models.builder import as_float32, gate_inputs
from dlgn_keras.models.foreign.graph import Graph
from dlgn_keras.models.foreign.trunk import (
    ProductGates,
    Trunk,
    copy_weights,
    linear_answer,
    make_gate,
    named_gates,
    value_answer,
)
from dlgn_keras.models.inputs import check_inputs, predict_arrays
from dlgn_keras.models.kept import Functional
from dlgn_keras.tools.messages import check_choice
from dlgn_keras.tools.numbers import sigmoid


class _Parts:
    """What the model is made of, in an object that Keras need not track."""

    def __init__(self, graph: Graph, arguments: dict[str, Any]) -> None:
        self.graph = graph
        self.arguments = arguments
        self.preprocessing = Trunk(graph)
        self.gating = Trunk(graph)
        self.value = Trunk(graph)
        self.products = Trunk(graph)  # what gates of products are made with
        self.gates: dict[str, Any] = {}  # site -> the layer that makes its gates
        self.pre_activations: dict[str, Any] = {}
        self.sites: tuple[Site, ...] = ()
        self.views: dict[str, keras.Model] = {}
        self.about: dict[str, Any] = {}


@keras.saving.register_keras_serializable(package="dlgn_keras")
class DisentangledModel(BaseModel):
    """A gating network beside a value network, both on the graph of a Keras model.

    `dk.disentangle` makes it. The networks have the model's own layers, split at
    every ReLU-like activation and every max pooling; at inference the value network
    is affine in its input at fixed gates. It is read as our other models are:

    - a ReLU, LeakyReLU or PReLU site `s` has the gates `s`, of value 1 or slope;
    - a ReLU6 site has the gates `s`, 1 between 0 and 6, and `s_saturated`, 1 above:
      there the value network adds the constant 6, which starts paths as a bias does;
    - a max pooling has selection gates, 1 for the entry taken of each window.

    Args:
        graph: the model as data, see `dlgn_keras.models.foreign`.
        family: "dgn", whose gating network is the model itself, or "dlgn", whose
            gating network is linear: no activation, average for max pooling.
        gate, beta, value_input: as in `dk.DGN`.

    Raises:
        ValueError: an argument out of range.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> model = keras.Sequential([
        ...     keras.Input((8, 8, 1)), keras.layers.Conv2D(4, 3, activation="relu"),
        ...     keras.layers.GlobalMaxPooling2D(), keras.layers.Dense(3)])
        >>> twin = dk.disentangle(model)
        >>> [len(site.shape) for site in twin.sites], twin.output_shape
        ([3, 2], (None, 3))

    Reference: arXiv 2006.10529, section 3; arXiv 2110.03403, section 2.
    """

    has_gating_network = True
    _parts: _Parts

    def __init__(
        self,
        graph: Graph,
        family: str,
        *,
        gate: str = "hard",
        beta: float = 4.0,
        value_input: str = "input",
        name: str | None = None,
    ) -> None:
        check_choice("family", family, ("dgn", "dlgn"))
        gate_functions.check(gate, beta)
        check_choice("value_input", value_input, ("input", "ones"))
        arguments = {
            "family": family,
            "gate": gate,
            "beta": beta,
            "value_input": value_input,
        }
        parts = _Parts(graph, arguments)
        inputs = graph.packed(
            [keras.Input(s, dtype=dtype, name=n) for n, s, dtype in graph.ends()]
        )
        start = graph.value_input
        x = parts.preprocessing.walk({0: inputs}, {start})[start]
        gating = _gating_network(parts, x)
        q = gating(x)
        made: dict[str, Any] = {}
        learnt: dict[str, Any] = {}  # a PReLU called twice has one set of slopes
        for step in graph.sites():
            if step.kind == "product":
                layer = parts.gates[step.name]
                made |= layer([q[key] for key in layer.keys(step.name)])
                continue
            layer = learnt.get(step.layer)
            if layer is None:
                layer = make_gate(graph, step, q[step.name], gate, beta)
            parts.gates[step.name] = layer
            made |= named_gates(step.name, layer(q[step.name]))
            if layer.weights:
                learnt[step.layer] = layer
        parts.pre_activations = q
        parts.sites = tuple(Site(k, tuple(g.shape[1:])) for k, g in made.items())
        value = _value_network(parts, x)
        z = keras.tree.map_structure(ops.ones_like, x) if value_input == "ones" else x
        logits = value([z, made])
        super().__init__(inputs, as_float32(logits), name=name or family)
        parts.views |= {"gating_network": gating, "value_network": value}
        self._parts = parts

    # -- what the model is -------------------------------------------------

    @property
    def family(self) -> str:
        return self._parts.arguments["family"]

    @property
    def has_linear_gates(self) -> bool:
        """Whether the gating network is linear."""
        return self.family == "dlgn"

    @property
    def source_graph(self) -> Graph:
        """The model it was made of, as data."""
        return self._parts.graph

    @property
    def switches(self) -> tuple[str, ...]:
        """The sites whose gates are as `gate_mode` says; those of products are not."""
        smooth = {
            name
            for step in self.source_graph.sites()
            if step.kind == "product"
            for name in step.gate_names()
        }
        return tuple(name for name, _ in self.sites if name not in smooth)

    @property
    def divisors(self) -> tuple[str, ...]:
        """The sites whose gates divide or choose: no paths go through each of them."""
        steps = self.source_graph.sites()
        return tuple(name for step in steps for name in step.divisors())

    @property
    def num_classes(self) -> int:
        return int(self.output_shape[-1])

    def probabilities(self, logits: Any) -> np.ndarray:
        """Return what a model says of each class, from logits (n, classes).

        The sigmoid of each logit where the original ends in one.
        """
        if self.source_graph.head == "sigmoid":
            return sigmoid(np.asarray(logits))
        return super().probabilities(logits)

    @property
    def gating_network(self) -> keras.Model:
        """Preprocessed input -> {site: what comes into it}."""
        return self._parts.views["gating_network"]

    @property
    def value_network(self) -> keras.Model:
        """[value input, {site: gates}] -> logits, affine in the value input."""
        return self._parts.views["value_network"]

    @property
    def replacements(self) -> dict[str, str]:
        """What is not as in the original model: {layer: what became of it}."""
        graph, found = self.source_graph, {}
        if graph.head is not None:
            found["output"] = f"the {graph.head} is left out: logits come out"
        if self.family == "dlgn":
            pools = [step.name for step in graph.steps if step.kind == "pool"]
            found |= dict.fromkeys(pools, "averages in the gating network")
        return found

    # -- what it says about an input ---------------------------------------

    def raw_inputs(self, x: Any) -> Any:
        """Return raw inputs as an array, or as the list or {name: array} of several.

        Raises:
            ValueError: they do not fit.
        """
        graph = self.source_graph
        if graph.several is None:
            return super().raw_inputs(x)
        ends = graph.ends()
        wanted = graph.packed([name for name, _, _ in ends])
        if isinstance(wanted, dict):
            fits = isinstance(x, dict) and set(x) == set(wanted)
        else:
            fits = isinstance(x, list | tuple) and len(x) == len(wanted)
        if not fits:
            raise ValueError(
                f"`x` must be a {type(wanted).__name__} of the inputs "
                f"{', '.join(wanted)}. Received: {type(x).__name__} of "
                f"{', '.join(x) if isinstance(x, dict) else len(x)}."
            )
        parts = [x[key] for key in wanted] if isinstance(wanted, dict) else x
        parts = [
            check_inputs(part, shape, name)
            for part, (name, shape, _) in zip(parts, ends, strict=True)
        ]
        lengths = [len(part) for part in parts]
        if len(set(lengths)) > 1:
            raise ValueError(
                "`x` must hold equally many examples of each input. "
                f"Received: {', '.join(map(str, lengths))}."
            )
        return graph.packed(parts)

    def gates_from(
        self,
        pre_activations: dict[str, Any],
        mode: str | None = None,
        beta: float | None = None,
    ) -> dict[str, Any]:
        mode, beta = mode or self.gate_mode, self.beta if beta is None else beta
        gate_functions.check(mode, beta)
        found: dict[str, Any] = {}
        for name, layer in self._parts.gates.items():
            if isinstance(layer, ProductGates):
                found |= layer([pre_activations[key] for key in layer.keys(name)])
                continue
            q = ops.convert_to_tensor(pre_activations[name])
            found |= named_gates(name, layer.gates(q, mode, beta))
        return found

    def preprocessed(self, x: Any, batch_size: int = 256) -> Any:
        """Return raw inputs as both networks see them: float32, (n, *shape)."""
        z = self.raw_inputs(x)
        if self.source_graph.value_input:
            view = self.view("value_inputs", self._preprocessing)
            z = predict_arrays(view, z, batch_size)
        return keras.tree.map_structure(lambda part: np.asarray(part, "float32"), z)

    def value_inputs(self, x: Any, batch_size: int = 256) -> Any:
        """Return what the value network is fed for raw inputs: float32, (n, ...)."""
        z = self.preprocessed(x, batch_size)
        if self.value_input == "ones":
            z = keras.tree.map_structure(np.ones_like, z)
        return z

    def _preprocessing(self) -> keras.Model:
        start = self.source_graph.value_input
        x = self._parts.preprocessing.walk({0: self.input}, {start})[start]
        return Functional(self.input, x)

    # -- weights and saving --------------------------------------------------

    def copy_weights_from(self, sources: dict[str, Any]) -> None:
        """Give both networks the weights of the original's layers, {key: layer}."""
        parts = self._parts
        for trunk in (
            parts.preprocessing,
            parts.gating,
            parts.value,
            parts.products,
        ):
            trunk.copy_from(sources)
        for step in self.source_graph.sites():
            if step.layer in sources and parts.gates[step.name].weights:
                copy_weights(sources[step.layer], parts.gates[step.name])

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "graph": self.source_graph.to_config()}

    @classmethod
    def _made_of(cls, config: dict[str, Any]) -> Any:
        return cls(**{**config, "graph": Graph.from_config(config["graph"])})


def _inputs_like(graph: Graph, x: Any) -> Any:
    """Return new symbolic inputs of the shapes of preprocessed ones."""
    made = [
        keras.Input(part.shape[1:], name=name)
        for part, (name, _, _) in zip(keras.tree.flatten(x), graph.ends(), strict=True)
    ]
    return graph.packed(made)


def _gating_network(parts: _Parts, x: Any) -> keras.Model:
    graph, trunk = parts.graph, parts.gating
    linear = parts.arguments["family"] == "dlgn"
    answer = linear_answer(trunk) if linear else None
    # Name scopes keep the paths of the two networks' variables apart.
    with keras.name_scope("gating_network"):
        x = _inputs_like(graph, x)
        read = {
            step.name: [k for gate in step.gates for k in graph.making(gate)[1]]
            or [step.inputs[0]]
            for step in graph.sites()
        }
        wanted = {k for steps in read.values() for k in steps}
        found = trunk.walk({graph.value_input: x}, wanted, answer)
        q: dict[str, Any] = {}
        for step in graph.sites():
            if step.kind == "product":
                gates = ProductGates(parts.products, step, found)
                parts.gates[step.name] = gates
                keys = gates.keys(step.name)
                q |= {k: found[n] for k, n in zip(keys, gates.queries, strict=True)}
            else:
                q[step.name] = found[step.inputs[0]]
        return Functional(x, q, name="gating_network")


def _value_network(parts: _Parts, x: Any) -> keras.Model:
    graph = parts.graph
    with keras.name_scope("value_network"):
        z, gates = _inputs_like(graph, x), gate_inputs(dict(parts.sites))
        answer = value_answer(parts.value, gates)
        found = parts.value.walk(
            {graph.value_input: z}, {graph.output}, answer, through_gates=False
        )
        return Functional([z, gates], found[graph.output], name="value_network")
