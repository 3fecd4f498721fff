"""Gate functions against NumPy, at the boundary, in the limit, and their gradients."""

import keras
import numpy as np
import oracle
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import ops
from tolerances import assert_close

from dlgn_keras import gates

# Numbers below 1e-38 are left out: TensorFlow and XLA take them for zero.
FLOATS = st.floats(-1e3, 1e3, width=32, allow_subnormal=False)
Q = st.lists(FLOATS, min_size=20, max_size=20)  # JAX compiles for each length


def made(q, *args):
    return np.asarray(ops.convert_to_numpy(gates.apply(np.float32(q), *args)))


@given(Q, st.floats(0.1, 50), st.sampled_from([1.0, 1.1]))
def test_every_mode_computes_its_formula(q, beta, scale):
    assert_close(made(q, "soft", beta, scale), oracle.gate(q, "soft", beta, scale))
    hard = oracle.gate(np.float32(q), "hard", beta, scale)
    assert_close(made(q, "hard", beta, scale), hard)
    assert_close(made(q, "straight_through", beta, scale), hard)


def test_a_unit_at_exactly_zero_is_off_when_hard_and_half_on_when_soft():
    assert made([0.0, -0.0], "hard", 4.0).tolist() == [0, 0]
    assert made([0.0], "soft", 4.0).tolist() == [0.5]


def test_soft_gates_approach_hard_ones_as_beta_grows_away_from_the_boundary(rng):
    q = rng.normal(size=1000)
    q = q[abs(q) > 0.1]
    gaps = [
        abs(made(q, "soft", b) - made(q, "hard", b)).max() for b in (1, 10, 100, 1000)
    ]
    bound = 1 / (1 + np.exp(0.1 * np.array([1, 10, 100, 1000])))
    assert (np.diff(gaps) < 0).all()
    assert (gaps <= bound + 1e-6).all()


def gradient(q, mode, beta):
    """d sum(gates) / dq, by one step of SGD with rate 1 on q itself."""

    class Free(keras.layers.Layer):
        def build(self, shape):
            self.q = self.add_weight(shape=(len(q),), initializer="zeros")

        def call(self, x):
            return ops.sum(gates.apply(self.q, mode, beta) + 0 * self.q) + 0 * x

    layer = Free()
    model = keras.Sequential([keras.Input((1,)), layer])
    layer.q.assign(q)
    model.compile(
        keras.optimizers.SGD(1.0), lambda y, p: ops.mean(p), jit_compile=False
    )
    model.fit(np.zeros((1, 1)), np.zeros((1, 1)), verbose=0)
    return np.asarray(q) - np.array(ops.convert_to_numpy(layer.q))


@pytest.mark.parametrize("mode", ["soft", "straight_through", "hard"])
def test_gradients_are_those_of_finite_differences_of_the_soft_gate(mode):
    q = np.linspace(-1.5, 1.5, 7).astype("float32")
    step, beta = 1e-6, 2.0
    ends = [oracle.gate(q.astype(float) + s * step, "soft", beta) for s in (1, -1)]
    expected = (ends[0] - ends[1]) / (2 * step)
    expected = np.zeros_like(q) if mode == "hard" else expected
    assert np.abs(gradient(q, mode, beta) - expected).max() < 1e-5


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_gates_keep_the_dtype_of_their_pre_activations(dtype):
    q = ops.cast(ops.array([-1.0, 1.0]), dtype)
    for mode in gates.MODES:
        gate = gates.apply(q, mode, 4.0, 1.1)
        assert keras.backend.standardize_dtype(gate.dtype) == dtype
