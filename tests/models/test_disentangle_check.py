"""What disentangle makes sure of: equal outputs, config and names that can be used."""

import json

import foreign
import keras
import numpy as np
import pytest
import tiny
from keras import layers, ops
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras.models import DisentangledModel
from dlgn_keras.models.foreign import checking, reader


class Overriding(keras.Model):
    """A functional model whose `call` is another function than its graph."""

    def call(self, inputs, training=None):
        return 2 * super().call(inputs, training=training)


class Cubed(layers.Layer):
    def call(self, x):
        return x**3


def small(cls=keras.Model, **options):
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu", name="first", **options)(inputs)
    return cls(inputs, layers.Dense(3, name="last")(x), name="small")


def test_a_model_that_computes_something_else_than_its_graph_is_refused():
    with pytest.raises(ValueError, match=r"'small' cannot be.*outputs differ"):
        dk.disentangle(small(Overriding))
    inner = small(Overriding)
    outer = keras.Sequential([keras.Input((5,)), inner, layers.Dense(2)])
    with pytest.raises(ValueError, match="outputs differ from its own by"):
        dk.disentangle(outer)


def test_a_twin_that_differs_in_one_weight_is_refused(monkeypatch):
    copy = DisentangledModel.copy_weights_from

    def forgetful(self, sources):
        copy(self, {k: v for k, v in sources.items() if k != "first"})

    model = small()
    dk.disentangle(model)
    monkeypatch.setattr(DisentangledModel, "copy_weights_from", forgetful)
    with pytest.raises(ValueError, match="outputs differ from its own by"):
        dk.disentangle(model)
    assert dk.disentangle(model, copy_weights=False).output_shape == (None, 3)


@pytest.mark.once
def test_outputs_may_differ_by_what_the_model_itself_rounds(rng):
    twin = dk.disentangle(small())
    x = ops.convert_to_tensor(rng.normal(size=(3, 64)).astype("float32"))

    def check(own, found):
        checking._check_outputs(own, x, found, twin, "rough")

    def rough(scale):
        return lambda x: np.sin(scale * np.asarray(ops.convert_to_numpy(x), "float64"))

    noise = rng.normal(size=(3, 64)).astype("float32")
    near = x * ops.convert_to_tensor(1 + 1e-7 * noise)
    check(rough(1e5), rough(1e5)(near))
    with pytest.raises(ValueError, match="outputs differ from its own by"):
        check(rough(1e5), rough(1e5)(-near))
    with pytest.raises(ValueError, match="outputs differ from its own by"):
        check(rough(1e2), rough(1e5)(near))
    with pytest.warns(UserWarning, match="'rough' cannot be compared"):
        check(rough(1e8), rough(1e8)(near))


@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_a_value_network_that_is_not_affine_is_refused(family, monkeypatch):
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, activation="relu"),
            Cubed(),
            layers.Dense(3),
        ]
    )
    with pytest.raises(ValueError, match=r"cubed.* is neither affine"):
        dk.disentangle(model, family)
    monkeypatch.setattr(reader, "problem", lambda *args, **kwargs: None)
    with pytest.raises(ValueError, match="its twin's value network is not affine"):
        dk.disentangle(model, family)
    mixing = keras.Input((5,))
    x = layers.Dense(6, activation="relu")(mixing)
    x = x - ops.mean(x, axis=0, keepdims=True)
    with pytest.raises(ValueError, match="value network mixes the examples"):
        dk.disentangle(keras.Model(mixing, x), family)


@pytest.mark.parametrize("head", [{"activation": "softmax"}, {}])
def test_the_check_leaves_the_head_of_the_model_in_its_place(head, rng):
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.Dense(3, name="last", **head)(x)
    model = keras.Model(inputs, x if head else layers.Softmax(name="soft")(x))
    x = foreign.examples(rng, model)
    before = tiny.forward(model, x)
    assert_close(before.sum(1), np.ones(len(x)))
    dk.disentangle(model)
    np.testing.assert_array_equal(tiny.forward(model, x), before)


def test_weights_that_are_not_numbers_are_told():
    model = small()
    model.get_layer("first").kernel.assign(np.full((5, 6), np.nan, "float32"))
    with pytest.raises(ValueError, match=r"finite outputs.*'small'"):
        dk.disentangle(model)


def penalty(w):
    return 0.01 * ops.sum(ops.abs(w))


def drawn(shape, dtype=None):
    return ops.ones(shape, dtype)


class Bound(keras.constraints.Constraint):
    def __call__(self, w):
        return ops.clip(w, -9, 9)


def test_functions_that_only_training_needs_are_dropped(rng, tmp_path):
    model = small(
        kernel_regularizer=penalty,
        bias_regularizer=lambda w: ops.sum(w),
        activity_regularizer=keras.regularizers.L2(0.01),
        kernel_initializer=drawn,
        bias_initializer=keras.initializers.Constant(0.5),
        kernel_constraint=Bound(),
    )
    model.get_layer("last").kernel_regularizer = penalty
    tiny.shake(model)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(twin, x), tiny.forward(model, x))
    config = twin.source_graph.layers["first"]["config"]
    assert config["kernel_regularizer"] is None
    assert config["bias_regularizer"] is None
    assert config["kernel_constraint"] is None
    assert "kernel_initializer" not in config
    assert config["bias_initializer"]["config"] == {"value": 0.5}
    assert config["activity_regularizer"]["class_name"] == "L2"
    twin.save(tmp_path / "twin.keras")
    again = keras.models.load_model(tmp_path / "twin.keras")
    np.testing.assert_array_equal(tiny.forward(again, x), tiny.forward(twin, x))


def test_the_name_of_a_nested_model_may_hold_dots(rng, tmp_path):
    y = keras.Input((5,))
    dense = layers.Dense(4, activation="relu", name="dense")
    inner = keras.Model(y, dense(y), name="mobile_0.35_32")
    x = keras.Input((5,))
    model = keras.Model(x, layers.Dense(2)(inner(x)))
    twin = dk.disentangle(model)
    assert [s.name for s in twin.sites] == ["mobile_0_35_32_dense_relu"]
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(twin, x), tiny.forward(model, x))
    twin.save(tmp_path / "twin.keras")


def test_a_fixed_batch_is_freed(rng):
    x = inputs = keras.Input(batch_shape=(3, 6, 2))
    x = layers.Conv1D(4, 3, activation="relu", data_format="channels_last")(x)
    model = keras.Model(inputs, layers.Dense(2)(ops.reshape(x, (3, -1))))
    tiny.shake(model)
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model, 3)
    logits = tiny.forward(model, x)
    assert_close(tiny.forward(twin, x), logits)
    assert_close(tiny.forward(twin, x[:1]), logits[:1])


def test_a_layer_that_needs_a_fixed_batch_is_named():
    inputs = keras.Input(batch_shape=(3, 6))
    x = layers.Dense(4, activation="relu")(inputs)
    x = ops.add(x, np.ones((3, 4), "float32"))
    model = keras.Model(inputs, layers.Dense(2)(x))
    with pytest.raises(ValueError, match=r"add\S* \(Add\) cannot be called with 9"):
        dk.disentangle(model)
    inputs = keras.Input(batch_shape=(9, 6))  # the probe takes another number
    x = layers.Dense(6, activation="relu")(inputs)
    x = ops.multiply(x, np.arange(54, dtype="float32").reshape(9, 6))
    with pytest.raises(ValueError, match=r"multiply\S* \(Multiply\) cannot be called"):
        dk.disentangle(keras.Model(inputs, x))


def test_a_quantised_model_is_refused_when_its_twin_is_made():
    model = small()
    with pytest.warns(UserWarning, match="does not have a `quantize` method"):
        model.quantize("int8")
    with pytest.raises(ValueError, match=r"float model.*'small', first in int8"):
        dk.disentangle(model)


def test_constants_stay_arrays_of_their_dtype(rng):
    inputs = keras.Input((3,))
    scale = np.array([1.0, 2.0, 4.0], "float32")
    x = layers.Dense(4, activation="relu")(inputs / scale)
    model = keras.Model(inputs, layers.Dense(2)(x))
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    np.testing.assert_array_equal(twin.value_inputs(x), x / scale)
    divide = twin.source_graph.steps[twin.source_graph.value_input]
    held = json.loads(json.dumps(divide.arguments))[0][1]
    assert held["config"] == {"value": [1.0, 2.0, 4.0], "dtype": "float32"}


@pytest.mark.parametrize("family", ["densenet", "vgg16", "mobilenet_v2", "convnext"])
def test_preprocessing_of_keras_applications_is_read(family, rng):
    inputs = keras.Input((4, 4, 3))
    preprocess = getattr(keras.applications, family).preprocess_input
    x = preprocess(inputs, data_format="channels_last")
    last = {"data_format": "channels_last"}
    x = layers.Conv2D(4, 3, activation="relu", **last)(x)
    model = keras.Model(inputs, layers.Dense(2)(layers.Flatten()(x)))
    twin = dk.disentangle(model)
    x = rng.integers(0, 256, (3, 4, 4, 3)).astype("float32")
    logits = foreign.logits(model, x)
    assert_close(tiny.forward(twin, x), logits)
    z = twin.value_inputs(x)
    if family == "vgg16":  # turns the channels: raw pixels keep their places
        np.testing.assert_array_equal(z, x)
    else:
        assert_close(z, preprocess(x.copy(), data_format="channels_last"))
    found = twin.explain(x, 0)
    assert_close(found.contributions.sum((1, 2, 3)) + found.bias, logits[:, 0])


def test_a_refusal_names_three_layers_and_counts_the_rest():
    x = inputs = keras.Input((5,))
    for k in range(40):
        x = layers.Dense(5, activation=layers.PReLU(), name=f"wide_{k}")(x)
    with pytest.raises(ValueError, match="cannot be converted") as told:
        dk.disentangle(keras.Model(inputs, x))
    message = str(told.value)
    assert "wide_0 (Dense)" in message
    assert "wide_2 (Dense)" in message
    assert "wide_3" not in message
    assert message.endswith("; and 37 more.")
    assert len(message) < 300
