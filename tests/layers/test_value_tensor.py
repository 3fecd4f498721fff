"""ValueTensor: the Keras contract, and the sum over paths by enumeration."""

from itertools import product

import numpy as np
import pytest
from contracts import call, check_layer
from tolerances import assert_close

from dlgn_keras.layers import ValueTensor


def by_paths(layer, gates):
    """Sum path by path: value times the gates on the way."""
    values = np.array(layer.path_values)
    outputs = np.zeros((len(gates[0]), layer.units))
    for path in product(*(range(gate.shape[1]) for gate in gates)):
        activity = np.prod([g[:, i] for g, i in zip(gates, path, strict=True)], axis=0)
        outputs += activity[:, None] * values[path]
    return outputs + (np.array(layer.bias) if layer.use_bias else 0)


@pytest.mark.parametrize(("widths", "use_bias"), [((3, 2, 4), True), ((5,), False)])
def test_value_tensor_keeps_the_keras_contract(widths, use_bias, rng, tmp_path):
    check_layer(
        ValueTensor,
        {"units": 2, "use_bias": use_bias},
        [(6, width) for width in widths],
        (6, 2),
        trainable=2 * int(np.prod(widths)) + 2 * use_bias,
        rng=rng,
        folder=tmp_path,
        reference=by_paths,
    )


def test_the_order_of_the_sites_counts(rng):
    gates = [rng.uniform(size=(4, 3)).astype("float32") for _ in range(4)]
    layer = ValueTensor(1)
    assert_close(call(layer, gates), by_paths(layer, gates))
    assert np.abs(call(layer, gates[::-1]) - by_paths(layer, gates)).max() > 1e-3


def test_gates_that_are_no_vectors_are_refused(rng):
    with pytest.raises(ValueError, match=r"shape \(batch, width\)"):
        call(ValueTensor(2), [rng.normal(size=(2, 3, 4))])
