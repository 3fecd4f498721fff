"""Walk Keras' record of a graph, `_nodes_by_depth`, and note steps and problems."""

import math
import re
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import keras
import numpy as np

from dlgn_keras.layers import ChannelRescaling, NormGate, SmoothGate
from dlgn_keras.models.foreign.activations import Curve, Piecewise
from dlgn_keras.models.foreign.blocks import traced, written_out
from dlgn_keras.models.foreign.calls import Call, NoValue, Opaque, Refusal, serialised
from dlgn_keras.models.foreign.graph import STEP, Gate, Step, behind
from dlgn_keras.models.foreign.kinds import (
    FUSED,
    RECURRENT,
    RESIZING,
    Kind,
    activation_kind,
    function_kind,
    kind_of,
)
from dlgn_keras.models.foreign.probe import (
    MIXES,
    NOT_AFFINE,
    NOT_FINITE,
    NOT_SLOPE,
    WHOLE,
    Specs,
    differ,
    keeps_apart,
    problem,
)
from dlgn_keras.models.foreign.products import (
    DIVISORS,
    PASSING,
    End,
    choose,
    is_linear_in,
    passed,
)
from dlgn_keras.models.foreign.rewrites import rewritten

SCALERS = (ChannelRescaling, keras.layers.Rescaling, keras.layers.Normalization)
ELEMENTWISE = ("Add", "Subtract", "Multiply", "Divide", "TrueDivide", "Cast")
ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
UNTRACEABLE = "has dropout and a mask: make it with dropout=0"
# What is not affine so may be anything else in a branch that makes gates.
BENT = (NOT_AFFINE, NOT_FINITE, NOT_SLOPE, WHOLE)
ANOTHER = "computes something else when made from its config"
NOT_LAST = "does not apply its activation last"
BENDS = "is neither affine at inference nor ReLU-like"
# Products have no graph of their own; that of a wrapper is of one part at a time.
UNTRACED = (keras.layers.Multiply, keras.layers.Dot, keras.layers.Wrapper)


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

    def __init__(self, gates: dict[str, str] | None = None) -> None:
        self.gates = dict(gates or {})
        self.named: set[str] = set()  # of `gates`, the products that were met
        self.steps: list[Step] = []
        self.shapes: list[tuple[int, ...]] = []  # of each step's output
        self.layers: dict[str, Any] = {}
        self.sources: dict[str, Any] = {}
        self.custom_objects: dict[str, type] = {}
        self.problems: list[str] = []
        self._reasons: dict[int, str] = {}  # why a step is no part of a value network
        self._refused: set[int] = set()  # those that are no part of gates either
        self._ends: dict[int, End] = {}
        self._keys: dict[tuple[int, str], str] = {}
        self.head: Any = None  # the source of the one that is left out
        # step -> name, source, the step before it
        self._heads: dict[int, tuple[str, Any, int]] = {}
        self._augmenting: dict[int, str] = {}
        self._probed: dict[str, str | None] = {}
        self._alive: list[Any] = []  # an id is a key only as long as its object lives

    def walk(
        self,
        model: Any,
        inputs: list[int],
        outer: str = "",
        training: Any = None,
        numbered: bool = True,
    ) -> list[int]:
        """Add the steps of a model fed with some steps; return its outputs' steps.

        Args:
            model: functional.
            inputs: the steps.
            outer: name of the models around it.
            training: as it is called.
            numbered: whether operations keep the numbers that Keras gave them.
        """
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
                if not numbered:
                    name = re.sub(r"_\d+$", "", name)
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
            model = written_out(call, shapes)
            if model is not None:
                return self._written(model, call)
            return self._add(call, self._kind(call, shapes), call.output_shapes(shapes))
        except NoValue as refusal:
            return self._without_value(call, shapes, str(refusal))
        except Opaque as refusal:
            return self._opened(call, shapes, str(refusal))
        except Refusal as refusal:
            return self._refuse(call, str(refusal))

    def _opened(self, call: Call, shapes: list, reason: str) -> list[int]:
        """Add the graph of a layer's call; what is refused in it has one reason."""
        model = traced(call, shapes)
        if model is None or len(model.outputs) != len(call.node.outputs):
            return self._refuse(call, reason)
        first = len(self.steps)
        found = self._written(model, call)
        inside = self._refused & {*range(first, len(self.steps))}
        self._reason([*inside], call, reason)
        return found

    def _written(self, model: Any, call: Call) -> list[int]:
        return self.walk(model, call.operands, call.name, call.training, numbered=False)

    def _refuse(self, call: Call, reason: str) -> list[int]:
        outputs = [tuple(n or 1 for n in t.shape[1:]) for t in call.node.outputs]
        made = [
            self.add_step(call.name, "refused", read=call.steps, shape=shape)
            for shape in outputs
        ]
        self._refused |= {*made}
        self._reason(made, call, reason)
        return made

    def _reason(self, steps: list[int], call: Call, reason: str) -> None:
        told = f"{call.name} ({type(call.layer).__name__}) {reason}"
        self._reasons |= dict.fromkeys(steps, told)

    def _without_value(self, call: Call, shapes: list, reason: str) -> list[int]:
        """Add a call that is not affine: a product, its own graph, or for gates."""
        own = call.is_layer and not isinstance(call.layer, UNTRACED)
        try:
            model = traced(call, shapes) if own else None
            if model is None and type(call.layer) in ATTENTION:
                raise Refusal(UNTRACEABLE)
            if model is not None and len(model.outputs) == len(call.node.outputs):
                return self._written(model, call)
            try:
                found = self._product(call, shapes)
            except NoValue as unclear:
                found, reason = None, str(unclear)
            if found is not None:
                return found
            made = self._add(call, Kind("free"), call.output_shapes(shapes))
        except Refusal as refusal:
            return self._refuse(call, str(refusal))
        self._reason(made, call, reason)
        return made

    def _product(self, call: Call, shapes: list) -> list[int] | None:
        """Add a call as a product, or return None if it is none."""
        specs, operands = call.specs(shapes), call.operands
        if len(specs) < 2 or len(call.node.outputs) > 1:
            return None
        names = [self.steps[k].name for k in operands]
        ends = [self._ends.get(k) for k in operands]
        function = call.function(call.layer)
        named = self.gates.get(call.name)
        if named is not None:
            self.named.add(call.name)
        chosen = choose(function, specs, names, ends, named)
        if chosen is None:
            return None
        gates = []
        for k in chosen:
            end = ends[k]
            made, mean = (None, 1.0) if end is None else (end.made, end.mean)
            linear = is_linear_in(function, specs, k)
            gates.append(Gate(operands[k], made, *specs[k], mean, linear))
        (now,) = self._add(call, Kind("product"), call.output_shapes(shapes))
        self.steps[now] = replace(self.steps[now], gates=tuple(gates))
        return [now]

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
        elif call.is_layer and call.kwargs and found.kind != "head":
            raise Refusal(f"is called with {', '.join(call.kwargs)}")
        if found.kind == "no":
            opaque = found.reason in (ANOTHER, NOT_LAST) and not call.is_of_keras
            raise (Opaque if opaque else Refusal)(found.reason)
        if found.kind == "free":
            raise NoValue(found.reason)
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
            activation = getattr(call.activation_owner, "activation", None)
            found = activation_kind(activation if callable(activation) else None)
            if found.kind == "no" and not call.is_of_keras:
                raise Opaque(found.reason)
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
        elif reason and isinstance(call.layer, tuple(RECURRENT)):
            reason += ": recurrent layers are read where they are linear alone"
        elif reason and reason.startswith((BENDS, *BENT)):
            if not keeps_apart(call.function(call.layer), specs):
                reason = MIXES
            else:
                return Kind("free", reason=reason)
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
                        return ANOTHER
                else:
                    activation = call.activation_owner.activation
                    if differ(function, lambda *x: activation(again(*x)), specs):
                        return NOT_LAST
                function = again
        reason = problem(function, specs, fixed=fixed)
        return BENDS if reason == NOT_AFFINE else reason

    # -- steps ---------------------------------------------------------------------

    def _add(self, call: Call, kind: Kind, shapes: list) -> list[int]:
        layer, name, read = call.layer, call.name, call.steps
        if kind.kind == "head":
            return [self._head(call, name, kind, shapes[0])]
        if kind.kind in ("site", "affine") and kind.activation is not None:
            if type(layer) is keras.layers.Activation or kind.kind == "site":
                return [self._activation(layer, name, kind.activation, read[0])]
        arguments = call.arguments()
        if kind.kind in ("site", "pool"):
            arguments = [[{STEP: read[0]}], {}]
        step_kind = "affine" if kind.kind == "augmentation" else kind.kind
        key = self._layer(layer, name, call.activation_owner)
        if type(layer) is keras.layers.EinsumDense:
            self._sized(key, shapes[0])
        if len(shapes) > 1:
            whole = self.add_step(name, step_kind, key, read, arguments)
            parts = [
                self.add_step(f"{name}_{k}", "part", "", [whole], k, shape)
                for k, shape in enumerate(shapes)
            ]
            return parts
        now = self.add_step(name, step_kind, key, read, arguments, shapes[0])
        if kind.kind == "augmentation":
            self._augmenting[now] = type(layer).__name__
        if kind.head is not None:
            owner = call.activation_owner
            return [self._fused_head(owner, f"{name}_{kind.head}", kind.head, now)]
        if kind.activation is not None:
            label = getattr(kind.activation, "label", None)
            label = label or getattr(kind.activation, "__name__", "activation")
            label = re.sub(r"\W", "", label)
            return [self._activation(layer, f"{name}_{label}", kind.activation, now)]
        self._pass_on(call, now)
        return [now]

    def _sized(self, key: str, shape: tuple) -> None:
        """Write the sizes that are known here into the shape of what a layer makes."""
        config = self.layers[key]["config"]
        sizes = np.atleast_1d(config["output_shape"]).tolist()
        if len(sizes) == len(shape) and sizes != [*shape]:
            if None not in sizes:
                raise Refusal("is called with inputs of different lengths")
            config["output_shape"] = [*shape]

    def _pass_on(self, call: Call, now: int) -> None:
        """Note how a branch ends behind a step, if that can be told."""
        layer, specs = call.layer, call.specs([self.shapes[k] for k in call.steps])
        kind = type(layer).__name__
        if isinstance(layer, SmoothGate | NormGate) or kind in DIVISORS:
            self._ends[now] = End(now, 0.0, 1.0, own=True)
        elif kind in PASSING and len(specs) == 1:
            end = self._ends.get(call.operands[0])
            if end is not None and self.steps[now].kind == "affine":
                found = passed(end, call.function(layer), specs[0])
                if found is not None:
                    self._ends[now] = found

    def _curve(self, owner: Any, name: str, curve: Curve, read: int) -> int:
        """Add a smooth activation: what comes in, times its gates, plus f(0)."""
        policy = getattr(owner, "dtype_policy", None)
        shape = self.shapes[read]
        key = self._keys.get((id(owner), "site"))
        if key is None:
            key = self._free(name, self.layers)
            self._keys[id(owner), "site"] = key
            gate = curve.gate(name=f"{key}_curve", dtype=policy)
            self.layers[f"{key}_curve"] = serialised(gate)
            layer = keras.layers.Multiply(name=key, dtype=policy)
            self.layers[key] = serialised(layer)
        arguments = [[{STEP: read}], {}]
        made = self.add_step(
            f"{name}_curve", "free", f"{key}_curve", [read], arguments, shape
        )
        arguments = [[[{STEP: read}, {STEP: made}]], {}]
        now = self.add_step(name, "product", key, [read, made], arguments, shape)
        gate = Gate(made, made, shape, "float32", 1.0)
        self.steps[now] = replace(self.steps[now], gates=(gate,))
        constant = curve.gate().constant
        if constant:
            after = keras.layers.Rescaling(1.0, constant, dtype=policy)
            now = self._shift(after, f"{name}_after", now)
        if curve.limits is not None:
            self._ends[now] = End(now, *curve.limits)
        return now

    def _activation(self, owner: Any, name: str, numbers: Any, read: int) -> int:
        """Add a ReLU, between two shifts where the activation has an offset.

        Or a smooth activation, or the graph of a function.
        """
        if isinstance(numbers, Curve):
            return self._curve(owner, name, numbers, read)
        if not isinstance(numbers, Piecewise):
            start = keras.Input(self.shapes[read], dtype=owner.compute_dtype)
            model = keras.Model(start, numbers(start))
            return self.walk(model, [read], name, numbered=False)[0]
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
        high = None if numbers.negative_slope else numbers.max_value
        if high is not None:
            self._ends[now] = End(now, 0.0, high)
        if after is None:
            return now
        last = self._shift(after, f"{name}_after", now)
        if high is not None:
            self._ends[last] = End(now, numbers.offset, numbers.offset + high)
        return last

    def _shift(self, layer: Any, name: str, read: int) -> int:
        key = self._layer(layer, name)
        arguments = [[{STEP: read}], {}]
        return self.add_step(name, "affine", key, [read], arguments, self.shapes[read])

    def _head(self, call: Call, name: str, kind: Kind, shape: tuple) -> int:
        """Add a softmax or its like: a head if it ends the model, else of gates."""
        layer, read = call.layer, call.steps[0]
        if kind.head == "sigmoid":
            now = self._curve(layer, name, Curve("sigmoid"), read)
        else:
            key = self._layer(layer, name)
            if "activation" in self.layers[key]["config"]:
                self.layers[key]["config"]["activation"] = kind.head
            now = self.add_step(name, "free", key, call.steps, call.arguments(), shape)
            if kind.head == "softmax":
                axes = np.atleast_1d(getattr(layer, "axis", -1))
                self._soft(now, axes)
        if not call.kwargs:
            self._note_head(now, name, kind.head, layer, read)
        else:
            self._reasons[now] = f"{name} ({kind.head}) is called with a mask"
        return now

    def _fused_head(self, owner: Any, name: str, head: str, read: int) -> int:
        if head == "sigmoid":
            now = self._curve(owner, name, Curve(head), read)
        else:
            policy = owner.dtype_policy
            layer = keras.layers.Activation(head, dtype=policy)
            key = self._layer(layer, name)
            self._alive.append(layer)
            self.layers[key]["config"]["activation"] = head
            arguments, shape = [[{STEP: read}], {}], self.shapes[read]
            now = self.add_step(name, "free", key, [read], arguments, shape)
            if head == "softmax":
                self._soft(now, np.array([-1]))
        self._note_head(now, name, head, owner, read)
        return now

    def _soft(self, now: int, axes: np.ndarray) -> None:
        shape = (1, *self.shapes[now])
        size = math.prod(shape[k] for k in axes)
        self._ends[now] = End(now, 0.0, 1.0, 1 / size)

    def _note_head(
        self, now: int, name: str, head: Any, source: Any, read: int
    ) -> None:
        self._heads[now] = str(head), source, read
        if self.steps[now].kind == "free":
            self._reasons[now] = (
                f"{name} ({head}) is not the end of the model, "
                "nor the gate of a product"
            )

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
        head, self.head, before = self._heads.pop(now)
        return before, head

    def check(self, output: int) -> None:
        """Note what is in the wrong place, and drop the steps behind the logits."""
        values = behind(self.steps, {output}, through_gates=False)
        needed = behind(self.steps, {output})
        wrong = {k for k in self._reasons if k in values}
        wrong |= self._refused & needed
        told = [self._reasons[k] for k in sorted(wrong)]
        self.problems += dict.fromkeys(told)
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
