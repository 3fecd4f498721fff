"""Where the bias of an explanation starts: layer, place and unit.

A layer of the value network is affine in what comes into it: its answer to zeros is
its own constant (bias, batch norm shift, what saturates), gates applied. Each entry of
it times the gradient of the logit there is what the paths that start there add.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from dlgn_keras.autodiff import vjp
from dlgn_keras.interpret.passes import Function, value_inputs
from dlgn_keras.interpret.sites import INPUT
from dlgn_keras.interpret.targets import one_hot

Tensors = dict[str, Any]


def bias_maps(net: Any, at: str) -> Function:
    """Return the pass {layer: (n, *shape)}: they sum to the bias of an explanation.

    Args:
        net: the model.
        at: "input", or a site: then of the paths that do not cross it.
    """

    def passes(z: Any, target: Any, against: Any) -> Tensors:
        z, gates = value_inputs(net, z)
        if at != INPUT:
            gates = {**gates, at: ops.zeros_like(gates[at])}
        constants: Tensors = {}
        replay(net.value_network, z, gates, constants.__setitem__)
        nothing = {name: ops.zeros_like(c) for name, c in constants.items()}

        def logits_of(added: Tensors) -> Any:
            logits = replay(net.value_network, z, gates, lambda *_: None, added)
            # Not (n, -1): where TensorFlow traces batches of any size, n is unknown.
            shape = (-1, math.prod(net.output_shape[1:]))
            return ops.reshape(ops.cast(logits, "float32"), shape)

        logits, pull_back = vjp(logits_of, nothing)
        slopes = pull_back(one_hot(logits, target, against)[2])
        return {name: constants[name] * slopes[name] for name in constants}

    return passes


def replay(
    network: Any,
    z: Any,
    gates: Tensors,
    note: Callable[[str, Any], None],
    added: Tensors | None = None,
) -> Any:
    """Run a value network call by call; note each call's answer to values of zero.

    added: {call: tensor} to add to what some calls return.
    """
    # What values have flowed into: gates and numbers alone make no path. The list
    # holds the tensors, as an id means nothing without its object.
    held = keras.tree.flatten(z)
    reached, used = {id(t) for t in held}, dict[str, int]()

    def call(operation: Any) -> Callable:
        def answer(*args: Any, **kwargs: Any) -> Any:
            if "training" in getattr(operation, "_call_context_args", {}):
                kwargs["training"] = False
            outputs = operation(*args, **kwargs)
            flat = keras.tree.flatten((args, kwargs))
            if not any(id(t) in reached for t in flat):
                return outputs
            used[operation.name] = used.get(operation.name, 0) + 1
            again = used[operation.name]
            name = operation.name + (f"_{again}" if again > 1 else "")
            zero = lambda t: ops.zeros_like(t) if id(t) in reached else t  # noqa: E731
            args, kwargs = keras.tree.map_structure(zero, (args, kwargs))
            parts = keras.tree.flatten(outputs)
            for k, constant in enumerate(
                keras.tree.flatten(operation(*args, **kwargs))
            ):
                key = name if len(parts) == 1 else f"{name}_{k}"
                note(key, constant)
                if added is not None and key in added:
                    parts[k] = parts[k] + added[key]
            held.extend(parts)
            reached.update(map(id, parts))
            return keras.tree.pack_sequence_as(outputs, parts)

        return answer

    given = keras.tree.flatten(network.input), keras.tree.flatten([z, gates])
    fed = {id(symbol): t for symbol, t in zip(*given, strict=True)}
    outputs = network._run_through_graph([fed[id(t)] for t in network.inputs], call)
    return keras.tree.flatten(outputs)[0]
