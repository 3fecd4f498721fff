"""Models of keras.applications and KerasHub, taken apart: error and time.

    pip install keras-hub    # for its rows
    KERAS_BACKEND=torch python benchmarks/whole_models.py [MODEL ...]
    KERAS_BACKEND=tensorflow python benchmarks/whole_models.py NASNetMobile NASNetLarge

Weights are random, statistics and scales of normalisations perturbed: nothing is dead.
Each model is a part, written to whole-models/ when it is done; the same command goes
on, and makes table.md of all parts there are. PyTorch's eager calls compile nothing;
Keras has no NASNet on it.
"""

import argparse
import gc
import importlib.util
import inspect
import re
import resource
import time
import warnings
from collections import Counter
from pathlib import Path

import keras
import machine
import numpy as np
from keras import layers, ops

import dlgn_keras as dk
from dlgn_keras.tools.files import read_json, write_json, write_text

HERE = Path(__file__).parent / "whole-models"
CLASSES = 10
ABOUT = """# Whole models, taken apart

    KERAS_BACKEND=torch python benchmarks/whole_models.py

Weights are random, statistics and scales of norms perturbed.

- outputs: largest difference of the twin's logits from the model's, over the largest
  logit;
- rounding: the same of the model's own logits, for an input with other last digits;
- completeness: what contributions and bias miss of the logit, over the largest logit;
- cancelling: the sum of absolute contributions over the largest logit;
- seconds are those of a shared machine: a hint.

Where rounding is above 0.01, as in the deepest EfficientNets with these weights, the
outputs show nothing.
"""
SIZES = (64, 71, 75, 96, 128, 224)  # the first one that a model takes
# What the table says: head of the column -> text of a part.
COLUMNS = {
    "model": lambda p: p["model"],
    "input": lambda p: "x".join(map(str, p["input"])),
    "parameters": lambda p: f"{p['parameters'] / 1e6:.2f} M",
    "sites": lambda p: str(p["sites"]),
    "outputs": lambda p: f"{p['outputs']:.1e}",
    "rounding": lambda p: f"{p['rounding']:.1e}",
    "completeness": lambda p: f"{p['completeness']:.1e}",
    "cancelling": lambda p: f"{p['cancelling']:.0f}",
    "disentangle (s)": lambda p: f"{p['disentangle']:.1f}",
    "explain (s)": lambda p: f"{p['explain']:.1f}",
}


# -- the models --------------------------------------------------------------------


def application(name):
    """Return a model of keras.applications, its softmax at its end."""
    make = getattr(keras.applications, name)
    for size in SIZES:
        shape = (size, size, 3)
        try:
            return make(weights=None, input_shape=shape, classes=CLASSES)
        except ValueError as error:
            if "size" not in str(error):
                raise
    raise ValueError(f"{name} takes no image of {SIZES[-1]} pixels")


def classifier(task, backbone, **options):
    import keras_hub

    backbone = getattr(keras_hub.models, f"{backbone}Backbone")(**options)
    return getattr(keras_hub.models, task)(backbone=backbone, num_classes=CLASSES)


def hub_resnet():
    return classifier(
        "ImageClassifier",
        "ResNet",
        input_conv_filters=[64],
        input_conv_kernel_sizes=[7],
        stackwise_num_filters=[64, 64, 128],
        stackwise_num_blocks=[2, 2, 2],
        stackwise_num_strides=[1, 2, 2],
        block_type="bottleneck_block",
        use_pre_activation=True,
        image_shape=(64, 64, 3),
    )


def hub_vgg():
    return classifier(
        "ImageClassifier",
        "VGG",
        stackwise_num_repeats=[2, 2, 3],
        stackwise_num_filters=[16, 32, 64],
        image_shape=(64, 64, 3),
    )


def hub_densenet():
    return classifier(
        "ImageClassifier",
        "DenseNet",
        stackwise_num_repeats=[3, 4, 3],
        growth_rate=8,
        image_shape=(64, 64, 3),
    )


def hub_mobilenet():
    return classifier(
        "MobileNetImageClassifier",
        "MobileNet",
        stackwise_expansion=[[40, 56], [64, 144], [72]],
        stackwise_num_blocks=[2, 2, 1],
        stackwise_num_filters=[[16, 16], [24, 24], [24]],
        stackwise_kernel_size=[[3, 3], [5, 5], [5]],
        stackwise_num_strides=[[2, 1], [2, 1], [1]],
        stackwise_se_ratio=[[None, None], [0.25, 0.25], [0.3]],
        stackwise_activation=[["relu"] * 2, ["hard_swish"] * 2, ["hard_swish"]],
        stackwise_padding=[[1, 1], [2, 2], [2]],
        output_num_filters=96,
        depthwise_filters=8,
        depthwise_stride=2,
        depthwise_residual=False,
        last_layer_filter=64,
        squeeze_and_excite=0.5,
        image_shape=(64, 64, 3),
    )


def hub_efficientnet():
    return classifier(
        "ImageClassifier",
        "EfficientNet",
        stackwise_width_coefficients=[1.0, 1.0, 1.0],
        stackwise_depth_coefficients=[1.0, 1.0, 1.0],
        stackwise_kernel_sizes=[3, 3, 5],
        stackwise_num_repeats=[1, 2, 2],
        stackwise_input_filters=[16, 16, 24],
        stackwise_output_filters=[16, 24, 40],
        stackwise_expansion_ratios=[1, 4, 4],
        stackwise_squeeze_and_excite_ratios=[0.0, 0.25, 0.25],
        stackwise_strides=[1, 2, 2],
        stackwise_block_types=["fused", "fused", "unfused"],
        num_features=80,
        input_shape=(64, 64, 3),
    )


def hub_cspnet():
    return classifier(
        "ImageClassifier",
        "CSPNet",
        stem_filters=16,
        stem_kernel_size=3,
        stem_strides=1,
        stackwise_depth=[1, 2, 2],
        stackwise_strides=[1, 2, 2],
        stackwise_num_filters=[16, 32, 64],
        block_type="dark_block",
        stage_type="csp",
        image_shape=(64, 64, 3),
    )


def hub_mit():
    return classifier(
        "ImageClassifier",
        "MiT",
        layerwise_depths=[2, 2],
        num_layers=2,
        layerwise_num_heads=[1, 2],
        layerwise_sr_ratios=[4, 1],
        max_drop_path_rate=0.1,
        layerwise_patch_sizes=[7, 3],
        layerwise_strides=[4, 2],
        hidden_dims=[16, 32],
        image_shape=(64, 64, 3),
    )


def hub_vit():
    return classifier(
        "ViTImageClassifier",
        "ViT",
        image_shape=(64, 64, 3),
        patch_size=16,
        num_layers=4,
        num_heads=4,
        hidden_dim=64,
        mlp_dim=128,
    )


def hub_bert():
    """Return BERT behind its embeddings, which are the input."""
    import keras_hub

    bert = keras_hub.models.BertBackbone(
        vocabulary_size=100,
        num_layers=4,
        num_heads=4,
        hidden_dim=64,
        intermediate_dim=128,
        max_sequence_length=32,
    )
    x = inputs = keras.Input((32, 64))
    x = bert.embeddings_dropout(bert.embeddings_layer_norm(x))
    for layer in bert.transformer_layers:
        x = layer(x)
    x = layers.Dense(CLASSES, name="logits")(bert.pooled_dense(x[:, 0, :]))
    return keras.Model(inputs, x, name="bert")


APPLICATIONS = sorted(
    name
    for name, made in vars(keras.applications).items()
    if inspect.isfunction(made) and "weights" in inspect.signature(made).parameters
)
HUB = {
    "KerasHub ResNet": hub_resnet,
    "KerasHub VGG": hub_vgg,
    "KerasHub DenseNet": hub_densenet,
    "KerasHub MobileNet": hub_mobilenet,
    "KerasHub EfficientNet": hub_efficientnet,
    "KerasHub CSPNet": hub_cspnet,
    "KerasHub MiT": hub_mit,
    "KerasHub ViT": hub_vit,
    "KerasHub BERT": hub_bert,
}
MODELS = [*APPLICATIONS, *HUB]


# -- inputs and weights -------------------------------------------------------------


def pictures(shape, number, seed):
    """Return images of blobs and noise between 0 and 255, of all contrasts; or rows."""
    rng = np.random.default_rng(seed)
    if len(shape) < 3:
        return rng.normal(size=(number, *shape)).astype("float32")
    height, width, channels = shape
    coarse = rng.uniform(size=(number, 4, 4, channels))
    rows, columns = (np.arange(n) * 4 // n for n in (height, width))
    made = coarse[:, rows][:, :, columns]
    made = 0.8 * made + 0.2 * rng.uniform(size=(number, *shape))
    contrast = rng.uniform(0.2, 1, size=(number, 1, 1, 1))
    return (255 * contrast * made).astype("float32")


def enliven(model, seed=0):
    """Move all that starts at 0 or 1, and give batch norm statistics of pictures."""
    shake(model, np.random.default_rng(seed))
    inside = list(model._flatten_layers())
    norms = [x for x in inside if isinstance(x, layers.BatchNormalization)]
    dropping = [x for x in inside if getattr(x, "rate", None)]
    kept = [x.momentum for x in norms], [x.rate for x in dropping]
    for layer in norms:
        layer.momentum = 0.0
    for layer in dropping:
        layer.rate = 0.0
    model(ops.convert_to_tensor(pictures(model.input_shape[1:], 16, 1)), training=True)
    for layer, momentum in zip(norms, kept[0], strict=True):
        layer.momentum = momentum
    for layer, rate in zip(dropping, kept[1], strict=True):
        layer.rate = rate
    shake(model, np.random.default_rng(seed + 1), among=("moving_",))


def shake(model, rng, among=("",), scale=0.1):
    """Move the variables but kernels and seeds."""
    for variable in model.variables:
        name = variable.path.rpartition("/")[2]
        if "kernel" in name or "seed" in variable.path or not name.startswith(among):
            continue
        value = np.asarray(ops.convert_to_numpy(variable))
        noise = rng.normal(size=value.shape)
        if np.abs(value).max() < 1e-3 and "gamma" in name:  # a layer scale
            value = np.full_like(value, 0.5)
        if "variance" in name or "gamma" in name:
            variable.assign(value * np.exp(scale * noise))
        else:
            variable.assign(value + scale * noise * max(value.std(), 0.3))


# -- measures -------------------------------------------------------------------------


def logits(model, x):
    """Return what a model of Keras computes before the softmax at its end."""
    last = model.layers[-1]
    activation = getattr(last, "activation", None)
    ends = activation is keras.activations.softmax
    if ends:
        last.activation = keras.activations.linear
    try:
        found = model(ops.convert_to_tensor(x), training=False)
    finally:
        if ends:
            last.activation = activation
    return np.asarray(ops.convert_to_numpy(found), "float64")


def apart(found, expected):
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def measure(name):
    """Return the part of a model: what it is, errors and seconds.

    outputs: of the twin, against the model's, over the largest one. rounding: what
        another last digit of the input changes in the model's. completeness: what
        contributions and bias miss of a logit, over the largest. cancelling: the sum
        of absolute contributions over the largest logit.
    """
    model = HUB[name]() if name in HUB else application(name)
    enliven(model)
    start = time.perf_counter()
    twin = dk.disentangle(model)
    disentangle = time.perf_counter() - start
    x = pictures(model.input_shape[1:], 3, 2)
    expected = logits(model, x)
    found = np.asarray(ops.convert_to_numpy(twin(ops.convert_to_tensor(x))), "float64")
    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of rounding, which is measured here
        explanation = twin.explain(x[:1])
    seconds = time.perf_counter() - start
    return {
        "model": name,
        "input": list(model.input_shape[1:]),
        "parameters": model.count_params(),
        "sites": len(twin.sites),
        "outputs": apart(found, expected),
        "rounding": apart(logits(model, x * (1 + 1e-7 * signs(x))), expected),
        "completeness": float(explanation.missed()[0]),
        "cancelling": float(explanation.cancelling()[0]),
        "disentangle": disentangle,
        "explain": seconds,
        "peak memory (GB)": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6,
        "machine": machine.header(),
    }


def signs(x):
    return np.resize(np.array([1, -1], "float32"), x.shape)


def report(folder):
    parts = [folder / f"{name}.json" for name in MODELS]
    parts = [read_json(path) for path in parts if path.is_file()]
    rows = [list(COLUMNS), ["---"] * len(COLUMNS)]
    rows += [[tell(part) for tell in COLUMNS.values()] for part in parts]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines = [ABOUT, *lines, "", "Where they were measured, and how many:", ""]
    machines = Counter(re.sub(", load [^;]*", "", part["machine"]) for part in parts)
    lines += [f"- {number}: {where}" for where, number in machines.most_common()]
    write_text(folder / "table.md", "\n".join(lines) + "\n")
    print("\n".join(lines))


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("models", nargs="*", help="all if none is named")
    parser.add_argument("--out", type=Path, default=HERE)
    given = parser.parse_args()
    unknown = sorted(set(given.models) - set(MODELS))
    if unknown:
        parser.error(f"no model {', '.join(unknown)}; there are {', '.join(MODELS)}")
    given.out.mkdir(parents=True, exist_ok=True)
    hub = importlib.util.find_spec("keras_hub") is not None
    for name in given.models or MODELS:
        path = given.out / f"{name}.json"
        if path.is_file():
            continue
        if name in HUB and not hub:
            print(f"{name} is left out: pip install keras-hub", flush=True)
            continue
        try:
            write_json(path, measure(name))
        except ValueError as error:
            print(f"{name}: {error}", flush=True)
        keras.backend.clear_session()
        gc.collect()
    report(given.out)


if __name__ == "__main__":
    main()
