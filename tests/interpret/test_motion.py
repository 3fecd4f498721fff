"""The recorder keeps what the gates were, whoever trains."""

import keras
import numpy as np

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.interpret import HyperplaneRecorder


def compiled(net):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(0.5), loss)
    return net


def test_the_recorder_keeps_what_the_gates_were(rng):
    x = rng.normal(size=(32, 2)).astype("float32")
    y = (x[:, 0] > 0).astype("int32")
    build = (dk.skeletons.fc(2, 3), (2,), 2)
    nets = [compiled(dk.DLGN(*build, value_input="ones", seed=1)) for _ in range(2)]
    recorder = HyperplaneRecorder(every=2)
    nets[0].fit(x, y, 32, epochs=3, verbose=0, shuffle=False, callbacks=[recorder])
    assert recorder.epochs == [0, 2, 3]
    before = interpret.hyperplanes(nets[1])
    np.testing.assert_array_equal(recorder.records[0].normals, before.normals)
    nets[1].fit(x, y, 32, epochs=2, verbose=0, shuffle=False)
    halfway = interpret.hyperplanes(nets[1])
    np.testing.assert_allclose(recorder.records[1].normals, halfway.normals, atol=1e-6)
    last = interpret.hyperplanes(nets[0])
    np.testing.assert_array_equal(recorder.records[2].normals, last.normals)
    assert np.abs(last.normals - halfway.normals).max() > 1e-3


def test_the_recorder_finds_the_net_inside_a_training_run():
    recorder = HyperplaneRecorder()
    recipe = dk.training.Recipe(
        skeleton="fc:depth=1,width=3", epochs=2, num_train=64, num_test=40
    )
    result = dk.training.fit(recipe, progress=False, callbacks=[recorder])
    assert recorder.epochs == [0, 1, 2]
    last = interpret.hyperplanes(result.model)
    np.testing.assert_array_equal(recorder.records[-1].normals, last.normals)
