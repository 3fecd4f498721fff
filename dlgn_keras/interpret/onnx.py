"""One ONNX file that answers and explains: logits, contributions and bias.

TensorFlow differentiates the value network at fixed gates, tf2onnx writes the graph.
It is traced for one example, and ONNX's Scan runs it over a batch.
"""

import logging
import math
import os
from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.autodiff import vjp
from dlgn_keras.interpret.onnx_gradients import HANDLERS
from dlgn_keras.interpret.passes import Passes, value_inputs, value_logits
from dlgn_keras.layers import ChannelRescaling
from dlgn_keras.models import DisentangledModel
from dlgn_keras.tools.messages import one_line

OPSET = 17


def export_contributions(net: Any, filepath: Any, gates: bool = False) -> None:
    """Write a model as ONNX with its explanation: a file, and no framework.

    Inputs are "inputs" (n, *input_shape) float32, the raw inputs (one for each input
    of the model), and "target" (n,) int32, the class to explain. Outputs are "logits",
    "contributions" (of several inputs one each) and "bias", equal to those of
    `explain`. `net.export(path, format="onnx", contributions=True)` calls it.

    Args:
        net: any model of this library that ends in one vector of logits.
        filepath: file to write.
        gates: whether contributions and gates of every site come out too, as
            "at/SITE" and "gates/SITE"; then gates can be forced, by the input
            "flip/SITE" (n, *shape) that is added to them.

    Raises:
        ValueError: another backend than TensorFlow, a model that ends in a map, or one
            with an operation that ONNX lacks.
    """
    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise ValueError(
            "`contributions` needs the TensorFlow backend: save the model, set "
            "KERAS_BACKEND=tensorflow, load it and export it there. "
            f"Received: contributions=True on {backend}."
        )
    if len(net.output_shape) != 2:
        raise ValueError(
            "`contributions` needs a model that ends in one vector of logits. "
            f"Received: outputs of shape {net.output_shape[1:]}."
        )
    import onnx

    groups = [
        layer.name
        for layer in net._flatten_layers()
        if hasattr(layer, "kernel_size") and getattr(layer, "groups", 1) != 1
    ]
    if groups:
        raise _refusal(net, f"layer {groups[0]!r}")
    Passes(net, _blank(net), None, 1)  # raises for what cannot be explained
    model = _converted(net, gates)
    try:
        onnx.checker.check_model(model, full_check=True)
    except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
        raise _refusal(net, one_line(error)[:120]) from None
    onnx.save(model, os.fspath(filepath))


def _refusal(net: Any, why: str) -> ValueError:
    return ValueError(
        "`contributions` needs operations whose gradients ONNX has; convolutions in "
        f"groups have none. Received: {net.name!r}: {why}."
    )


def _blank(net: Any) -> Any:
    return keras.tree.map_structure(
        lambda t: np.zeros((1, *t.shape[1:]), t.dtype), net.input
    )


def _converted(net: Any, gates: bool) -> Any:
    """Return the ONNX model."""
    import tensorflow as tf
    import tf2onnx
    from keras.src.export.tf2onnx_lib import patch_tf2onnx

    patch_tf2onnx()  # as Keras does for its own export
    logging.getLogger("tf2onnx").setLevel(logging.ERROR)
    flat = keras.tree.flatten(net.input)
    names = ["inputs"] if len(flat) == 1 else [t.name for t in flat]
    signature = [
        tf.TensorSpec((1, *t.shape[1:]), t.dtype, name=name)
        for t, name in zip(flat, names, strict=True)
    ]
    signature.append(tf.TensorSpec((1,), tf.int32, name="target"))
    sites = dict(net.sites) if gates else {}
    signature += [
        tf.TensorSpec((1, *shape), tf.float32, name=f"flip/{site}")
        for site, shape in sites.items()
    ]

    def run(*given: Any) -> dict[str, Any]:
        x = keras.tree.pack_sequence_as(net.input, given[: len(flat)])
        flips = dict(zip(sites, given[len(flat) + 1 :], strict=True))
        return _explained(net, x, given[len(flat)], flips)

    function = tf.function(run, input_signature=signature, autograph=False)
    handlers: Any = {k: (write, []) for k, write in HANDLERS.items()}
    try:
        model, _ = tf2onnx.convert.from_function(
            function,
            input_signature=signature,
            opset=OPSET,
            custom_op_handlers=handlers,
        )
    except ValueError as error:
        raise _refusal(net, one_line(error)[:120]) from None
    return _batched(model)


def _batched(model: Any) -> Any:
    """Return the model of a batch: that of one example, example by example."""
    from onnx import helper

    graph = model.graph
    _prune(graph)
    inputs, outputs = list(graph.input), list(graph.output)

    def of_batch(value: Any) -> Any:
        kind = value.type.tensor_type
        sizes = [d.dim_value for d in kind.shape.dim][1:]
        return helper.make_tensor_value_info(value.name, kind.elem_type, ["n", *sizes])

    batch = [of_batch(value) for value in [*inputs, *outputs]]
    axes = helper.make_tensor("axes", 7, [1], [0])
    graph.initializer.append(axes)
    for value in (*inputs, *outputs):
        ours = value.name
        for node in graph.node:
            for names in (node.input, node.output):
                for k, name in enumerate(names):
                    if name == ours:
                        names[k] = f"{ours}/one"
        sizes = list(value.type.tensor_type.shape.dim)[1:]
        value.name = f"{ours}/each"
        del value.type.tensor_type.shape.dim[:]
        value.type.tensor_type.shape.dim.extend(sizes)
    first = [
        helper.make_node("Unsqueeze", [v.name, "axes"], [f"{w.name}/one"])
        for v, w in zip(inputs, batch, strict=False)
    ]
    last = [
        helper.make_node("Squeeze", [f"{w.name}/one", "axes"], [v.name])
        for v, w in zip(outputs, batch[len(inputs) :], strict=True)
    ]
    nodes = [*first, *graph.node, *last]
    del graph.node[:]
    graph.node.extend(nodes)
    names = [value.name for value in batch]
    scan = helper.make_node(
        "Scan",
        names[: len(inputs)],
        names[len(inputs) :],
        body=graph,
        num_scan_inputs=len(inputs),
    )
    whole = helper.make_graph(
        [scan], "explained", batch[: len(inputs)], batch[len(inputs) :]
    )
    return helper.make_model(
        whole, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _prune(graph: Any) -> None:
    """Remove the nodes that no output needs, such as gradients of weights."""
    needed, kept = {value.name for value in graph.output}, []
    for node in reversed(graph.node):
        if needed & set(node.output):
            needed |= set(node.input)
            kept.append(node)
    del graph.node[:]
    graph.node.extend(reversed(kept))


def _explained(net: Any, x: Any, target: Any, flips: dict[str, Any]) -> dict[str, Any]:
    """Return the outputs of the file as tensors."""
    z, gates = value_inputs(net, _preprocessed(net, x))
    gates = {k: g + flips[k] if k in flips else g for k, g in gates.items()}
    cut = {site: gates[site] for site in flips}
    logits, pull_back = vjp(
        lambda given: value_logits(net, given[0], {**gates, **given[1]}), (z, cut)
    )
    chosen = ops.one_hot(target, math.prod(net.output_shape[1:]), dtype="float32")
    slopes, at_sites = pull_back(chosen)
    zeros = keras.tree.map_structure(ops.zeros_like, z)
    outputs = {
        "logits": logits,
        "bias": ops.sum(chosen * value_logits(net, zeros, gates), axis=1),
    }
    parts = keras.tree.flatten(keras.tree.map_structure(ops.multiply, slopes, z))
    one = len(parts) == 1
    for k, (part, t) in enumerate(
        zip(parts, keras.tree.flatten(net.input), strict=True)
    ):
        outputs["contributions" if one else f"contributions:{t.name or k}"] = part
    for site in flips:
        outputs[f"at/{site}"] = cut[site] * at_sites[site]
        outputs[f"gates/{site}"] = cut[site] + 0.0
    return outputs


def _preprocessed(net: Any, x: Any) -> Any:
    """Return raw inputs as the networks see them, as `net.preprocessed` does."""
    x = keras.tree.map_structure(lambda t: ops.cast(t, "float32"), x)
    if isinstance(net, DisentangledModel):
        if not net.source_graph.value_input:
            return x
        return net.view("value_inputs", net._preprocessing)(x, training=False)
    if net.preprocessing is None:
        return x
    return ChannelRescaling(net.preprocessing.scale, net.preprocessing.offset)(x)
