"""Sums over many paths at once: those that share their weights, and all of them."""

import numpy as np

from dlgn_keras.interpret.best_prefix import Example, taps
from dlgn_keras.interpret.forward import Forward
from dlgn_keras.interpret.graph import Node, index_of
from dlgn_keras.interpret.transposed import Folded, array
from dlgn_keras.skeletons import Conv, Dense

Units = tuple[tuple[str, tuple[int, ...]], ...]


def bundle_contribution(net: Example, contribution: float, units: Units) -> float:
    """Return the sum over all paths that share every weight with the one given.

    Shared kernels bundle paths: the same chain of kernel entries starts from every
    position of the image. The chain's stages are run alone, each with the path's
    one weight.
    """
    places = [index_of(net.nodes, name) for name, _ in units]
    if not any(isinstance(net.nodes[k].stage, Conv) for k in places):
        return contribution
    starts_inside = units[0][0] != "inputs"
    nodes: list[Node] = []
    kept: dict[str, Folded] = {}
    for step, k in enumerate(places):
        node = net.nodes[k]
        if step == 0 and starts_inside:
            nodes.append(net.nodes[node.inputs[0]]._replace(stage=None, inputs=()))
        if isinstance(node.stage, Dense | Conv):
            entry = None
            if step or not starts_inside:
                before = units[step - 1][1]
                shape = net.nodes[places[step - 1]].shape
                entry = kernel_entry(node, before, units[step][1], shape)
            kept[node.name] = _one_weight(net, node, entry, units[step][1])
        inputs = (len(nodes) - 1,) if nodes else ()
        nodes.append(node._replace(inputs=inputs))
    inputs = np.zeros(nodes[0].shape) if starts_inside else net.inputs
    walk = Forward(
        tuple(nodes),
        kept,
        {site: gate[None].astype("float32") for site, gate in net.gates.items()},
        inputs[None].astype("float32"),
        masks={name: mask[None].astype("float32") for name, mask in net.masks.items()},
    )
    output = array(walk.output(len(nodes) - 1))
    return float(output[0][units[-1][1]])


def all_magnitude(net: Example, target: int) -> float:
    """Return the sum of the magnitudes of all paths to a logit."""
    parameters = {
        name: Folded(
            np.abs(kernel).astype("float32"),
            np.abs(net.constants[name]).astype("float32"),
        )
        for name, kernel in net.kernels.items()
    }
    walk = Forward(
        net.nodes,
        parameters,
        {site: gate[None].astype("float32") for site, gate in net.gates.items()},
        np.abs(net.inputs)[None].astype("float32"),
        masks={name: mask[None].astype("float32") for name, mask in net.masks.items()},
    )
    return float(array(walk.output(len(net.nodes) - 1))[0, target])


def kernel_entry(
    node: Node, source: tuple[int, ...], unit: tuple[int, ...], shape: tuple[int, ...]
) -> tuple[int, ...]:
    """Return the index of the kernel entry between two units of a stage."""
    if isinstance(node.stage, Dense):
        return (*source, *unit)
    if not isinstance(node.stage, Conv):
        raise TypeError(f"The stage {node.stage!r} has no kernel.")
    offsets, places = taps(node.stage, unit[:-1], shape[:-1])
    offset = offsets[(places == np.array(source[:-1])).all(1)][0]
    return (*(int(j) for j in offset), source[-1], unit[-1])


def _one_weight(
    net: Example, node: Node, entry: tuple[int, ...] | None, unit: tuple[int, ...]
) -> Folded:
    """Return a layer with one kernel entry, or (`entry` None) one constant, left."""
    kernel = np.zeros_like(net.kernels[node.name])
    constant = np.zeros_like(net.constants[node.name])
    if entry is None:
        constant[unit[-1]] = net.constants[node.name][unit[-1]]
    else:
        kernel[entry] = net.kernels[node.name][entry]
    return Folded(kernel.astype("float32"), constant.astype("float32"))
