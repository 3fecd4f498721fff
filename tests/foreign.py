"""Functional models as users write them, small, every variable off its start."""

import keras
import numpy as np
import tiny
from keras import layers

import dlgn_keras as dk


def image(size, channels=2):
    """The shape of an image in Keras' data format."""
    first = keras.config.image_data_format() == "channels_first"
    return (channels, size, size) if first else (size, size, channels)


class Backbone(keras.Model):
    """A functional model by subclassing, as KerasHub's backbones are."""

    def __init__(self, image_shape, filters=3, **kwargs):
        inputs = keras.Input(image_shape, name="image_input")
        x = layers.ZeroPadding2D(1, name="stem_padding")(inputs)
        x = layers.Conv2D(filters, 3, strides=2, use_bias=False, name="stem_conv")(x)
        x = layers.BatchNormalization(
            axis=1 if keras.config.image_data_format() == "channels_first" else -1,
            epsilon=1e-5,
            name="stem_bn",
        )(x)
        x = layers.Activation("relu", name="stem_relu")(x)
        y = layers.Conv2D(filters, 3, padding="same", name="block_conv")(x)
        x = layers.Add(name="block_add")([y, x])
        x = layers.Activation("relu", name="block_relu")(x)
        super().__init__(inputs=inputs, outputs=x, **kwargs)
        self.filters = filters


def hub(size=6):
    """A task on a backbone: in Keras' data format, a softmax at its end."""
    inputs = keras.Input(image(size))
    x = Backbone(image(size), name="backbone")(inputs, training=False)
    x = layers.GlobalAveragePooling2D(name="pooler")(x)
    x = layers.Dropout(0.3, name="output_dropout")(x)
    outputs = layers.Dense(3, activation="softmax", name="predictions")(x)
    return keras.Model(inputs, outputs, name="classifier")


def everything(shape=(8, 8, 2)):
    """Every ReLU-like activation, both max poolings, merges, a nested model."""
    inputs = keras.Input(shape)
    x = layers.Rescaling(0.5, offset=0.1)(inputs)
    x = layers.RandomFlip(data_format="channels_last")(x)
    last = {"data_format": "channels_last"}
    x = layers.Conv2D(8, 3, padding="same", activation="relu6", name="conv", **last)(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool", **last)(x)
    y = layers.SeparableConv2D(8, 3, padding="same", name="separable", **last)(x)
    y = layers.BatchNormalization()(y)
    y = layers.PReLU(shared_axes=[1, 2], name="prelu")(y)
    x = layers.Concatenate(name="both")([x, y])
    x = layers.LeakyReLU(0.1, name="leaky")(x)
    depthwise = layers.DepthwiseConv2D(3, activation="relu", name="depthwise", **last)
    inner = [keras.Input((4, 4, 16)), depthwise, layers.SpatialDropout2D(0.2, **last)]
    x = keras.Sequential(inner, name="inner")(x)
    x = layers.GlobalMaxPooling2D(name="global", **last)(x)
    x = keras.ops.relu(x * 2.0 + 0.5)
    return keras.Model(inputs, layers.Dense(3, name="logits")(x), name="everything")


def shared(shape=(5,)):
    """A layer, its fused ReLU, a PReLU and a nested model, each called twice."""
    inputs = keras.Input(shape)
    dense = layers.Dense(5, activation="relu", name="dense")
    prelu = layers.PReLU(name="prelu")
    inner = keras.Sequential(
        [keras.Input((5,)), layers.Dense(5, name="inside"), layers.ReLU(name="relu")],
        name="inner",
    )
    x = inner(prelu(dense(dense(inputs))))
    logits = layers.Dense(3, name="logits")
    return keras.Model(inputs, logits(prelu(inner(x))), name="shared")


def sequence(shape=(9, 2)):
    """A sequential model of 1-D convolutions."""
    last = {"data_format": "channels_last"}
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv1D(4, 3, padding="causal", activation="relu", **last),
            layers.MaxPooling1D(2, **last),
            layers.Conv1D(4, 2, dilation_rate=2, **last),
            layers.ReLU(threshold=0.1),
            layers.Flatten(),
            layers.Dense(3),
            layers.Softmax(),
        ],
        name="sequence",
    )


def cancelling(shape=(2,)):
    """`(1e4 z0 + z1) - 1e4 z0` and 0: float32 loses the z1 of a large z0."""
    parts = [keras.Input(shape), layers.Flatten(data_format="channels_last")]
    parts += [layers.Dense(2, activation="relu"), layers.Dense(2, name="logits")]
    model = keras.Sequential(parts)
    cancel(model)
    return model


def cancel(model):
    for kernel in (w for w in model.weights if w.path.endswith("kernel")):
        last, first = [[1.0, 0.0], [-1.0, 0.0]], [[1e4, 1e4], [1.0, 0.0]]
        kernel.assign(last if "logits" in kernel.path else first)


def skeleton(kind):
    """A DNN of ours as nothing but a functional model, with its preprocessing."""
    dnn = tiny.build("dnn", kind, preprocessing=dk.data.Preprocessing(0.5, 0.25))
    return dnn, keras.Model(dnn.inputs, dnn.outputs, name="plain")


def segmentation(shape=(6, 6, 2)):
    """Logits at every pixel: down, up, a skip connection, a softmax at the end."""
    last = {"data_format": "channels_last"}
    inputs = keras.Input(shape)
    x = layers.Conv2D(3, 3, padding="same", activation="relu", **last)(inputs)
    y = layers.MaxPooling2D(2, **last)(x)
    y = layers.Conv2D(3, 3, padding="same", activation="relu", **last)(y)
    x = layers.Concatenate()([x, layers.UpSampling2D(2, **last)(y)])
    outputs = layers.Conv2D(4, 1, activation="softmax", name="classes", **last)(x)
    return keras.Model(inputs, outputs, name="segmentation")


MODELS = {"hub": hub, "everything": everything, "shared": shared, "sequence": sequence}


def build(name):
    model = MODELS[name]()
    tiny.shake(model)
    return model


def logits(model, x):
    """The model's output before a softmax at its end, computed by Keras alone."""
    last = model.layers[-1]
    if isinstance(last, layers.Softmax):
        model = keras.Model(model.inputs, last.input)
    elif getattr(last, "activation", None) is keras.activations.softmax:
        last.activation = keras.activations.linear
        out = tiny.forward(model, x)
        last.activation = keras.activations.softmax
        return out
    return tiny.forward(model, x)


def examples(rng, model, number=4):
    return 2 * rng.normal(size=(number, *model.input_shape[1:])).astype("float32")


def flip(network):
    """Turn the sign of one kernel of a network, and return it: all it feeds changes."""
    kernel = next(w for w in network.weights if "kernel" in w.path)
    kernel.assign(-0.9 * np.asarray(keras.ops.convert_to_numpy(kernel)))
    return kernel
