"""On JAX, Keras needs a package of its own for ONNX: we say what works instead."""

import pytest

import dlgn_keras as dk


def test_onnx_on_jax_is_refused_in_our_words(tmp_path):
    net = dk.DLGN("fc:depth=1,width=4", (3,), 2, seed=0)
    with pytest.raises(ValueError, match=r"`format` 'onnx'.*KERAS_BACKEND=torch"):
        net.export(tmp_path / "net.onnx", format="onnx")
    assert not list(tmp_path.iterdir())
