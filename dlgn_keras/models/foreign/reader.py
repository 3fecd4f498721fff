"""Walk Keras' record of a graph, `_nodes_by_depth`, and note steps and problems."""

from collections.abc import Iterable
from typing import Any

import keras

from dlgn_keras.layers import ChannelRescaling
from dlgn_keras.models.foreign.activations import Piecewise
from dlgn_keras.models.foreign.calls import Call, Refusal, serialised
from dlgn_keras.models.foreign.graph import STEP, Step
from dlgn_keras.models.foreign.kinds import (
    FUSED,
    RESIZING,
    Kind,
    activation_kind,
    function_kind,
    kind_of,
)
from dlgn_keras.models.foreign.probe import NOT_AFFINE, Specs, differ, problem
from dlgn_keras.models.foreign.rewrites import rewritten

SCALERS = (ChannelRescaling, keras.layers.Rescaling, keras.layers.Normalization)
ELEMENTWISE = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Cast")


def ends(model: Any) -> tuple[list, list]:
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


class Reader:
    """Steps, layers and problems, gathered while the nodes are walked."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.shapes: list[tuple[int, ...]] = []  # of each step's output
        self.layers: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.custom_objects: dict[str, type] = {}
        self.problems: list[str] = []
        self._keys: dict[tuple[int, str], str] = {}
        self.head: Any = None  # the source of the one that is left out
        self._heads: dict[int, tuple[str, Any]] = {}  # step -> name, source
        self._augmenting: dict[int, str] = {}
        self._probed: dict[str, str | None] = {}
        self._alive: list[Any] = []  # an id is a key only as long as its object lives

    def walk(
        self, model: Any, inputs: list[int], outer: str = "", training: Any = None
    ) -> list[int]:
        """Add the steps of a model fed with some steps; return its outputs' steps."""
        tensors, outputs = ends(model)
        flat = keras.Model(tensors, outputs)
        self._alive.append(flat)
        read = {id(t): k for t, k in zip(tensors, inputs, strict=True)}
        nodes: Any = flat._nodes_by_depth
        for depth in sorted(nodes, reverse=True):
            for node in nodes[depth]:
                if node.is_input:
                    continue
                name = node.operation.name
                call = Call(node, f"{outer}_{name}" if outer else name, read, training)
                found = self._call(call)
                read |= {id(t): k for t, k in zip(node.outputs, found, strict=True)}
        return [read[id(t)] for t in outputs]

    def _call(self, call: Call) -> list[int]:
        """Add the steps of a call; return those of its outputs."""
        shapes = [self.shapes[k] for k in call.steps]
        try:
            if isinstance(call.layer, keras.Model):
                return self._nested(call)
            model = rewritten(call.node, shapes)
            if model is not None:
                return self.walk(model, call.steps, call.name, call.training)
            return self._add(call, self._kind(call, shapes), call.output_shapes(shapes))
        except Refusal as refusal:
            self._refuse(call, str(refusal))
        outputs = [tuple(n or 1 for n in t.shape[1:]) for t in call.node.outputs]
        return [self.add_step(call.name, "refused", shape=shape) for shape in outputs]

    def _refuse(self, call: Call, reason: str) -> None:
        problem = f"{call.name} ({type(call.layer).__name__}) {reason}"
        if problem not in self.problems:
            self.problems.append(problem)

    def _nested(self, call: Call) -> list[int]:
        if getattr(call.layer, "_is_graph_network", True) is False:
            raise Refusal("is no functional model")
        try:
            tensors, outputs = ends(call.layer)
        except ValueError:
            raise Refusal("is a subclassed model, its graph unknown") from None
        args = call.node.arguments.args
        several = len(tensors) > 1 and not isinstance(args[0], list | tuple)
        if call.kwargs or several or len(outputs) != len(call.node.outputs):
            raise Refusal("is called in an unusual way")
        return self.walk(call.layer, call.steps, call.name, call.training)

    # -- what a call is ----------------------------------------------------------

    def _kind(self, call: Call, shapes: list) -> Kind:
        found = kind_of(call.layer)
        if found is None:
            found = self._derived(call, shapes)
        elif call.is_layer and call.kwargs:
            raise Refusal(f"is called with {', '.join(call.kwargs)}")
        if found.kind == "no":
            raise Refusal(found.reason)
        return found

    def _derived(self, call: Call, shapes: list) -> Kind:
        """Return what a call is by what it computes: affine, or an activation."""
        specs, kind = call.specs(shapes), Kind("affine")
        read = zip(call.steps, call.tensors, strict=True)
        if any(self.steps[k].kind == "refused" and not t.shape for k, t in read):
            return kind  # of what has no examples any more, nothing can be said
        own = not (call.is_layer and (call.is_of_keras or call.layer.weights))
        if len(specs) == 1 and own:
            found = function_kind(call.function(call.layer))
            if found is not None and found.kind != "affine":
                return found
        if call.is_layer:
            found = activation_kind(getattr(call.activation_owner, "activation", None))
            if found.kind == "no":
                return found
            kind = Kind("affine", found.activation, found.head)
        reason = None
        if type(call.layer) not in FUSED:
            key = call.key(specs)
            if key is None or key not in self._probed:
                self.custom_objects |= call.custom_objects()
                with keras.saving.custom_object_scope(self.custom_objects):
                    self._probed[str(key)] = self._probe(call, specs, kind)
            reason = self._probed[str(key)]
        if reason and type(call.layer).__module__.startswith("dlgn_keras."):
            reason = "is gated already"
        return Kind("no", reason=reason) if reason else kind

    def _probe(self, call: Call, specs: Specs, kind: Kind) -> str | None:
        """Return why a call is not affine before its activation, or None if it is."""
        function = call.function(call.layer)
        fixed = call.tensors[0].shape[0]
        if call.is_layer:
            if call.makes_mask(specs):
                return "makes a mask of its input, which other layers read"
            if not call.is_of_keras or kind != Kind("affine"):
                if differ(function, function, specs):
                    return "is random"
                again = call.function(call.layer_again(specs))
                if kind == Kind("affine"):
                    if differ(function, again, specs):
                        return "computes something else when made from its config"
                else:
                    activation = call.activation_owner.activation
                    if differ(function, lambda *x: activation(again(*x)), specs):
                        return "does not apply its activation last"
                function = again
        reason = problem(function, specs, fixed=fixed)
        if reason == NOT_AFFINE:
            return "is neither affine at inference nor ReLU-like"
        return reason

    # -- steps ---------------------------------------------------------------------

    def _add(self, call: Call, kind: Kind, shapes: list) -> list[int]:
        layer, name, read = call.layer, call.name, call.steps
        if kind.kind == "head":
            return [self._head(layer, name, kind, read[0])]
        if kind.kind == "site" and kind.activation is not None:
            return [self._activation(layer, name, kind.activation, read[0])]
        arguments = call.arguments()
        if kind.kind in ("site", "pool"):
            arguments = [[{STEP: read[0]}], {}]
        step_kind = "affine" if kind.kind == "augmentation" else kind.kind
        key = self._layer(layer, name, call.activation_owner)
        if len(shapes) > 1:
            whole = self.add_step(name, step_kind, key, read, arguments)
            return [
                self.add_step(f"{name}_{k}", "part", "", [whole], k, shape)
                for k, shape in enumerate(shapes)
            ]
        now = self.add_step(name, step_kind, key, read, arguments, shapes[0])
        if kind.kind == "augmentation":
            self._augmenting[now] = type(layer).__name__
        if kind.head is not None:
            owner = call.activation_owner
            return [self._head(owner, f"{name}_{kind.head}", kind, now)]
        if kind.activation is not None:
            label = f"{name}_{kind.activation.label}"
            return [self._activation(layer, label, kind.activation, now)]
        return [now]

    def _activation(self, owner: Any, name: str, numbers: Piecewise, read: int) -> int:
        """Add a ReLU, between two shifts where the activation has an offset."""
        policy = getattr(owner, "dtype_policy", None)
        before, after = numbers.shifts(dtype=policy)
        if before is not None:
            read = self._shift(before, f"{name}_before", read)
        key = self._keys.get((id(owner), "site"))
        if key is None:
            key = self._free(name, self.layers)
            self._keys[id(owner), "site"] = key
            self.layers[key] = serialised(numbers.rectifier(dtype=policy, name=key))
        arguments = [[{STEP: read}], {}]
        now = self.add_step(name, "site", key, [read], arguments, self.shapes[read])
        return now if after is None else self._shift(after, f"{name}_after", now)

    def _shift(self, layer: Any, name: str, read: int) -> int:
        key = self._layer(layer, name)
        arguments = [[{STEP: read}], {}]
        return self.add_step(name, "affine", key, [read], arguments, self.shapes[read])

    def _head(self, source: Any, name: str, kind: Kind, read: int) -> int:
        """A head stands as a step until it is known whether it ends the model."""
        now = self.add_step(name, "head", "", [read], shape=self.shapes[read])
        self._heads[now] = str(kind.head), source
        return now

    def _layer(self, layer: Any, name: str, owner: Any = None) -> str:
        key = self._keys.get((id(layer), "layer"))
        if key is None:
            key = self._free(name, self.layers)
            self._keys[id(layer), "layer"] = key
            with keras.saving.custom_object_scope(self.custom_objects):
                self.layers[key] = serialised(layer, owner, key)
            self.sources[key] = layer
        return key

    def add_step(
        self,
        name: str,
        kind: str,
        key: str = "",
        read: Iterable[int] = (),
        arguments: Any = None,
        shape: tuple[int, ...] = (),
    ) -> int:
        name = self._free(name, [step.name for step in self.steps])
        self.steps.append(Step(name, kind, key, tuple(read), arguments))
        self.shapes.append(shape)
        return len(self.steps) - 1

    @staticmethod
    def _free(name: str, taken: Any) -> str:
        """Return the name, numbered if it is taken; sites' gates add `_gate`.

        PyTorch takes no dots in names.
        """
        name = name.replace(".", "_")
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
        head, self.head = self._heads.pop(now)
        return self.steps[now].inputs[0], head

    def check(self, output: int) -> None:
        """Note what is in the wrong place, and drop the steps behind the logits."""
        for now, (head, _) in self._heads.items():
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
        """Return the last step of the chain of preprocessing behind the input.

        It leaves every entry in its place, so that contributions of what it makes
        are contributions of the raw entries; or it is a layer of images.
        """
        last = 0
        for now, step in enumerate(self.steps[1:], start=1):
            readers = [s for s in self.steps if last in s.inputs]
            if step.inputs != (last,) or len(readers) != 1:
                break
            if now not in self._augmenting and not self._scales(now, last):
                break
            last = now
        return last

    def _scales(self, now: int, last: int) -> bool:
        step = self.steps[now]
        source: Any = self.sources.get(step.layer)
        if step.kind != "affine" or source is None:
            return False
        if isinstance(source, keras.layers.Layer):
            return isinstance(source, SCALERS) or type(source) in RESIZING
        same = self.shapes[now] == self.shapes[last]
        return same and type(source).__name__ in ELEMENTWISE


def _is_identity(layer: dict[str, Any]) -> bool:
    name, config = layer["class_name"], layer["config"]
    linear = name == "Activation" and config.get("activation") == "linear"
    return linear or name in ("Identity", "Dropout", "Cast")
