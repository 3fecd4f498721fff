"""Grad-CAM: the values at a site, weighted by their units' mean gradients."""

from typing import Any

import keras
import numpy as np
from keras import ops, tree

from dlgn_keras.autodiff import vjp
from dlgn_keras.interpret.bias_maps import replay
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.passes import Function, Model, Passes, value_inputs
from dlgn_keras.interpret.sites import rungs
from dlgn_keras.interpret.targets import one_hot


def map_sites(net: Any) -> tuple[str, ...]:
    """Return the sites that all paths cross and whose gates are (height, width, c)."""
    shapes = dict(net.sites)
    return tuple(site for site in rungs(net) if len(shapes[site]) == 3)


def grad_cam(net: Model, x: Any, target: Any, batch_size: int = 32) -> np.ndarray:
    """Return Grad-CAM at the last of the `map_sites`, (n, height, width).

    Behind that site the value network's gates are functions of the input or, in a
    DNN, its ReLUs' slopes: the gradient at fixed gates is the gradient.

    Raises:
        ValueError: a model without such a site.
    """
    sites = map_sites(net)
    if not sites:
        raise ValueError(
            "`net` must have gates that form a map for Grad-CAM. "
            f"Received: {net.name!r}."
        )
    run = Passes(net, x, target, batch_size)
    return run("Grad-CAM", lambda net: _passes(net, sites[-1]))


def _passes(net: Any, site: str) -> Function:
    network = net.value_network
    name, output = _applied(network, site)
    front, axis = keras.Model(network.input, output), channel_axis(net, site) % 3 + 1
    axes = tuple(k for k in (1, 2, 3) if k != axis)

    def passes(z: Any, target: Any, against: Any) -> Any:
        z, gates = value_inputs(net, z)
        values = front([z, gates], training=False)

        def logits_of(added: Any) -> Any:
            logits = replay(network, z, gates, lambda *_: None, {name: added})
            return ops.cast(logits, "float32")

        logits, pull_back = vjp(logits_of, ops.zeros_like(values))
        slopes = pull_back(one_hot(logits, target, against)[2])
        weights = ops.mean(slopes, axis=axes, keepdims=True)
        return ops.relu(ops.sum(values * weights, axis=axis))

    return passes


def _applied(network: Any, site: str) -> tuple[str, Any]:
    """Return the name and the output of the call that multiplies by a site's gates."""
    gate = network.input[1][site]
    for nodes in network._nodes_by_depth.values():
        for node in nodes:
            if any(t is gate for t in tree.flatten(node.input_tensors)):
                if not node.is_input:
                    return node.operation.name, node.outputs[0]
    raise ValueError(f"No layer takes the gates of {site!r}.")
