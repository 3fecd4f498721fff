"""Which axis holds the channels: the last one, or the first in some Keras models."""

from typing import Any

import numpy as np
from keras import tree

from dlgn_keras.interpret.sites import INPUT


def channel_axis(net: Any, place: str = INPUT) -> int:
    """Return the axis of the channels of one example, 0 or -1.

    It is that of the nearest layer with a data format: at or before the place, or
    else behind it. Of a model without one it is the last axis.

    Args:
        net: the model.
        place: "input", a site, or a layer of the value network.
    """
    network = net.value_network
    gate, at, found = network.input[1].get(place), -1, []
    for depth in sorted(network._nodes_by_depth, reverse=True):
        for node in network._nodes_by_depth[depth]:
            if node.is_input:
                continue
            given = tree.flatten(node.input_tensors)
            here = any(t is gate for t in given) or node.operation.name == place
            if here and at < 0:
                at = depth
            form = getattr(node.operation, "data_format", None)
            if form is not None:
                found.append((depth, form))
    before = [form for depth, form in found if 0 <= at <= depth]
    nearest = before[-1] if before else found[0][1] if found else None
    return 0 if nearest == "channels_first" else -1


def channels_last(values: np.ndarray, axis: int) -> np.ndarray:
    """Return one example's values with the channels moved to the end."""
    return np.moveaxis(values, axis, -1)
