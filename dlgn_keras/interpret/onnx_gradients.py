"""Operations of TensorFlow's gradients that tf2onnx lacks or writes amiss, as ONNX.

All shapes are known: the graph is traced for one example. A handler takes tf2onnx's
graph and the node that it replaces.
"""

from typing import Any

import numpy as np


def _along(
    ctx: Any, tensor: str, axis: int, rank: int, matrix: np.ndarray, label: str
) -> str:
    """Return the tensor times a matrix along an axis."""
    kind = ctx.get_dtype(tensor)
    order = [*(k for k in range(rank) if k != axis), axis]
    back = [order.index(k) for k in range(rank)]
    known = ctx.make_const(label, matrix.astype("float32")).output[0]
    turned = ctx.make_node("Transpose", [tensor], attr={"perm": order}, dtypes=[kind])
    spread = ctx.make_node("MatMul", [turned.output[0], known], dtypes=[kind])
    attr = {"perm": back}
    return ctx.make_node(
        "Transpose", [spread.output[0]], attr=attr, dtypes=[kind]
    ).output[0]


def _numbers(ctx: Any, name: str) -> list[int]:
    value = ctx.get_node_by_output(name).get_tensor_value(as_list=False)
    return [int(n) for n in value.reshape(-1)]


def _put(ctx: Any, node: Any, name: str, now: str, shape: list[int]) -> None:
    """Put a tensor in the place of a node's output."""
    output, kind = node.output[0], ctx.get_dtype(node.output[0])
    ctx.remove_node(node.name)
    ctx.make_node("Identity", [now], outputs=[output], dtypes=[kind], shapes=[shape])


def _strided_slice_grad(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write the transpose of a slice: each axis through a matrix of zeros and ones."""
    shape, *spec = (_numbers(ctx, given) for given in node.input[:4])
    mask = {
        k: node.get_attr_value(f"{k}_mask", 0)
        for k in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
    }
    if mask["new_axis"]:
        raise ValueError(f"{name}: a slice with new axes has no transpose in ONNX.")
    cuts: list[Any] = []  # of every axis, what is read of it
    for k, (start, end, step) in enumerate(zip(*spec, strict=True)):
        if mask["ellipsis"] >> k & 1:
            cuts += [None] * (len(shape) - len(spec[0]) + 1)
        elif mask["shrink_axis"] >> k & 1:
            cuts.append(start)
        else:
            first = None if mask["begin"] >> k & 1 else start
            last = None if mask["end"] >> k & 1 else end
            cuts.append(slice(first, last, step))
    cuts += [None] * (len(shape) - len(cuts))
    lost = [axis for axis, cut in enumerate(cuts) if isinstance(cut, int)]
    now, kind = node.input[4], ctx.get_dtype(node.input[4])
    if lost:
        sizes = [
            1 if axis in lost else len(range(n)[cut or slice(None)])
            for axis, (n, cut) in enumerate(zip(shape, cuts, strict=True))
        ]
        given = ctx.make_const(f"{name}_sizes", np.array(sizes, "int64")).output[0]
        now = ctx.make_node("Reshape", [now, given], dtypes=[kind]).output[0]
    for axis, (size, cut) in enumerate(zip(shape, cuts, strict=True)):
        if cut is not None and cut != slice(None, None, 1):
            places = np.eye(size)[np.atleast_1d(np.arange(size)[cut])]
            now = _along(ctx, now, axis, len(shape), places, f"{name}_{axis}")
    _put(ctx, node, name, now, shape)


def _average_pool_grad(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write the transpose of average pooling: each axis through a matrix of means."""
    shape, now = _numbers(ctx, node.input[0]), node.input[1]
    windows, strides = (node.get_attr(k).ints for k in ("ksize", "strides"))
    same = node.get_attr_value("padding") in (b"SAME", "SAME")
    for axis, (size, window, stride) in enumerate(
        zip(shape, windows, strides, strict=True)
    ):
        if window == stride == 1:
            continue
        count = -(-size // stride) if same else (size - window) // stride + 1
        before = max((count - 1) * stride + window - size, 0) // 2 if same else 0
        means = np.zeros((count, size))
        for k in range(count):
            start = k * stride - before
            inside = slice(max(start, 0), min(start + window, size))
            means[k, inside] = 1 / (inside.stop - inside.start)
        now = _along(ctx, now, axis, len(shape), means, f"{name}_{axis}")
    _put(ctx, node, name, now, shape)


def _shape_n(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write ShapeN as constants."""
    for k, (given, output) in enumerate(
        zip(node.input, list(node.output), strict=True)
    ):
        sizes = np.array(ctx.get_shape(given), "int32")
        ctx.replace_all_inputs(output, ctx.make_const(f"{name}_{k}", sizes).output[0])
    ctx.remove_node(node.name)


def _convolution_grad(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write the transpose of a convolution, plain or depthwise, channels last."""
    sizes, (kernel, now) = _numbers(ctx, node.input[0]), node.input[1:3]
    windows, kind = ctx.get_shape(kernel), ctx.get_dtype(now)
    strides = list(node.get_attr("strides").ints)
    dilations = list(node.get_attr("dilations").ints)
    if node.get_attr_value("data_format") in (b"NCHW", "NCHW"):
        raise ValueError(f"{name}: channels must be last.")
    depthwise = node.type.startswith("Depthwise")
    order = [2, 3, 0, 1] if depthwise else [3, 2, 0, 1]
    make: Any = ctx.make_node
    kernel = make("Transpose", [kernel], attr={"perm": order}, dtypes=[kind]).output[0]
    if depthwise:
        parts = [windows[2] * windows[3], 1, *windows[:2]]
        given = ctx.make_const(f"{name}_parts", np.array(parts, "int64")).output[0]
        kernel = make("Reshape", [kernel, given], dtypes=[kind]).output[0]
    first = make("Transpose", [now], attr={"perm": [0, 3, 1, 2]}, dtypes=[kind])
    options = {
        "strides": strides[1:3],
        "dilations": dilations[1:3],
        "group": windows[2] if depthwise else 1,
    }
    full = make("ConvTranspose", [first.output[0], kernel], attr=options, dtypes=[kind])
    turned = make("Transpose", full.output, attr={"perm": [0, 2, 3, 1]}, dtypes=[kind])
    same, now = node.get_attr_value("padding") in (b"SAME", "SAME"), turned.output[0]
    if node.get_attr_value("padding") in (b"EXPLICIT", "EXPLICIT"):
        raise ValueError(f"{name}: padding must be valid or same.")
    for axis in (1, 2):  # cut off what was padded, fill up what no window read
        reach = (windows[axis - 1] - 1) * dilations[axis] + 1
        size, stride = sizes[axis], strides[axis]
        count = -(-size // stride) if same else (size - reach) // stride + 1
        length = (count - 1) * stride + reach
        before = max(length - size, 0) // 2 if same else 0
        if length != size or before:
            places = np.eye(length, size, -before)
            now = _along(ctx, now, axis, 4, places, f"{name}_{axis}")
    _put(ctx, node, name, now, sizes)


def _bias_add_grad(ctx: Any, node: Any, name: str, args: Any) -> None:
    """Write the sum over all axes but the last; Keras adds a map of 1 x 1 as a bias."""
    now = node.input[0]
    shape, kind = ctx.get_shape(now), ctx.get_dtype(now)
    axes = np.arange(len(shape) - 1)
    given = [now, ctx.make_const(f"{name}_axes", axes.astype("int64")).output[0]]
    summed = ctx.make_node("ReduceSum", given, attr={"keepdims": 0}, dtypes=[kind])
    _put(ctx, node, name, summed.output[0], shape[-1:])


HANDLERS = {
    "BiasAddGrad": _bias_add_grad,
    "Conv2DBackpropInput": _convolution_grad,
    "DepthwiseConv2dNativeBackpropInput": _convolution_grad,
    "ShapeN": _shape_n,
    "StridedSliceGrad": _strided_slice_grad,
    "AvgPoolGrad": _average_pool_grad,
}
