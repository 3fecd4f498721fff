"""disentangle probes what is affine: layers and operations that no table names."""

import foreign
import keras
import numpy as np
import pytest
import tiny
from contracts import moved, values
from keras import layers, ops
from tolerances import assert_close, distance

import dlgn_keras as dk
from dlgn_keras.models.foreign.probe import affine_in, keeps_apart, problem

W = np.arange(12, dtype="float32").reshape(6, 2) / 6
ROW = np.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], "float32")


class Scaled(layers.Layer):
    """`a + scale * b`, as keras.applications has it in InceptionResNetV2."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def build(self, shapes):
        self.shift = self.add_weight(shape=shapes[0][1:], initializer="ones")

    def call(self, inputs):
        return inputs[0] + self.scale * inputs[1] + self.shift


# Of x, (n, 6): affine maps, each to a tensor of any shape.
AFFINE = {
    "slice": lambda x: x[:, 1:4],
    "strided slice": lambda x: x[..., ::2],
    "index": lambda x: x[:, 0],
    "new axis": lambda x: x[..., None],
    "expand": lambda x: ops.expand_dims(x, 1),
    "split": lambda x: ops.multiply(ops.split(x, 3, axis=1)[1], 2.0),
    "unstack": lambda x: ops.stack(ops.unstack(x, axis=1)[:2], axis=1),
    "pad": lambda x: ops.pad(x, [[0, 0], [1, 2]]),
    "reflect": lambda x: ops.pad(x, [[0, 0], [1, 2]], mode="reflect"),
    "matmul": lambda x: ops.matmul(x, W),
    "dot": lambda x: ops.dot(x, W),
    "einsum": lambda x: ops.einsum("bi,ij->bj", x, W),
    "tile": lambda x: ops.tile(x, (1, 2)),
    "repeat": lambda x: ops.repeat(x, 2, axis=1),
    "divide by an array": lambda x: x / ROW,
    "times an array": lambda x: ops.multiply(ROW, x),
    "roll": lambda x: ops.roll(x, 2, axis=1),
    "take": lambda x: ops.take(x, np.array([5, 0, 0]), axis=1),
    "cumsum": lambda x: ops.cumsum(x, axis=1),
    "sum": lambda x: ops.sum(x, axis=1, keepdims=True),
    "centred": lambda x: x - ops.mean(x, axis=1, keepdims=True),
    "diff": lambda x: ops.diff(x, axis=1),
    "swap": lambda x: ops.swapaxes(ops.reshape(x, (-1, 2, 3)), 1, 2),
    "broadcast": lambda x: ops.zeros_like(x[:, None]) + x[:, :, None],
    "precision": lambda x: ops.cast(ops.cast(x, "float16"), "float32"),
    "own layer": lambda x: Scaled(0.3)([x, ops.flip(x, axis=1)]),
    "each": lambda x: layers.TimeDistributed(layers.Dense(2))(x[..., None]),
    "spectral": lambda x: layers.SpectralNormalization(layers.Dense(3))(x),
    "linear recurrence": lambda x: layers.SimpleRNN(2, activation=None)(x[..., None]),
    "resized": lambda x: layers.Resizing(
        4, 5, data_format="channels_last", interpolation="bicubic"
    )(ops.reshape(x, (-1, 2, 3, 1))),
}


def branches(maps):
    """One network with a branch for each map of a ReLU's output."""
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu", name="first")(inputs)
    found = [layers.Flatten()(layers.Reshape((-1,))(f(x))) for f in maps]
    x = layers.Dense(4, activation="relu")(layers.Concatenate()(found))
    return keras.Model(inputs, layers.Dense(3)(x), name="branches")


def test_every_affine_map_is_found_by_its_values_and_the_dual_is_exact(rng):
    model = branches(AFFINE.values())
    tiny.shake(model)
    x = foreign.examples(rng, model)
    logits = foreign.logits(model, x)
    twin = dk.disentangle(model)
    assert_close(tiny.forward(twin, x), logits)
    found = twin.explain(x, target=1)
    assert_close(found.contributions.sum(1) + found.bias, logits[:, 1])
    foreign.flip(twin.value_network)
    with pytest.raises(AssertionError):
        assert_close(tiny.forward(twin, x), logits)


@pytest.mark.parametrize("name", ["strided slice", "divide by an array", "own layer"])
def test_a_twin_of_such_maps_is_saved_and_loaded(name, rng, tmp_path):
    model = branches([AFFINE[name]])
    tiny.shake(model)
    twin = dk.disentangle(model)
    twin.save(tmp_path / "twin.keras")
    own = {"Scaled": Scaled}
    again = keras.models.load_model(tmp_path / "twin.keras", custom_objects=own)
    x = foreign.examples(rng, model)
    np.testing.assert_array_equal(tiny.forward(again, x), tiny.forward(twin, x))


class Hidden(layers.Layer):
    """Affine, by a number that its config does not have."""

    factor = 1.0

    def call(self, x):
        return self.factor * x


class Stopped(layers.Layer):
    def call(self, x):
        return x + ops.stop_gradient(x)


class Shifting(layers.Layer):
    """Affine but for noise that it draws at inference too."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.seed_generator = keras.random.SeedGenerator(0)

    def call(self, x):
        return x + keras.random.normal(ops.shape(x), seed=self.seed_generator)


class Squared(layers.Layer):
    def call(self, x):
        return x * x


class Counting(layers.Layer):
    """Affine, and it counts its calls."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign_add(1.0)
        return 2 * x


def hidden():
    layer = Hidden(name="hidden")
    layer.factor = 2.0
    return layer


# Of x, (n, 6): what is not affine, example by example, and what is said of it.
OTHERS = {
    "cast": (lambda x: ops.cast(ops.cast(x, "int32"), "float32"), "whole numbers"),
    "round": (lambda x: ops.round(x), "neither affine at inference nor ReLU-like"),
    "sign": (lambda x: ops.sign(x), "neither affine"),
    "above": (lambda x: ops.cast(x > 0, "float32"), "makes whole numbers (bool)"),
    "batch mean": (lambda x: x - ops.mean(x, axis=0), "mixes the examples of a batch"),
    "mean": (lambda x: x - ops.mean(x), "mixes the examples of a batch"),
    "batch sum": (lambda x: x + ops.sum(x, 0, keepdims=True), "mixes the examples"),
    "batch roll": (lambda x: ops.roll(x, 1, axis=0), "mixes the examples"),
    "batch flip": (lambda x: ops.flip(x, axis=0), "mixes the examples"),
    "batch reshape": (lambda x: ops.reshape(x, (-1, 3)), "mixes the examples"),
    "no axis": (lambda x: ops.roll(x, 1), "mixes the examples"),
    "noise": (lambda x: Shifting()(x), "is random"),
    "product": (
        lambda x: x * ops.flip(x, axis=1),
        "multiplies or divides by a tensor of the network",
    ),
    "square": (lambda x: ops.square(x), "neither affine"),
    "itself": (lambda x: layers.Multiply()([x, x]), "neither affine"),
    "sine": (lambda x: x + 0.1 * ops.sin(x), "neither affine"),
    "log": (lambda x: ops.log(x), "values that are not finite"),
    "stop": (lambda x: ops.stop_gradient(x), "a gradient that is not its slope"),
    "half": (lambda x: Stopped()(x), "a gradient that is not its slope"),
    "mask": (
        lambda x: layers.Masking()(x[..., None]),
        "makes a mask of its input, which other layers read",
    ),
    "inside": (
        lambda x: layers.SimpleRNN(2, activation="relu")(x[..., None]),
        "does not apply its activation last",
    ),
    "sets": (lambda x: ops.einsum("bi,bi->b", x, x), "neither affine"),
    "shapes": (
        lambda x: layers.Maximum()([x, x[:, :1]]),
        "compares shapes (1,), (6,): bring its inputs to one shape",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_not_affine_is_refused_with_what_was_found(name):
    make, reason = OTHERS[name]
    inputs = keras.Input((5,))
    x = make(layers.Dense(6, activation="relu")(inputs))
    with pytest.raises(ValueError, match="cannot be converted") as told:
        dk.disentangle(keras.Model(inputs, x, name="wild"))
    assert reason in str(told.value)
    assert "\n" not in str(told.value)


def test_a_layer_is_read_by_its_graph_where_its_config_does_not_tell(rng):
    x = inputs = keras.Input((5,))
    x = hidden()(layers.Dense(6, activation="relu")(x))
    model = keras.Model(inputs, layers.Dense(3)(x))
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    assert_close(tiny.forward(twin, x), tiny.forward(model, x))
    foreign.flip(twin.gating_network)
    assert distance(tiny.forward(twin, x), tiny.forward(model, x)) > 1e-3


@keras.saving.register_keras_serializable("tests")
class Weighing(layers.Layer):
    """Its variables come first in its operations, where Keras computes at once."""

    def build(self, shape):
        options = {"shape": shape[1:], "initializer": "random_normal"}
        self.scale = self.add_weight(name="scale", **options)
        self.shift = self.add_weight(name="shift", **options)

    def call(self, x):
        return self.shift - self.scale * ops.relu(x / self.shift)


def test_variables_that_operations_read_are_constants_of_the_twin(rng, tmp_path):
    inputs = keras.Input((5,))
    weighing, loose = Weighing(), keras.Variable(ROW)
    x = weighing(layers.Dense(6)(inputs)) + loose
    model = keras.Model(inputs, layers.Dense(3)(x))
    twin = dk.disentangle(model)
    x = foreign.examples(rng, model)
    expected = tiny.forward(model, x)
    assert_close(tiny.forward(twin, x), expected)
    twin.save(tmp_path / "twin.keras")
    weighing.scale.assign(2 * weighing.scale)
    loose.assign(ROW + 1)
    assert distance(tiny.forward(model, x), expected) > 1e-2
    assert_close(tiny.forward(twin, x), expected)
    again = keras.models.load_model(tmp_path / "twin.keras")
    assert_close(tiny.forward(again, x), expected)
    with pytest.raises((TypeError, ValueError)):  # Keras' own way is back
        loose * keras.KerasTensor((6,))


def test_a_pad_with_minus_infinity_before_a_max_pooling_repeats_the_edges(rng):
    x = inputs = keras.Input((6, 5, 2))
    x = ops.pad(x, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=-np.inf)
    last = {"data_format": "channels_last"}
    pooled = layers.MaxPooling2D(3, 2, name="pool", **last)(x)
    model = keras.Model(inputs, layers.Flatten()(pooled))
    twin = dk.disentangle(model)
    z = rng.normal(size=(3, 6, 5, 2)).astype("float32") - 5  # a pad of 0 would win
    assert_close(tiny.forward(twin, z), tiny.forward(model, z))
    found = twin.explain(z, 1)
    assert_close(found.contributions.sum((1, 2, 3)) + found.bias, found.logits[:, 1])
    wide = layers.MaxPooling2D(1, name="wide", **last)(x)  # takes the pad itself
    with pytest.raises(ValueError, match="values that are not finite"):
        dk.disentangle(keras.Model(inputs, layers.Flatten()(wide)))


def test_a_probe_leaves_the_variables_of_a_model_as_they_are():
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu")(inputs)
    model = keras.Model(inputs, Shifting()(Counting()(x)))
    before = values(model.variables)
    with pytest.raises(ValueError, match=r"shifting\S* \(Shifting\) is random"):
        dk.disentangle(model)
    assert not moved(before, values(model.variables))


def test_what_is_called_in_training_mode_is_converted_as_predict_computes_it(rng):
    inputs = keras.Input((5,))
    x = layers.Dense(6, activation="relu")(inputs)
    x = layers.BatchNormalization()(
        layers.Dropout(0.5)(x, training=True), training=True
    )
    model = keras.Model(inputs, layers.Dense(3)(x))
    tiny.shake(model)
    x = foreign.examples(rng, model)
    expected = model.predict(x, verbose=0)
    twin = dk.disentangle(model)
    assert_close(twin.predict(x, verbose=0), expected)
    found = twin.explain(x, target=0)
    assert_close(found.contributions.sum(1) + found.bias, expected[:, 0])


def test_a_layer_is_probed_in_its_own_precision():
    model = keras.Sequential(
        [
            keras.Input((5,)),
            layers.Dense(6, activation="relu", dtype="mixed_bfloat16"),
            Squared(dtype="mixed_bfloat16"),
        ]
    )
    with pytest.raises(ValueError, match=r"squared.* is neither affine"):
        dk.disentangle(model)


def test_the_probe_knows_lines_from_curves_at_every_scale():
    spec = [((7,), "float32")]
    assert problem(lambda x: 3 * x + 1e3, spec) is None
    assert problem(lambda x, y: 3 * x - y, 2 * spec) is None
    assert problem(ops.ones_like, spec) is None
    for curve in (
        lambda x: x + 1e-3 * ops.sin(x),
        lambda x: ops.clip(x, -500, 500),
        lambda x: ops.where(ops.abs(x) > 0.05, x, 0.0),
        lambda x: ops.round(100 * x) / 100,
        ops.abs,
    ):
        assert problem(curve, spec) == "is not affine"
    assert problem(lambda x, y: x * y, 2 * spec) == "is not affine"
    assert affine_in(lambda x, y: x * y, 2 * spec, [1])
    assert not affine_in(lambda x, y: x / y, 2 * spec, [1])
    assert affine_in(lambda x, y: x / y, 2 * spec, [0])
    assert not keeps_apart(lambda x: x * ops.flip(x, axis=0), spec)
    assert (
        problem(lambda x: x[:, 0] * 0 / 0, spec) == "gives values that are not finite"
    )
    wrong = problem(lambda x: ops.matmul(x, W), spec)
    assert wrong.startswith("cannot be called with 9 examples: ")
    whole = [((4,), "uint8")]
    assert problem(lambda x: ops.cast(x, "float32") / 255, whole) is None
    assert problem(lambda x: ops.cast(x // 3, "float32"), whole) == "is not affine"
