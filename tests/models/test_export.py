"""Export to a SavedModel, TensorFlow's own format: collected on that backend only."""

import pytest
import tensorflow as tf
import tiny
from tolerances import assert_close


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_an_exported_model_gives_the_same_logits(family, rng, tmp_path):
    net = tiny.build(family, "resnet")
    x = tiny.examples(rng, "resnet")
    net.export(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    assert_close(saved.serve(x).numpy(), tiny.forward(net, x))
