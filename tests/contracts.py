"""check_layer: one function that holds a layer to the whole Keras contract."""

import inspect
import json

import keras
import numpy as np
from keras import ops
from tolerances import assert_close

# One step of a tiny model: tracing costs more than it saves, except to JAX, which
# compiles every operation of an eager call by itself.
EAGERLY = keras.backend.backend() != "jax"
BASE_KEYS = {"name", "trainable", "dtype"}


def check_layer(
    layer_cls,
    init_kwargs,
    input_shapes,
    output_shape,
    trainable,
    rng,
    folder,
    non_trainable=0,
    reference=None,
):
    """Hold a layer to its config, build, call, save, fit and mixed-precision contract.

    Args:
        layer_cls, init_kwargs: what makes the layer.
        input_shapes: a shape, or a list of shapes, with the batch axis.
        output_shape: the shape expected, with the batch axis.
        trainable, non_trainable: numbers of weights (scalars) expected.
        rng: NumPy generator.
        folder: where the saved layer goes.
        reference: (layer, list of inputs) -> expected output, in NumPy.
    """
    shapes = input_shapes if isinstance(input_shapes, list) else [input_shapes]
    inputs = [rng.normal(size=shape).astype("float32") for shape in shapes]

    check_config(layer_cls, init_kwargs)
    layer = check_calls(layer_cls, init_kwargs, inputs, output_shape)
    assert count(layer.trainable_weights) == trainable
    assert count(layer.non_trainable_weights) == non_trainable
    if reference is not None:
        perturb(layer, rng)
        assert_close(call(layer, inputs), reference(layer, inputs))
    check_saving(layer, inputs, folder)
    check_fit(layer_cls, init_kwargs, inputs, rng)
    check_mixed_precision(layer, inputs)


def as_call(tensors):
    """What a layer is called on: a list of tensors, or the lone tensor."""
    return tensors if len(tensors) > 1 else tensors[0]


def call(layer, inputs, **kwargs):
    return to_numpy(
        layer(as_call([ops.convert_to_tensor(x) for x in inputs]), **kwargs)
    )


def to_numpy(tensor):
    return np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")))


def count(weights):
    return sum(int(np.prod(w.shape)) for w in weights)


def values(weights):
    return {w.path: np.array(ops.convert_to_numpy(w)) for w in weights}


def moved(before, after):
    return {path for path in after if not np.array_equal(before[path], after[path])}


def perturb(layer, rng):
    """Move every weight: zeros and ones of the start hide mistakes."""
    for weight in layer.weights:
        if "seed" not in weight.path:
            noise = rng.normal(size=weight.shape) * 0.2
            weight.assign(ops.convert_to_numpy(weight) * np.exp(noise) + abs(noise))


def init_arguments(layer_cls):
    """Names of all arguments of `__init__`, inherited ones too, up to Keras' Layer."""
    names = set()
    for cls in layer_cls.__mro__:
        if cls is keras.layers.Layer:
            break
        if "__init__" in vars(cls):
            parameters = inspect.signature(cls.__init__).parameters.values()
            names |= {p.name for p in parameters if p.kind != p.VAR_KEYWORD}
    return names - {"self"}


def check_config(layer_cls, init_kwargs):
    base = {"name": "given_name", "trainable": False, "dtype": "float32"}
    layer = layer_cls(**init_kwargs, **base)
    config = layer.get_config()
    missing = (init_arguments(layer_cls) | BASE_KEYS) - set(config)
    assert not missing, f"get_config of {layer_cls.__name__} lacks {missing}"
    for key, value in init_kwargs.items():
        given = json.dumps(config[key], default=str)
        if isinstance(value, int | float) and isinstance(config[key], tuple):
            assert set(config[key]) == {value}
        elif isinstance(value, str) and not isinstance(config[key], dict):
            assert config[key] == value, given
    again = layer_cls.from_config(json.loads(json.dumps(config)))
    assert again.name == "given_name"
    assert again.trainable is False
    assert json.dumps(again.get_config()) == json.dumps(config)


def check_calls(layer_cls, init_kwargs, inputs, output_shape):
    """build alone, symbolic and eager calls agree with each other; return the layer."""
    shapes = as_call([x.shape for x in inputs])
    built = layer_cls(**init_kwargs)
    built.build(shapes)
    assert built.built
    computed = built.compute_output_shape(shapes)
    assert tuple(computed) == tuple(output_shape), "compute_output_shape"

    layer = layer_cls(**init_kwargs)
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    symbolic = layer(as_call(symbols))
    assert tuple(symbolic.shape) == (None, *output_shape[1:]), "symbolic"
    assert [tuple(w.shape) for w in layer.weights] == [
        tuple(w.shape) for w in built.weights
    ], "build alone makes other weights than a call"
    eager = call(layer, inputs)
    assert eager.shape == tuple(output_shape), "eager"
    model = keras.Model(as_call(symbols), symbolic)
    model.compile(run_eagerly=EAGERLY)
    assert_close(model.predict(as_call(inputs), verbose=0), eager)
    return layer


def check_saving(layer, inputs, folder):
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    model = keras.Model(as_call(symbols), layer(as_call(symbols)))
    path = folder / "layer.keras"
    model.save(path)
    again = keras.models.load_model(path)
    loaded = again.layers[-1]
    assert type(loaded) is type(layer)
    for ours, theirs in zip(layer.weights, loaded.weights, strict=True):
        np.testing.assert_array_equal(*map(ops.convert_to_numpy, (ours, theirs)))
    np.testing.assert_array_equal(call(loaded, inputs), call(layer, inputs))


def check_fit(layer_cls, init_kwargs, inputs, rng):
    """One step moves every trainable weight, and a frozen layer's not at all.

    A layer of each kind side by side in one model: compiled once.
    """
    trained, frozen = (layer_cls(**init_kwargs, trainable=t) for t in (True, False))
    symbols = [keras.Input(x.shape[1:]) for x in inputs]
    last = {"data_format": "channels_last"}
    parts = [
        keras.layers.Flatten(**last)(layer(as_call(symbols)))
        for layer in (trained, frozen)
    ]
    head = keras.layers.Dense(1, name="head")  # something that always learns
    y = head(keras.layers.Concatenate()(parts))
    model = keras.Model(as_call(symbols), y)
    model.compile("sgd", "mse", run_eagerly=EAGERLY)
    before = [values(layer.weights) for layer in (trained, frozen)]
    model.fit(as_call(inputs), rng.normal(size=(len(inputs[0]), 1)), verbose=0)
    assert moved(before[0], values(trained.weights)) == set(before[0])
    assert not moved(before[1], values(frozen.weights))


def check_mixed_precision(layer, inputs):
    policy = keras.DTypePolicy("mixed_bfloat16")
    half = type(layer).from_config({**layer.get_config(), "dtype": policy})
    y = half(as_call([ops.convert_to_tensor(x) for x in inputs]))
    assert keras.backend.standardize_dtype(y.dtype) == "bfloat16"
    assert {w.dtype for w in half.weights} <= {"float32"}
    half.set_weights(layer.get_weights())
    assert_close(call(half, inputs), call(layer, inputs), "bfloat16")
