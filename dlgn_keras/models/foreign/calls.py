"""One call of a layer or an operation, as Keras records it in a functional model."""

import json
import warnings
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dlgn_keras.models.foreign.graph import STEP
from dlgn_keras.models.foreign.probe import Specs, told

# Of no use to the dual, and often functions that cannot be saved.
DROPPED = ("_regularizer", "_constraint", "_initializer")
Shapes = list[tuple[int, ...]]  # without the batch


class Refusal(Exception):
    """The reason why a call cannot be converted."""


class NoValue(Refusal):
    """The reason why a call has no place in a value network; gates may have it."""


class Opaque(Refusal):
    """The reason why a layer cannot be taken whole; the graph of its call may do."""


class Call:
    """A node of Keras' record of a graph, its tensors known by steps.

    Args:
        node: the node.
        name: of its layer or operation, with those of the models around it.
        read: {id of a tensor: step whose output it is}.
        training: as the model around it is called.
    """

    def __init__(self, node: Any, name: str, read: dict[int, int], training: Any):
        self.node = node
        self.layer = node.operation
        self.name = name
        self.tensors = node.arguments.keras_tensors
        self.steps = [read[id(tensor)] for tensor in self.tensors]
        self.kwargs = {k: v for k, v in node.arguments.kwargs.items() if v is not None}
        self.training = self.kwargs.pop("training", training)
        self._read = read

    @property
    def is_layer(self) -> bool:
        return isinstance(self.layer, keras.layers.Layer)

    @property
    def is_of_keras(self) -> bool:
        """Whether it holds no code but Keras' own."""
        return not self.custom_objects() and _is_of_keras(self.layer)

    def custom_objects(self) -> dict[str, type]:
        """Return {name: class} of the layer and of layers inside, if not Keras' own."""
        layers = list(self.layer._flatten_layers()) if self.is_layer else []
        return {
            type(layer).__name__: type(layer)
            for layer in layers
            if not _is_of_keras(layer)
        }

    @property
    def activation_owner(self) -> Any:
        """The layer whose `activation` comes last: the innermost one of wrappers."""
        layer = self.layer
        while isinstance(layer, keras.layers.Wrapper):
            layer = layer.layer
        return layer

    def arguments(self) -> list:
        """Return [args, kwargs] as json holds them.

        Raises:
            Refusal: json cannot hold them.
        """
        kwargs = dict(self.kwargs)
        if self.is_told_training and self.training is not None:
            kwargs["training"] = bool(self.training)
        return [_plain(part, self._read) for part in (self.node.arguments.args, kwargs)]

    @property
    def is_told_training(self) -> bool:
        return self.is_layer and self.layer._call_has_training_arg

    def key(self, specs: Specs) -> str | None:
        """Return a text that is equal for calls that compute alike but for weights.

        None for code that is not Keras' own: what it computes may depend on more.
        """
        if not self.is_of_keras:
            return None
        described = serialised(self.layer, name="")
        places = {key: k for k, key in enumerate(self._different())}
        args = [_plain(v, places) for v in (self.node.arguments.args, self.kwargs)]
        return json.dumps((described, args, specs), default=str)

    def function(self, layer: Any) -> Callable:
        """Return the call of a layer in place of its own, as a function of tensors.

        A tensor that is given twice is one argument: `specs` has one entry for it.
        """
        keys = list(self._different())

        def call(*values: Any) -> Any:
            filled = dict(zip(keys, values, strict=True))
            args, kwargs = self.node.arguments.fill_in(filled)
            if self.is_told_training:
                # As `predict` does, whatever the call says.
                kwargs = {**kwargs, "training": False}
            return layer(*args, **kwargs)

        return call

    def layer_again(self, specs: Specs) -> Any:
        """Return a layer made of the config and weights of its own, less activation.

        Raises:
            Refusal: its config or its weights do not fit it.
        """
        try:
            described = serialised(self.layer, self.activation_owner)
            layer = keras.saving.deserialize_keras_object(described)
            zeros = [ops.zeros((2, *shape), dtype) for shape, dtype in specs]
            self.function(layer)(*zeros)  # which builds it
            layer.set_weights(self.layer.get_weights())
        except Exception as error:  # of a layer that may be anyone's
            reason = f"cannot be made again from its config: {told(error)}"
            raise Opaque(reason) from None
        return layer

    def makes_mask(self, specs: Specs) -> bool:
        """Return whether a layer makes a mask of its input."""
        own = type(self.layer).compute_mask is not keras.layers.Layer.compute_mask
        if not own or len(self.tensors) != 1:
            return False
        ((shape, dtype),) = specs
        return self.layer.compute_mask(ops.zeros((2, *shape), dtype), None) is not None

    def specs(self, shapes: Shapes) -> Specs:
        """Return shape and dtype of each argument of `function`."""
        known = {
            id(tensor): (tuple(shape), keras.backend.standardize_dtype(tensor.dtype))
            for tensor, shape in zip(self.tensors, shapes, strict=True)
        }
        return [known[key] for key in self._different()]

    def _different(self) -> dict[int, None]:
        return dict.fromkeys(id(tensor) for tensor in self.tensors)

    @property
    def operands(self) -> list[int]:
        """The step of each argument of `function`."""
        return [self._read[key] for key in self._different()]

    def refilled(self, shapes: Shapes) -> tuple[list, tuple, dict[str, Any]]:
        """Return new symbolic inputs for its operands, and the call's arguments."""
        inputs = [keras.Input(shape, dtype=d) for shape, d in self.specs(shapes)]
        args, kwargs = self.node.arguments.fill_in(
            dict(zip(self._different(), inputs, strict=True))
        )
        return inputs, args, {k: v for k, v in kwargs.items() if k != "training"}

    def output_shapes(self, shapes: Shapes) -> Shapes:
        """Return the shapes of its outputs for those of its inputs."""
        recorded = [tuple(tensor.shape[1:]) for tensor in self.node.outputs]
        if not any(None in shape for shape in recorded):
            return recorded
        given = {
            id(tensor): keras.KerasTensor((tensor.shape[0], *shape), tensor.dtype)
            for tensor, shape in zip(self.tensors, shapes, strict=True)
        }
        args, kwargs = self.node.arguments.fill_in(given)
        kwargs.pop("training", None)
        found = self.layer.compute_output_spec(*args, **kwargs)
        found = [tuple(spec.shape[1:]) for spec in keras.tree.flatten(found)]
        if any(None in shape for shape in found):
            if isinstance(self.layer, keras.layers.EinsumDense):  # of any length
                zeros = [ops.zeros((2, *shape), d) for shape, d in self.specs(shapes)]
                return [tuple(self.function(self.layer)(*zeros).shape[1:])]
            raise Refusal("makes a tensor whose shape Keras does not tell")
        return found


def _is_of_keras(layer: Any) -> bool:
    return type(layer).__module__.startswith("keras.")


def serialised(layer: Any, owner: Any = None, name: str | None = None) -> dict:
    """Return a layer as Keras serialises it, unbuilt, without its activation.

    Args:
        layer: a layer or an operation.
        owner: the layer that has the activation: itself, or one that it wraps.
        name: of the layer made of it.

    Raises:
        Exception: what its `get_config` raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of functions, which are dropped
        found: Any = keras.saving.serialize_keras_object(layer)
    found = _stripped(found)
    config = found["config"]
    if name is not None:
        config["name"] = name
    while layer is not owner and isinstance(layer, keras.layers.Wrapper):
        layer, config = layer.layer, config["layer"]["config"]
    if "activation" in config:
        config["activation"] = "linear"
    return found


def _stripped(value: Any) -> Any:
    """Return a config without build shapes and without what cannot be made again."""
    if isinstance(value, list | tuple):
        return [_stripped(v) for v in value]
    if not isinstance(value, dict):
        return value
    if str(value.get("class_name")).startswith("__"):  # an array, a slice
        return value
    found = {}
    for key, part in value.items():
        if key.endswith(DROPPED) and not _can_be_made_again(part):
            if key.endswith("_initializer"):
                continue
            part = None
        if key != "build_config":
            found[key] = _stripped(part)
    return found


def _can_be_made_again(described: Any) -> bool:
    if not isinstance(described, dict):
        return described is None or isinstance(described, str)
    if str(described.get("module")).startswith("keras."):
        return True
    try:
        keras.saving.deserialize_keras_object(described)
    except Exception:  # of a user's initializer or regularizer
        return False
    return True


def _plain(value: Any, read: dict[int, int]) -> Any:
    """Return arguments of a call as json holds them, tensors as {STEP: number}.

    A variable that an operation reads becomes a constant, of the value it has.
    """
    if isinstance(value, keras.KerasTensor):
        return {STEP: read[id(value)]}
    if isinstance(value, list | tuple):
        return [_plain(v, read) for v in value]
    if isinstance(value, dict):
        return {k: _plain(v, read) for k, v in value.items()}
    if isinstance(value, keras.Variable):
        value = ops.convert_to_numpy(value)
    reason = Refusal(f"is called with a {type(value).__name__}")
    if callable(value):
        raise reason
    try:
        found = keras.saving.serialize_keras_object(value)
        json.dumps(found)
        keras.saving.deserialize_keras_object(found)
    except Exception:  # of an object that may be anyone's
        raise reason from None
    return found


def filled(arguments: Any, outputs: dict[int, Any]) -> Any:
    """Return arguments as a call takes them, from `_plain`'s and outputs of steps."""
    if isinstance(arguments, dict):
        if set(arguments) == {STEP}:
            return outputs[arguments[STEP]]
        if "class_name" in arguments:
            return keras.saving.deserialize_keras_object(arguments)
        return {k: filled(v, outputs) for k, v in arguments.items()}
    if isinstance(arguments, list | tuple):
        return [filled(v, outputs) for v in arguments]
    return arguments
