"""ChunkTrainer: a chunk of K steps is K ordinary Keras steps."""

import keras
import numpy as np
import pytest
from contracts import values
from keras import ops
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.training.batches import IndexChunks
from dlgn_keras.training.ingredients import make_loss
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.step import FirstNonFinite, ResidentData, make_trainer

BATCH, NUMBER, CLASSES = 4, 12, 3


def make_net(batch_norm=True):
    skeleton = dk.skeletons.fc(2, 5, batch_norm=batch_norm)
    return dk.DLGN(skeleton, (4,), CLASSES, seed=1)


def compiled(model, **options):
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.9), make_loss(Recipe(), CLASSES), **options
    )
    return model


def trained_in_chunks(x, labels, chunks, batch_norm=True):
    """Weights and logs after one chunk, all the steps in one call."""
    net = make_net(batch_norm)
    trainer = compiled(
        make_trainer(net, x, [], BATCH),
        metrics=[FirstNonFinite()],
        weighted_metrics=["accuracy"],
    )
    logs = trainer.train_on_batch(*chunks, return_dict=True)
    return list(values(net.weights).values()), logs


def trained_step_by_step(x, labels, batches, batch_norm=True):
    """The same by Keras alone: its train_on_batch on arrays, no chunk, no index."""
    net = compiled(make_net(batch_norm))
    for batch in batches:
        net.train_on_batch(x[batch], labels[batch])
    return list(values(net.weights).values())


@pytest.fixture
def data(rng):
    x = rng.normal(size=(NUMBER, 4)).astype("float32")
    return x, rng.integers(0, CLASSES, NUMBER).astype("int32")


def together(ours, theirs):
    return max(distance(a, b) for a, b in zip(ours, theirs, strict=True))


def test_a_chunk_of_steps_is_as_many_ordinary_keras_steps(data):
    x, labels = data
    chunks = IndexChunks(labels, BATCH, seed=5)
    assert (chunks.steps, len(chunks)) == (3, 1)
    ours, logs = trained_in_chunks(x, labels, chunks[0])
    theirs = trained_step_by_step(x, labels, chunks.indices)
    assert together(ours, theirs) < 1e-5
    assert logs["bad_step"] == -1

    # Broken twins: steps in another order, batches cut along the wrong axis.
    other = trained_step_by_step(x, labels, chunks.indices[::-1])
    assert together(ours, other) > 1e-3
    wrong = chunks.indices.T.reshape(3, BATCH)
    assert together(ours, trained_step_by_step(x, labels, wrong)) > 1e-3


def test_a_batch_filled_up_counts_its_real_examples_alone(data):
    x, labels = data
    chunks = IndexChunks(labels[:10], BATCH, seed=5)  # batches of 4, 4 and 2
    ours, _ = trained_in_chunks(x, labels, chunks[0], batch_norm=False)
    *full, last = chunks.indices
    ragged = trained_step_by_step(x, labels, [*full, last[:2]], batch_norm=False)
    assert together(ours, ragged) < 1e-5
    filled = trained_step_by_step(x, labels, chunks.indices, batch_norm=False)
    assert together(ours, filled) > 1e-3


@pytest.mark.once
def test_a_chunk_of_one_step_is_that_step(data):
    x, labels = data
    chunks = IndexChunks(labels, BATCH, seed=5, longest_chunk=1)
    assert len(chunks) == 3
    ours, _ = trained_in_chunks(x, labels, chunks[0])
    theirs = trained_step_by_step(x, labels, chunks.indices[:1])
    assert together(ours, theirs) < 1e-5


def test_accuracy_counts_the_real_examples_alone(data):
    x, labels = data
    net = make_net()
    trainer = compiled(make_trainer(net, x, [], 12), weighted_metrics=["accuracy"])
    indices, given, weights = IndexChunks(labels[:10], 12, seed=5)[0]
    figures = trainer.evaluate(
        indices, given, 12, verbose=0, sample_weight=weights, return_dict=True
    )
    hits = net.predict(x[:10], verbose=0).argmax(1) == labels[:10]
    assert figures["accuracy"] == pytest.approx(hits.mean())


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_the_first_step_with_logits_that_are_not_finite_is_named(data, bad):
    x, labels = data
    chunks = IndexChunks(labels, BATCH, seed=5)
    x[chunks.indices[bad][2]] = np.inf
    _, logs = trained_in_chunks(x, labels, chunks[0])
    assert logs["bad_step"] == bad


def test_the_metric_keeps_the_first_bad_step_and_starts_again():
    metric = FirstNonFinite()
    for logit in (1.0, np.nan, 2.0, np.inf):
        metric.update_state(None, ops.array([[logit, 0.0]]))
    assert int(metric.result()) == 1
    metric.reset_state()
    metric.update_state(None, ops.array([[1.0, 0.0]]))
    assert int(metric.result()) == -1


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_resident_data_are_looked_up_in_their_own_dtype(dtype, rng):
    x = rng.integers(0, 256, (5, 2, 2, 1)).astype(dtype)
    layer = ResidentData(x)
    assert layer.array.dtype == dtype
    found = ops.convert_to_numpy(layer(ops.array([4, 0, 4], "int32")))
    np.testing.assert_array_equal(found, x[[4, 0, 4]].astype("float32"))
    assert not layer.trainable_weights


def test_the_trainer_shares_the_weights_of_the_net(data):
    x, _ = data
    net = make_net()
    trainer = make_trainer(net, x, [], BATCH)
    ours = trainer.predict(np.arange(NUMBER, dtype="int32"), verbose=0)
    assert_close(ours, net.predict(x, verbose=0))
