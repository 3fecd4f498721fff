"""AppliedGate: the Keras contract, and which tensors it wants."""

import numpy as np
import pytest
from contracts import check_layer

from dlgn_keras.layers import AppliedGate


@pytest.mark.parametrize("max_value", [None, 6.0])
def test_applied_gate_keeps_the_keras_contract(max_value, rng, tmp_path):
    def formula(layer, inputs):
        z, gate, *saturated = inputs
        return z * gate + sum(max_value * s for s in saturated)

    check_layer(
        AppliedGate,
        {"max_value": max_value},
        [(4, 5, 3)] * (2 if max_value is None else 3),
        (4, 5, 3),
        trainable=0,
        rng=rng,
        folder=tmp_path,
        reference=formula,
    )


@pytest.mark.parametrize(("max_value", "number"), [(None, 3), (6.0, 2)])
def test_other_tensors_than_it_applies_are_refused(max_value, number):
    with pytest.raises(ValueError, match=f"max_value={max_value}.*{number} tensors"):
        AppliedGate(max_value)([np.ones((1, 2), "float32")] * number)
