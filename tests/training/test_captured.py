"""CapturedStep: the replayed graph trains as Keras' own torch step does."""

import keras
import numpy as np
import pytest
from contracts import values
from tolerances import RELATIVE, distance
from training.trainers import BATCH, CLASSES, compiled, examples, make

from dlgn_keras.training.batches import IndexChunks
from dlgn_keras.training.step import CapturedStep, ResidentData


@keras.saving.register_keras_serializable(package="tests")
class AsksForANumber(keras.layers.Layer):
    """Scale by a number that Python reads from the tensor, as no layer of ours does."""

    def call(self, inputs):
        return inputs * float(keras.ops.max(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape


def by_keras(trainer, chunks, *steps):
    """Train batch by batch with the step that Keras has for torch."""
    logs, steps = {}, slice(*steps or (None,))
    rows = zip(chunks.indices, chunks.weights, strict=True)
    for batch, weights in list(rows)[steps]:
        data = tuple(map(keras.ops.array, (batch, chunks.labels[batch], weights)))
        trainer._symbolic_build(data_batch=data)
        logs = keras.Model.train_step(trainer, data)
    return {name: float(value) for name, value in logs.items()}


def state(trainer):
    return values([*trainer.variables, *trainer.optimizer.variables])


def apart(ours, theirs):
    pairs = zip(state(ours).values(), state(theirs).values(), strict=True)
    return max(distance(a, b) for a, b in pairs)


@pytest.fixture
def data(rng):
    return examples(rng)


if keras.backend.backend() == "torch":
    from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

    @pytest.mark.parametrize("family", ["dnn", "dgn", "dlgn"])
    @pytest.mark.parametrize("augmentation", ["none", "shift_flip"])
    def test_it_leaves_the_state_that_keras_own_step_leaves(data, family, augmentation):
        x, labels = data
        # The last batch is not full.
        chunks = IndexChunks(labels[:-1], BATCH, seed=5, longest_chunk=3)
        ours, theirs, other = (make(x, family, "float32", augmentation) for _ in "abc")
        assert len(chunks) == 2
        for k in range(2):
            logs = ours.train_on_batch(*chunks[k], return_dict=True)
        by_keras(theirs, chunks, 3)
        theirs.reset_metrics()  # as train_on_batch does
        assert logs == pytest.approx(by_keras(theirs, chunks, 3, 6), abs=1e-5)
        assert apart(ours, theirs) < RELATIVE["float32"]
        by_keras(other, chunks, 5)  # broken twin: one step short
        assert apart(ours, other) > 1e-3

    @pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
    def test_it_keeps_to_the_precision(data, policy):
        x, labels = data
        chunks = IndexChunks(labels, BATCH, seed=5)
        ours, theirs, plain = make(x, "dlgn", policy), make(x, "dlgn", policy), make(x)
        for trainer in (ours, plain):
            trainer.train_on_batch(*chunks[0])
        by_keras(theirs, chunks)
        assert apart(ours, theirs) < RELATIVE["float32"]
        weights = [t.trainable_variables for t in (ours, plain)]
        ours, plain = (np.concatenate([v.numpy().ravel() for v in w]) for w in weights)
        assert distance(ours, plain) > 1e-5

    def test_a_layer_that_asks_for_a_number_is_refused_not_frozen(data):
        x, labels = data
        indices = keras.Input((), dtype="int32")
        image = keras.layers.Flatten()(ResidentData(x)(indices))
        inputs = keras.Input((192,))
        net = keras.Model(inputs, keras.layers.Dense(CLASSES)(AsksForANumber()(inputs)))
        model = compiled(keras.Model(indices, net(image)))
        batch = (np.arange(4), labels[:4], np.ones(4, "float32"))
        batch = tuple(map(keras.ops.array, batch))
        model._symbolic_build(data_batch=batch)
        with pytest.raises(GuardOnDataDependentSymNode):
            CapturedStep(model, batch)
