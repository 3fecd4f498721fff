"""Read a functional Keras model into a Graph, or name all that stands in the way."""

from typing import Any, NamedTuple

import keras

from dlgn_keras.models.foreign.graph import Graph
from dlgn_keras.models.foreign.reader import Reader, ends

NAMED = 3  # layers that a refusal names


class Found(NamedTuple):
    """What `read` finds.

    graph: what the model is.
    sources: {key: the model's own layer}.
    head: the layer or operation whose end was left out of the graph, or None.
    custom_objects: {name: class} of layers that are not Keras' own.
    """

    graph: Graph
    sources: dict[str, Any]
    head: Any
    custom_objects: dict[str, type]


def read(model: Any, input_shape: Any = None, gates: Any = None) -> Found:
    """Return the graph of a functional or sequential Keras model and its layers.

    Args:
        model: one input tensor, one output tensor; nested models are looked into.
        input_shape: without the batch, for a model whose own has unknown sizes.
        gates: {name of a product: name of the branch that is its gate}.

    Raises:
        ValueError: what cannot be converted, the first layers by name and with the
            reason.
    """
    inputs, outputs = ends(model)
    for layer in model._flatten_layers():
        mode = getattr(layer, "quantization_mode", None)
        if mode is not None:
            raise ValueError(
                "`model` must be a float model: a quantised one rounds its inputs and "
                f"is not affine. Received: {model.name!r}, {layer.name} in {mode}."
            )
    if len(outputs) != 1:
        raise ValueError(
            f"`model` must have one output. Received: {model.name!r} with "
            f"{len(outputs)} outputs."
        )
    several = _several(model, inputs) if len(inputs) > 1 else None
    shape = tuple(inputs[0].shape[1:])
    if input_shape is not None:
        if (
            several
            or len(input_shape) != len(shape)
            or any(a not in (None, b) for a, b in zip(shape, input_shape, strict=True))
        ):
            raise ValueError(
                f"`input_shape` must fit the model's, {shape}. "
                f"Received: input_shape={input_shape!r}."
            )
        shape = tuple(input_shape)
    shapes = [part[2] for part in several] if several else [shape]
    if any(None in shape for shape in shapes):
        raise ValueError(
            f"`model` must have an input of known size, or be given `input_shape`. "
            f"Received: {model.name!r} with inputs of shape "
            f"{', '.join(map(str, shapes))}."
        )
    reader = Reader(_names_of_gates(gates))
    starts = [reader.add_step("inputs", "input", shape=shape)]
    if several:
        starts = [
            reader.add_step(name, "part", "", [0], k if key is None else key, part)
            for k, (key, name, part, _) in enumerate(several)
        ]
    output = reader.walk(model, starts)[0]
    output, head = reader.without_head(output)
    reader.check(output)
    if reader.problems:
        listed = "; ".join(reader.problems[:NAMED])
        more = len(reader.problems) - NAMED
        raise ValueError(
            f"`model` {model.name!r} cannot be converted: {listed}"
            f"{f'; and {more} more' if more > 0 else ''}."
        )
    unused = sorted(reader.gates.keys() - reader.named)
    if unused:
        raise ValueError(
            "`gates` must name products of the model: layers or operations that "
            f"multiply two branches. Received: {unused[0]!r}."
        )
    start = reader.end_of_preprocessing()
    dtype = keras.backend.standardize_dtype(inputs[0].dtype)
    steps = tuple(reader.steps)
    graph = Graph(shape, dtype, reader.layers, steps, start, output, head, several)
    if not graph.sites():
        raise ValueError(
            "`model` must have a ReLU-like activation, or another gate: without one it "
            f"has no gates. Received: {model.name!r}."
        )
    return Found(graph, reader.sources, reader.head, reader.custom_objects)


def _names_of_gates(gates: Any) -> dict[str, str]:
    if gates is None:
        return {}
    whole = isinstance(gates, dict) and all(
        isinstance(name, str) for pair in gates.items() for name in pair
    )
    if not whole:
        raise ValueError(
            "`gates` must be None or {name of a product: name of the branch that is "
            f"its gate}}. Received: {gates!r}."
        )
    return gates


def _several(model: Any, inputs: list) -> list:
    """Return [key, name, shape, dtype] of each of several inputs."""
    given = model.input
    keys = sorted(given) if isinstance(given, dict) else [None] * len(inputs)
    parts = [given[key] for key in keys] if isinstance(given, dict) else list(given)
    if [id(part) for part in parts] != [id(tensor) for tensor in inputs]:
        raise ValueError(
            "`model` must take its inputs in one list or dictionary. "
            f"Received: {model.name!r}."
        )
    return [
        [key, tensor.name, tuple(tensor.shape[1:]), str(tensor.dtype)]
        for key, tensor in zip(keys, inputs, strict=True)
    ]
