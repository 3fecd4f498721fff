"""What both networks of a twin are built from: layers walked, gates made, applied."""

import copy
from collections.abc import Callable
from typing import Any

import keras

from dlgn_keras.layers import (
    AppliedGate,
    LinearGate,
    PiecewiseGate,
    SelectedPooling,
    SelectionGate,
)
from dlgn_keras.models.foreign.calls import filled
from dlgn_keras.models.foreign.graph import Graph, Step

# What comes out at a site or a max pooling, given the step and what comes in.
Answer = Callable[[Step, Any], Any]
SATURATED = "_saturated"


class Trunk:
    """The layers of a graph; every trunk has its own."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.layers: dict[str, Any] = {}

    def walk(
        self, x: Any, start: int, targets: set[int], answer: Answer | None = None
    ) -> dict[int, Any]:
        """Return the outputs of the targets, step `start` giving x."""
        needed = self.graph.needed_for(targets)
        outputs = {start: x}
        for k, step in enumerate(self.graph.steps):
            if k <= start or k not in needed:
                continue
            if step.kind == "part":
                outputs[k] = outputs[step.inputs[0]][step.arguments]
            elif step.kind != "affine" and answer is not None:
                outputs[k] = answer(step, outputs[step.inputs[0]])
            else:
                args, kwargs = filled(step.arguments, outputs)
                parts = keras.tree.flatten(self.layer(step)(*args, **kwargs))
                outputs[k] = parts[0] if len(parts) == 1 else parts
        return {k: outputs[k] for k in targets}

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


def gating_answer(trunk: Trunk, rectify: bool) -> Answer:
    """Answer as the model itself does (a DGN), or linearly (a DLGN)."""

    def answer(step: Step, x: Any) -> Any:
        if rectify:
            return trunk.layer(step)(x)
        return x if step.kind == "site" else trunk.averaging(step)(x)

    return answer


def value_answer(graph: Graph, gates: dict[str, Any]) -> Answer:
    """Answer `z * gate`, and at a pooling what the selection gates select."""

    def answer(step: Step, z: Any) -> Any:
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
