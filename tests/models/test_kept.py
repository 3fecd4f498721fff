"""A trained model outlives an interrupt at every line of Keras' trainer."""

import inspect
import sys

import keras
import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras.models import kept

X = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
Y = np.arange(8) % 2
TRAINER = inspect.getmodule(keras.Model.__bases__[0])
PLACES = {TRAINER.__file__, kept.__file__}
# While it traces a step, Keras is inside scopes that an interrupt may leave open.
TRACED = {"compute_loss_and_updates", "_update_metrics_variables"}
QUIET = {"batch_size": 4, "verbose": 0}
CALLS = {
    "predict": lambda net: net.predict(X, **QUIET),
    "evaluate": lambda net: net.evaluate(X, Y, **QUIET),
    "fit": lambda net: net.fit(X, Y, shuffle=False, **QUIET),
    "predict_on_batch": lambda net: net.predict_on_batch(X),
    "test_on_batch": lambda net: net.test_on_batch(X, Y),
    "train_on_batch": lambda net: net.train_on_batch(X, Y),
}
ONLY_JAX = pytest.mark.only("jax")  # other trainers leave weights in place


def make(kind="dlgn"):
    net = dk.DLGN("fc:depth=1,width=2", (3,), 2, seed=0)
    if kind == "twin":
        net = dk.disentangle(dnn())
        net.gating_network.trainable = False
    if kind == "keras":
        net = dnn()
    if kind == "view":
        net = net.features()
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.Adam(), loss)
    return net


def dnn():
    layers = keras.layers
    return keras.Sequential(
        [keras.Input((3,)), layers.Dense(2, activation="relu"), layers.Dense(2)]
    )


def interrupted(call, line):
    """Raise KeyboardInterrupt at the n-th line of the trainer; tell whether it came."""
    count = 0

    def inside(frame, event, argument):
        nonlocal count
        count += event == "line"
        if count == line:
            raise KeyboardInterrupt
        return inside

    before = sys.gettrace()

    def outside(frame, event, argument):
        code = frame.f_code
        here = code.co_filename in PLACES and code.co_name not in TRACED
        return inside if here else None

    sys.settrace(outside)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def losses(net, call, every=1):
    """Interrupt a call at all its lines; count the lines, and the losses of weights."""
    call(net)
    line = lost = 0
    start = net.get_weights()
    while interrupted(lambda: call(net), line := line + every):
        try:
            found = net.get_weights()
            changed = any(
                not np.array_equal(a, b) for a, b in zip(start, found, strict=True)
            )
            lost += changed and call not in (CALLS["fit"], CALLS["train_on_batch"])
            assert all(np.isfinite(w).all() for w in found)
        except (TypeError, RuntimeError):
            return line, 1
    return line, lost


@ONLY_JAX
@pytest.mark.parametrize("name", CALLS)
def test_an_interrupt_at_any_line_leaves_the_weights(name):
    net = make()
    lines, lost = losses(net, CALLS[name], every=1 if name == "predict" else 3)
    assert lines > 20
    assert lost == 0
    assert np.isfinite(net.predict(X, verbose=0)).all()


@ONLY_JAX
@pytest.mark.parametrize("kind", ["twin", "view"])
def test_twins_and_views_are_kept_too(kind):
    assert losses(make(kind), CALLS["predict"], every=5)[1] == 0


@ONLY_JAX
@pytest.mark.parametrize("name", ["predict", "evaluate", "fit"])
def test_a_plain_keras_model_loses_them(name):
    assert losses(make("keras"), CALLS[name])[1]


@ONLY_JAX
def test_fit_stops_at_a_state_between_two_steps():
    states = []
    net = make()

    class Note(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            states.append([w.copy() for w in self.model.get_weights()])

    start = net.get_weights()
    net.fit(X, Y, shuffle=False, callbacks=[Note()], **QUIET)
    states.insert(0, start)
    reached = set()
    for line in range(5, 400, 19):
        net.set_weights(start)
        net.compile(keras.optimizers.Adam(), net.loss)
        if not interrupted(lambda: CALLS["fit"](net), line):
            break
        found = net.get_weights()
        near = [
            max(np.abs(a - b).max() for a, b in zip(found, s, strict=True))
            for s in states
        ]
        assert min(near) == 0
        reached.add(int(np.argmin(near)))
    assert len(reached) > 1


@pytest.mark.parametrize("name", ["predict", "evaluate", "fit"])
def test_data_that_break_leave_the_model_whole(name):
    net = make()
    weights, logits = net.get_weights(), net.predict(X, verbose=0)

    class Broken(keras.utils.PyDataset):
        num_batches = 2

        def __len__(self):
            return 2

        def __getitem__(self, k):
            if k:
                raise OSError("the disk is gone")
            return X[:4], Y[:4]

    with pytest.raises(OSError, match="the disk is gone"):
        getattr(net, name)(Broken(), verbose=0)
    if name == "fit":
        net.set_weights(weights)
    np.testing.assert_array_equal(net.predict(X, verbose=0), logits)


def test_a_callback_may_call_the_model_it_trains():
    net = make()
    seen = []
    end = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(net.predict(X, verbose=0))
    )
    net.fit(X, Y, callbacks=[end], **QUIET)
    assert len(seen) == 2
    assert np.abs(seen[0] - seen[1]).max() > 0


def test_later_weights_are_not_undone_by_an_interrupted_call():
    net = make()
    net.predict_on_batch(X)
    weights = [w + 1 for w in net.get_weights()]
    net.set_weights(weights)
    interrupted(lambda: net.predict_on_batch(X), 12)
    for ours, theirs in zip(net.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


class Nothing(keras.utils.PyDataset):
    def __len__(self):
        return 0

    def __getitem__(self, k):
        raise IndexError(k)


@pytest.mark.parametrize("name", ["predict", "evaluate", "fit"])
def test_no_rows_are_refused_in_one_line_and_harm_nothing(name):
    net = make()
    logits = net.predict(X, verbose=0)
    arrays = (X[:0],) if name == "predict" else (X[:0], Y[:0])
    for data in (arrays, (Nothing(),)):
        with pytest.raises(ValueError, match="`x` must hold an example") as error:
            getattr(net, name)(*data, verbose=0)
        assert "\n" not in str(error.value)
    np.testing.assert_array_equal(net.predict(X, verbose=0), logits)
