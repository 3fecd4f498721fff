"""Export to a SavedModel, TensorFlow's own format: collected on that backend only."""

import pytest
import tensorflow as tf
import tiny
from tolerances import assert_close


@pytest.mark.parametrize(
    ("family", "kind"), [("dnn", "sequence"), ("dgn", "gconv"), ("dlgn", "resnet")]
)
def test_an_exported_model_gives_the_same_logits(family, kind, rng, tmp_path):
    net = tiny.build(family, kind)
    x = tiny.examples(rng, kind)
    net.export(tmp_path / "saved", verbose=False)
    saved = tf.saved_model.load(str(tmp_path / "saved"))
    assert_close(saved.serve(x).numpy(), tiny.forward(net, x))
