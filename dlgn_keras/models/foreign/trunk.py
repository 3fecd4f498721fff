"""What both networks of a twin are built from: layers walked, gates made, applied."""

import copy
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dlgn_keras.layers import (
    AppliedGate,
    LinearGate,
    PiecewiseGate,
    SelectedPooling,
    SelectionGate,
)
from dlgn_keras.models.foreign.calls import filled
from dlgn_keras.models.foreign.graph import Graph, Step, behind
from dlgn_keras.models.kept import Functional

# What comes out of a site, a max pooling or a product, given the step and {step: output
# of what is before it}.
Answer = Callable[[Step, dict[int, Any]], Any]
ANSWERED = ("site", "pool", "product")
SATURATED = "_saturated"


class Trunk:
    """The layers of a graph; every trunk has its own."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: dict[str, Any] = {}

    def walk(
        self,
        given: dict[int, Any],
        targets: set[int],
        answer: Answer | None = None,
        through_gates: bool = True,
    ) -> dict[int, Any]:
        """Return the outputs of the targets, from those of the given steps.

        Args:
            given: {step: its output}.
            targets: steps.
            answer: what comes out of a site; that of its own layer if None.
            through_gates: whether what gates are made of is walked too.
        """
        steps = self.graph.steps
        among = set(range(len(steps))) - given.keys()
        needed = behind(steps, targets, through_gates, among)
        outputs = dict(given)
        for k in sorted(needed):
            step = steps[k]
            if step.kind == "part":
                outputs[k] = outputs[step.inputs[0]][step.arguments]
            elif step.kind in ANSWERED and answer is not None:
                outputs[k] = answer(step, outputs)
            else:
                outputs[k] = self.called(step, outputs)
        return {k: outputs[k] for k in targets}

    def called(self, step: Step, outputs: dict[int, Any]) -> Any:
        """Return what the layer of a step makes of the outputs of other steps."""
        args, kwargs = filled(step.arguments, outputs)
        parts = keras.tree.flatten(self.layer(step)(*args, **kwargs))
        return parts[0] if len(parts) == 1 else parts

    def layer(self, step: Step) -> Any:
        """Return the layer of a step, made when first asked for."""
        if step.layer not in self.layers:
            described = copy.deepcopy(self.graph.layers[step.layer])  # some pop items
            self.layers[step.layer] = keras.saving.deserialize_keras_object(described)
        return self.layers[step.layer]

    def averaging(self, step: Step) -> Any:
        """Return an average pooling with the windows of a max pooling."""
        if step.layer not in self.layers:
            described = self.graph.layers[step.layer]
            name = described["class_name"].replace("Max", "Average")
            cls = getattr(keras.layers, name)
            self.layers[step.layer] = cls.from_config(described["config"])
        return self.layers[step.layer]

    def copy_from(self, sources: dict[str, Any]) -> None:
        """Give every layer the weights of the source with its key."""
        for key, layer in self.layers.items():
            source: Any = sources.get(key)
            if isinstance(source, keras.layers.Layer) and source.weights:
                copy_weights(source, layer)


def copy_weights(source: Any, layer: Any) -> None:
    layer.set_weights(source.get_weights())
    if isinstance(layer, keras.layers.Normalization):
        layer.finalize_state()  # what it scales by is made of the weights


def linear_answer(trunk: Trunk) -> Answer:
    """Answer as a linear gating network does.

    An activation passes on what comes in, a pooling averages, and what stands for the
    gates of a product are constants.
    """

    def answer(step: Step, outputs: dict[int, Any]) -> Any:
        if step.kind == "product":
            z = outputs[step.value_inputs[0]]
            constants = {
                gate.step: Constant(gate.shape, gate.mean, gate.dtype)(z)
                for gate in step.gates
            }
            return trunk.called(step, {**outputs, **constants})
        x = outputs[step.inputs[0]]
        return x if step.kind == "site" else trunk.averaging(step)(x)

    return answer


class Constant(keras.layers.Layer):
    """One number in place of each gate, for as many examples as come in."""

    def __init__(self, shape: Any, value: float, gate_dtype: str) -> None:
        super().__init__()
        self.shape, self.value, self.gate_dtype = tuple(shape), value, gate_dtype

    def call(self, inputs: Any) -> Any:
        shape = (ops.shape(inputs)[0], *self.shape)
        return ops.cast(ops.full(shape, self.value), self.gate_dtype)

    def compute_output_spec(self, inputs: Any) -> Any:
        return keras.KerasTensor((inputs.shape[0], *self.shape), self.gate_dtype)


class ProductGates:
    """What makes the gates of a product from its pre-activations.

    Args:
        trunk: the layers that gates are made with.
        step: the product.
        q: {step: pre-activation}, symbolic.
    """

    def __init__(self, trunk: Trunk, step: Step, q: dict[int, Any]) -> None:
        made = [trunk.graph.making(gate) for gate in step.gates]
        self.queries = sorted({k for _, read in made for k in read})
        self.names = step.gate_names()
        self.weights: list = []
        with keras.name_scope("gates"):
            inputs = [
                keras.Input(q[k].shape[1:], dtype=q[k].dtype) for k in self.queries
            ]
            targets = {gate.step for gate in step.gates}
            found = trunk.walk(dict(zip(self.queries, inputs, strict=True)), targets)
            gates = {
                name: ops.cast(found[gate.step], "float32")
                for name, gate in zip(self.names, step.gates, strict=True)
            }
            self.model = Functional(inputs, gates, name=f"{step.name}_gate")

    def keys(self, site: str) -> list[str]:
        """Return the names of its pre-activations, the site's own if there is one."""
        if len(self.queries) == 1:
            return [site]
        return [f"{site}_{k}" for k in range(1, len(self.queries) + 1)]

    def __call__(self, q: list) -> dict[str, Any]:
        """Return {site: gates} of a list of pre-activations."""
        cast = [
            ops.cast(x, like.dtype)
            for x, like in zip(q, self.model.inputs, strict=True)
        ]
        return self.model(cast)


def value_answer(trunk: Trunk, gates: dict[str, Any]) -> Answer:
    """Answer `z * gate`, and at a pooling what the selection gates select."""

    graph = trunk.graph

    def answer(step: Step, outputs: dict[int, Any]) -> Any:
        if step.kind == "product":
            given = {
                gate.step: _as(gates[name], gate.dtype)
                for gate, name in zip(step.gates, step.gate_names(), strict=True)
            }
            return trunk.called(step, {**outputs, **given})
        z = outputs[step.inputs[0]]
        config = graph.layers[step.layer]["config"]
        # By layers of a step's own name: Keras numbers bare operations, and its
        # "multiply" may be one of the model's.
        options = {"dtype": config["dtype"], "name": step.name}
        if step.kind == "pool":
            keepdims = config.get("keepdims", False)
            layer = SelectedPooling(**_windows(config), keepdims=keepdims, **options)
            return layer([z, gates[step.name]])
        names = [n for n in (step.name, step.name + SATURATED) if n in gates]
        layer = AppliedGate(config.get("max_value"), **options)
        return layer([z, *(gates[name] for name in names)])

    return answer


def _as(gate: Any, dtype: str) -> Any:
    return gate if gate.dtype == dtype else ops.cast(gate, dtype)


def make_gate(graph: Graph, step: Step, q: Any, mode: str, beta: float) -> Any:
    """Return the layer that makes the gates of a step from what comes into it."""
    described = graph.layers[step.layer]
    config = described["config"]
    options = {"mode": mode, "beta": beta, "name": f"{step.name}_gate"}
    options["dtype"] = config["dtype"]
    if step.kind == "pool":
        return SelectionGate(**_windows(config), **options)
    if described["class_name"] == "PReLU":
        shared = config["shared_axes"] or ()
        shape = [1 if k in shared else n for k, n in enumerate(q.shape[1:], start=1)]
        return PiecewiseGate(slope_shape=shape, **options)
    names = ("negative_slope", "max_value", "threshold")
    numbers = {name: config[name] for name in names}
    if numbers == {"negative_slope": 0.0, "max_value": None, "threshold": 0.0}:
        return LinearGate(**options)
    return PiecewiseGate(**numbers, **options)


def _windows(config: dict[str, Any]) -> dict[str, Any]:
    return {
        "pool_size": config.get("pool_size"),  # global pooling has none
        "strides": config.get("strides"),
        "padding": config.get("padding", "valid"),
        "data_format": config["data_format"],
    }


def named_gates(name: str, made: Any) -> dict[str, Any]:
    """Return the gates a site's layer made by name; a saturating one makes two."""
    if isinstance(made, list | tuple):
        return {name: made[0], name + SATURATED: made[1]}
    return {name: made}
