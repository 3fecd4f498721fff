"""A functional Keras model as pure data: its layers and the order of their calls.

A `Graph` is to a Keras model what a skeleton is to ours: two trunks are built from it,
and it goes to json and back. Nested models are inlined, fused activations are steps of
their own, and a softmax at the end is left out. `read` makes it, or names every layer
that cannot be converted; this file alone looks at Keras' record of a graph,
`_nodes_by_depth`.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.layers import ChannelRescaling
from dlgn_keras.models.foreign.kinds import (
    ELEMENTWISE_OPS,
    Activation,
    Kind,
    kind_of,
)

SCALERS = (ChannelRescaling, keras.layers.Rescaling, keras.layers.Normalization)


STEP = "__step__"  # marks a tensor in a step's arguments, as json holds them


@dataclass(frozen=True)
class Step:
    """One call of one layer.

    name: its own, also where a layer is called twice.
    kind: "affine" (at inference), "site" (where a ReLU-like activation stands) or
        "pool" (max pooling); "input" for step 0.
    layer: key of the layer in `Graph.layers`; calls with one key share weights.
    inputs: steps whose outputs it reads.
    arguments: [args, kwargs] of the call, tensors as {STEP: number}.
    """

    name: str
    kind: str
    layer: str = ""
    inputs: tuple[int, ...] = ()
    arguments: Any = None


@dataclass(frozen=True)
class Graph:
    """The steps of a model, in an order in which they can be called.

    input_shape, input_dtype: of step 0, without the batch.
    layers: {key: layer as Keras serialises it}, activations split off.
    steps: step 0 is the input.
    value_input: the step whose output the value network is fed: what the
        preprocessing makes of the raw input, 0 where there is none.
    output: the step whose output are the logits.
    head: what followed the logits and was left out, such as "softmax"; or None.
    """

    input_shape: tuple[int, ...]
    input_dtype: str
    layers: dict[str, Any]
    steps: tuple[Step, ...]
    value_input: int
    output: int
    head: str | None

    def sites(self) -> tuple[Step, ...]:
        """Return the steps where gates stand: activations and max poolings."""
        return tuple(s for s in self.steps if s.kind in ("site", "pool"))

    def needed_for(self, targets: set[int]) -> set[int]:
        """Return the steps that the outputs of `targets` depend on, themselves too."""
        needed = set(targets)
        for k in range(len(self.steps) - 1, -1, -1):
            if k in needed:
                needed |= set(self.steps[k].inputs)
        return needed

    def to_config(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for json."""
        steps = [{**vars(step), "inputs": list(step.inputs)} for step in self.steps]
        return {**vars(self), "input_shape": list(self.input_shape), "steps": steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Graph":
        steps = tuple(
            Step(**{**step, "inputs": tuple(step["inputs"])})
            for step in config["steps"]
        )
        shape = tuple(config["input_shape"])
        return cls(**{**config, "input_shape": shape, "steps": steps})


class Found(NamedTuple):
    """graph: what the model is; sources: {key: the model's own layer}."""

    graph: Graph
    sources: dict[str, Any]


def read(model: Any, input_shape: Any = None) -> Found:
    """Return the graph of a functional or sequential Keras model and its layers.

    Args:
        model: one input tensor, one output tensor; nested models are looked into.
        input_shape: without the batch, for a model whose own has unknown sizes.

    Raises:
        ValueError: what cannot be converted, each layer by name and with the reason.
    """
    inputs, outputs = _ends(model)
    for name, tensors in (("input", inputs), ("output", outputs)):
        if len(tensors) != 1:
            raise ValueError(
                f"`model` must have one {name}. Received: {model.name!r} with "
                f"{len(tensors)} {name}s."
            )
    shape = tuple(inputs[0].shape[1:])
    if input_shape is not None:
        if len(input_shape) != len(shape) or any(
            a not in (None, b) for a, b in zip(shape, input_shape, strict=True)
        ):
            raise ValueError(
                f"`input_shape` must fit the model's, {shape}. "
                f"Received: input_shape={input_shape!r}."
            )
        shape = tuple(input_shape)
    if None in shape:
        raise ValueError(
            f"`model` must have an input of known size, or be given `input_shape`. "
            f"Received: {model.name!r} with inputs of shape {shape}."
        )
    reader = _Reader()
    output = reader.walk(model, [0])[0]
    output, head = reader.without_head(output)
    reader.check(output)
    if reader.problems:
        listed = "; ".join(reader.problems)
        raise ValueError(f"`model` {model.name!r} cannot be converted: {listed}.")
    steps = tuple(reader.steps)
    if not any(step.kind in ("site", "pool") for step in steps):
        raise ValueError(
            "`model` must have a ReLU-like activation: without one it has no gates. "
            f"Received: {model.name!r}."
        )
    start = reader.end_of_preprocessing()
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    graph = Graph(shape, dtype, reader.layers, steps, start, output, head)
    return Found(graph, reader.sources)


def _ends(model: Any) -> tuple[list, list]:
    """Return the input and the output tensors of a functional model."""
    if isinstance(model, keras.Sequential) and not model.built:
        raise ValueError(
            "`model` must be built: begin it with keras.Input(shape). "
            f"Received: {model.name!r}."
        )
    try:
        return list(model.inputs), list(model.outputs)
    except (AttributeError, TypeError):
        raise ValueError(
            "`model` must be a functional or sequential Keras model. "
            f"Received: {type(model).__name__} {getattr(model, 'name', '')!r}."
        ) from None


class _Reader:
    """Steps, layers and problems, gathered while the nodes are walked."""

    def __init__(self) -> None:
        self.steps = [Step("inputs", "input")]
        self.layers: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.problems: list[str] = []
        self._keys: dict[tuple[int, str], str] = {}
        self._heads: dict[int, str] = {}
        self._augmenting: dict[int, str] = {}

    def walk(
        self, model: Any, inputs: list[int], outer: str = "", training: Any = None
    ) -> list[int]:
        """Add the steps of a model fed with some steps; return its outputs' steps."""
        tensors, outputs = _ends(model)
        flat = keras.Model(tensors, outputs)
        place = {id(t): k for t, k in zip(tensors, inputs, strict=True)}
        nodes: Any = flat._nodes_by_depth
        for depth in sorted(nodes, reverse=True):
            for node in nodes[depth]:
                if node.is_input:
                    continue
                found = self._node(node, place, outer, training)
                place |= {id(t): k for t, k in zip(node.outputs, found, strict=True)}
        return [place[id(t)] for t in outputs]

    def _node(self, node: Any, place: dict, outer: str, training: Any) -> list[int]:
        layer, tensors = node.operation, node.arguments.keras_tensors
        name = f"{outer}_{layer.name}" if outer else layer.name
        read = [place[id(t)] for t in tensors]
        kwargs = {k: v for k, v in node.arguments.kwargs.items() if v is not None}
        training = kwargs.pop("training", training)
        if isinstance(layer, keras.Model):
            return self._nested(layer, name, node, read, kwargs, training)
        kind = kind_of(layer, node.arguments.args, tensors)
        if kind.kind == "no":
            return self._refuse(node, name, read, kind.reason)
        if len(node.outputs) != 1:
            return self._refuse(node, name, read, "has more than one output")
        is_layer = isinstance(layer, keras.layers.Layer)
        if is_layer and kwargs:
            given = ", ".join(kwargs)
            return self._refuse(node, name, read, f"is called with {given}")
        try:
            arguments = [
                _plain(node.arguments.args, place),
                _plain(kwargs, place),
            ]
        except TypeError as error:
            return self._refuse(node, name, read, str(error))
        if is_layer and training is not None and layer._call_has_training_arg:
            arguments[1]["training"] = bool(training)
        return [self._add(layer, name, kind, read, arguments)]

    def _nested(
        self, model: Any, name: str, node: Any, read: list, kwargs: dict, training: Any
    ) -> list[int]:
        if getattr(model, "_is_graph_network", True) is False:
            return self._refuse(node, name, read, "is no functional model")
        try:
            tensors, outputs = _ends(model)
        except ValueError:
            return self._refuse(
                node, name, read, "is a subclassed model, its graph unknown"
            )
        several = len(tensors) > 1 and not isinstance(
            node.arguments.args[0], list | tuple
        )
        if kwargs or several or len(outputs) != len(node.outputs):
            return self._refuse(node, name, read, "is called in an unusual way")
        return self.walk(model, read, name, training)

    def _add(
        self, layer: Any, name: str, kind: Kind, read: list[int], arguments: Any
    ) -> int:
        if kind.kind == "head":
            return self._head(layer, name, kind.head, read[0])
        if kind.kind == "site" and kind.activation is not None:
            return self._site(layer, name, kind.activation, read[0])
        key = self._layer(layer, name)
        step_kind = "affine" if kind.kind == "preprocessing" else kind.kind
        if step_kind != "affine":
            arguments = [[{STEP: read[0]}], {}]
        now = self._step(name, step_kind, key, read, arguments)
        if kind.kind == "preprocessing":
            self._augmenting[now] = type(layer).__name__
        if kind.head is not None:
            return self._head(layer, f"{name}_{kind.head}", kind.head, now)
        if kind.activation is not None:
            return self._site(layer, f"{name}_{_short(kind)}", kind.activation, now)
        return now

    def _site(self, owner: Any, name: str, numbers: Activation, read: int) -> int:
        key = self._keys.get((id(owner), "site"))
        if key is None:
            key = self._free(name, self.layers)
            self._keys[id(owner), "site"] = key
            policy = getattr(owner, "dtype_policy", None)
            rectifier = keras.layers.ReLU(**numbers, dtype=policy, name=key)
            self.layers[key] = _serialised(rectifier)
        return self._step(name, "site", key, [read], [[{STEP: read}], {}])

    def _head(self, layer: Any, name: str, head: str | None, read: int) -> int:
        """A head stands as a step until it is known whether it ends the model."""
        now = self._step(name, "head", "", [read], None)
        self._heads[now] = str(head)
        return now

    def _layer(self, layer: Any, name: str) -> str:
        key = self._keys.get((id(layer), "layer"))
        if key is None:
            key = self._free(name, self.layers)
            self._keys[id(layer), "layer"] = key
            self.layers[key] = _serialised(layer, key)
            self.sources[key] = layer
        return key

    def _step(
        self, name: str, kind: str, key: str, read: list[int], arguments: Any
    ) -> int:
        name = self._free(name, [step.name for step in self.steps])
        self.steps.append(Step(name, kind, key, tuple(read), arguments))
        return len(self.steps) - 1

    def _refuse(self, node: Any, name: str, read: list[int], reason: str) -> list[int]:
        problem = f"{name} ({type(node.operation).__name__}) {reason}"
        if problem not in self.problems:
            self.problems.append(problem)
        return [read[0] if read else 0] * len(node.outputs)

    @staticmethod
    def _free(name: str, taken: Any) -> str:
        """Return the name, numbered if it is taken; sites' gates add `_gate`."""
        number, free = 1, name
        while free in taken or free in ("inputs", "output"):
            number += 1
            free = f"{name}_{number}"
        return free

    # -- once all steps are known ----------------------------------------------

    def without_head(self, output: int) -> tuple[int, str | None]:
        """Return the step before a softmax (or its like) that ends the model."""
        now = output
        while now not in self._heads:
            step = self.steps[now]
            if step.kind != "affine" or not _is_identity(self.layers[step.layer]):
                return output, None
            now = step.inputs[0]
        head = self._heads.pop(now)
        last = self.steps[now].inputs[0]
        return last, head

    def check(self, output: int) -> None:
        """Note what is in the wrong place, and drop the steps behind the logits."""
        for now, head in self._heads.items():
            name = self.steps[now].name
            self.problems.append(
                f"{name} ({head}) is not the end of the model: it is no ReLU"
            )
        prefix = self.end_of_preprocessing()
        for now, cls in self._augmenting.items():
            if now > prefix:
                self.problems.append(
                    f"{self.steps[now].name} ({cls}) must stand right behind the input"
                )
        self.steps = self.steps[: output + 1]
        used = {step.layer for step in self.steps}
        self.layers = {k: v for k, v in self.layers.items() if k in used}
        self.sources = {k: v for k, v in self.sources.items() if k in used}

    def end_of_preprocessing(self) -> int:
        """Return the last step of the chain of preprocessing behind the input."""
        last = 0
        for now, step in enumerate(self.steps[1:], start=1):
            readers = [s for s in self.steps if last in s.inputs]
            if step.inputs != (last,) or len(readers) != 1:
                break
            if now not in self._augmenting and not self._scales(step):
                break
            last = now
        return last

    def _scales(self, step: Step) -> bool:
        source: Any = self.sources.get(step.layer)
        if step.kind != "affine" or source is None:
            return False
        if isinstance(source, keras.layers.Layer):
            return isinstance(source, SCALERS)
        return type(source).__name__ in ELEMENTWISE_OPS


def _short(kind: Kind) -> str:
    numbers = kind.activation or {}
    if numbers.get("negative_slope"):
        return "leaky_relu"
    return "relu" if numbers.get("max_value") is None else "relu6"


def _serialised(layer: Any, key: str | None = None) -> dict[str, Any]:
    """Return a layer as Keras serialises it, unbuilt, without its activation."""
    found: Any = keras.saving.serialize_keras_object(layer)
    found = {k: v for k, v in found.items() if k != "build_config"}
    found["config"] = dict(found["config"])
    if key is not None:
        found["config"]["name"] = key
    if "activation" in found["config"]:
        found["config"]["activation"] = "linear"
    return found


def _is_identity(layer: dict[str, Any]) -> bool:
    name, config = layer["class_name"], layer["config"]
    linear = name == "Activation" and config.get("activation") == "linear"
    return linear or name in ("Identity", "Dropout", "Cast")


def _plain(value: Any, place: dict[int, int]) -> Any:
    """Return arguments of a call as json holds them."""
    if isinstance(value, keras.KerasTensor):
        return {STEP: place[id(value)]}
    if isinstance(value, list | tuple):
        return [_plain(v, place) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v, place) for k, v in value.items()}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, keras.Variable):
        raise TypeError("reads a variable")
    try:
        array = np.asarray(keras.ops.convert_to_numpy(value))
    except (TypeError, ValueError, RuntimeError):
        raise TypeError(f"is called with a {type(value).__name__}") from None
    if array.dtype.kind not in "fiub":
        raise TypeError(f"is called with a {type(value).__name__}")
    return array.tolist()
