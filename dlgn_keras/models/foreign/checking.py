"""Check a twin against its model: equal outputs, an affine value network."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.models.foreign.probe import TOLERANCES, numbers, problem
from dlgn_keras.models.foreign.twin import DisentangledModel

SCALES = (1.0, 10.0, 100.0)  # of the random inputs
LOOSE = 0.3  # what differs by more says nothing


def check_twin(model: keras.Model, twin: DisentangledModel, head: Any) -> None:
    """Raise a ValueError unless a twin with copied weights is what it promises.

    A DGN with hard gates must have the outputs of the model; the value network of
    every twin must be affine at fixed gates, and no example may change another. That
    takes about six forward passes of three random examples.

    Args:
        model: the model that the twin was made of.
        twin: with the weights of the model.
        head: the layer or operation of the model whose head the twin leaves out.
    """
    options = twin.arguments
    with keras.StatelessScope():
        x = _random_inputs(model, twin)
        logits, z, gates = _forward(twin, x)
        if options["family"] == "dgn" and options["gate"] == "hard":
            if options["value_input"] == "input":
                own = lambda x: _logits(model, head, x)  # noqa: E731
                _check_outputs(own, x, numbers(logits), twin, model.name)
    first = {site: ops.repeat(gate[:1], 3, axis=0) for site, gate in gates.items()}
    packed = twin.source_graph.packed
    reason = problem(
        lambda *z: twin.value_network([packed(z), first], training=False),
        [
            (tuple(part.shape[1:]), keras.backend.standardize_dtype(part.dtype))
            for part in keras.tree.flatten(z)
        ],
        whole=True,
        precision=_precision(twin),
    )
    if reason:
        raise ValueError(
            f"`model` {model.name!r} cannot be converted: at fixed gates its twin's "
            f"value network {reason}."
        )


def _random_inputs(model: keras.Model, twin: DisentangledModel) -> Any:
    """Return three raw examples, or as many as the model is made for."""
    rng = np.random.default_rng(0)
    number = model.inputs[0].shape[0] or len(SCALES)
    made = []
    for _, shape, dtype in twin.source_graph.ends():
        if "float" in dtype:
            scales = np.resize(SCALES, number).reshape(-1, *len(shape) * [1])
            x = rng.normal(size=(number, *shape)) * scales
        else:
            x = rng.integers(0, 120, (number, *shape))
        made.append(ops.convert_to_tensor(x, dtype))
    return twin.source_graph.packed(made)


def _forward(twin: DisentangledModel, x: Any) -> tuple[Any, Any, dict[str, Any]]:
    """Return logits, the input of the value network and the gates of raw inputs."""
    z = x
    if twin.source_graph.value_input:
        z = twin.view("value_inputs", twin._preprocessing)(x, training=False)
    z = keras.tree.map_structure(lambda part: ops.cast(part, "float32"), z)
    q = twin.gating_network(z, training=False)
    gates = twin.gates_from(q)
    if twin.value_input == "ones":
        z = keras.tree.map_structure(ops.ones_like, z)
    return twin.value_network([z, gates], training=False), z, gates


@contextlib.contextmanager
def _passing(head: Any) -> Iterator[None]:
    """Let what comes before a head through it, for as long as the context lasts."""
    if head is None:
        yield
    elif getattr(head, "activation", None) is not None:
        activation = head.activation
        head.activation = keras.activations.linear
        try:
            yield
        finally:
            head.activation = activation
    else:
        object.__setattr__(head, "call", lambda x, *args, **kwargs: x)
        try:
            yield
        finally:
            object.__delattr__(head, "call")


def _logits(model: keras.Model, head: Any, x: Any) -> np.ndarray:
    """Return what a model makes of raw inputs, before its head."""
    if not isinstance(model, keras.Sequential):
        x = keras.tree.pack_sequence_as(model.input, keras.tree.flatten(x))
    with _passing(head):
        return numbers(keras.tree.flatten(model(x, training=False))[0])


def _check_outputs(
    own: Callable, x: Any, found: np.ndarray, twin: DisentangledModel, name: str
) -> None:
    """Compare the outputs for x; the model may round much more than the twin does.

    Args:
        own: raw inputs -> the model's logits.
        x: raw inputs.
        found: the twin's logits.
        twin: of the model. name: the model's.
    """
    expected = own(x)
    finite = np.isfinite(expected).all(axis=1)
    if not finite.any():
        raise ValueError(
            "`model` must have finite outputs. Received: "
            f"{name!r}, which has none for random inputs."
        )
    allowed = np.full(int(finite.sum()), 10 * TOLERANCES[_precision(twin)])
    gaps = _gaps(found, expected, finite)
    if not (gaps <= allowed).all():
        moved = keras.tree.map_structure(_moved_in_the_last_digit, x)
        rounding = _gaps(own(moved), expected, finite)
        if (10 * rounding > LOOSE).all():
            warnings.warn(
                f"`model` {name!r} cannot be compared with its twin on random inputs: "
                "another last digit of these changes its outputs by "
                f"{rounding.min():.1e} of the largest. Compare the two on your inputs.",
                stacklevel=4,
            )
            return
        allowed = np.maximum(allowed, 10 * rounding)
    if not (gaps <= allowed).all():
        raise ValueError(
            f"`model` {name!r} cannot be converted: its twin's outputs differ "
            f"from its own by {gaps.max():.1e} of the largest. It may hold code of its "
            "own that its graph or a layer's config does not tell of."
        )


def _gaps(found: np.ndarray, expected: np.ndarray, finite: np.ndarray) -> np.ndarray:
    """Return the largest difference of each finite example, over its largest output."""
    if found.shape != expected.shape:
        return np.full(int(finite.sum()), np.inf)
    gaps = np.abs(found - expected)[finite].max(axis=1)
    return gaps / np.abs(expected[finite]).max(axis=1).clip(1e-30)


def _moved_in_the_last_digit(x: Any) -> Any:
    """Return floats times 1 + 1e-7 or 1 - 1e-7, in turns."""
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "float" not in dtype:
        return x
    signs = np.resize([1.0, -1.0], x.shape)
    values = ops.convert_to_numpy(ops.cast(x, "float32")) * (1 + 1e-7 * signs)
    return ops.convert_to_tensor(values, dtype)


def _precision(twin: DisentangledModel) -> str:
    """Return the lowest precision that a layer of a twin computes in."""
    known = {getattr(layer, "compute_dtype", "") for layer in twin._flatten_layers()}
    return max(known & set(TOLERANCES), key=lambda dtype: TOLERANCES[dtype])
