"""Load presets: config.json to a model, with its weights.

Keras is never asked to deserialize: a config may name the registered classes, the
stages and Keras' own initializers, nothing else.
"""

import inspect
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.data import class_names
from dlgn_keras.presets import weights
from dlgn_keras.presets.files import CONFIG, LIMITS, WEIGHTS, check_files
from dlgn_keras.presets.find import NAME, find
from dlgn_keras.skeletons import check_input_shape
from dlgn_keras.tools.files import read_json
from dlgn_keras.tools.messages import check_count, closest, one_line

# The classes a config may name, and a function that counts the weights of a class and
# a config; `models`, which stands above, registers them.
CLASSES: dict[str, Any] = {}
COUNTS: dict[str, Callable[[Any, dict[str, Any]], int]] = {}
MAX_STAGES = 5_000
PARTS = ("gating_network", "value_network")
MODULE = "keras.initializers"
INITIALIZERS = {
    name: value
    for name, value in vars(keras.initializers).items()
    if inspect.isclass(value)
    and issubclass(value, keras.initializers.Initializer)
    and value is not keras.initializers.Initializer
}


def register(count: Callable[[Any, dict[str, Any]], int], *classes: type) -> None:
    """Register model classes for presets; `count` counts their weights."""
    CLASSES.update({cls.__name__: cls for cls in classes})
    COUNTS.update({cls.__name__: count for cls in classes})


def from_preset(
    preset: str | os.PathLike[str],
    *,
    num_classes: int | None = None,
    include_top: bool = True,
    input_shape: Sequence[int] | None = None,
    name: str | None = None,
    dtype: Any = None,
    freeze_gates: bool | None = None,
    load_weights: bool = True,
    family: type = keras.Model,
) -> Any:
    """Return the model of a preset: raw inputs in, logits out.

    Every load first compares every file with its sha256, and the number of weights
    that config.json asks for with those in the file. Nothing is unpickled, and a
    config can name this library's families only. A sha256 beside its file tells
    damage, not who wrote it: load presets of people you trust, or pin an address by
    #sha256=.

    Args:
        preset: a name of `dk.presets()`, a folder, https://... or
            hf://owner/repository. DLGN_KERAS_ZOO names further zoos.
        num_classes: another number of classes: the last layer is new, the others
            keep their trained weights.
        include_top: False gives `net.features()`, a plain Keras model that ends
            before the logits.
        input_shape: another size of the inputs, for nets that pool globally; the
            channels stay.
        name: name of the model; the preset's own name if None.
        dtype: Keras dtype policy to compute in, such as "mixed_bfloat16"; Keras'
            present one if None. `net.save` keeps it, `save_to_preset` does not.
        freeze_gates: True freezes the gating network of a DGN or DLGN, False lets
            it train, None leaves it as the preset was trained.
        load_weights: False gives the untrained model.
        family: the class the model must be of, as `dk.DLGN.from_preset` asks.

    Raises:
        ValueError: an unknown name, damaged files, frozen gates for a DNN,
            a model of another family, an input shape that the weights do not fit.
        FileNotFoundError: no such folder, or no network to fetch it.
        ImportError: hf:// without huggingface_hub.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.from_preset("dlgn_fc_digits", num_classes=3, freeze_gates=True)
        >>> net.output_shape, net.gating_network.trainable
        ((None, 3), False)
    """
    if num_classes is not None:
        check_count("num_classes", num_classes)
        if not include_top:
            raise ValueError(
                "`num_classes` sizes the head that include_top=False leaves out. "
                f"Received: num_classes={num_classes}, include_top=False."
            )
    folder = find(preset)
    metadata = check_files(folder)
    own_name = metadata.get("name")
    if not isinstance(own_name, str) or not NAME.fullmatch(own_name):
        own_name = folder.name
    config = folder / CONFIG
    check_weights(config, weights.count_numbers(folder / WEIGHTS))
    changes: dict[str, Any] = {"name": own_name if name is None else name}
    if input_shape is not None:
        changes["input_shape"] = _other_size(config, input_shape)
    net = build(config, dtype, **changes)
    if not isinstance(net, family):
        raise ValueError(
            f"`preset` must be a {family.__name__}'s. "
            f"Received: preset={str(preset)!r}, a {type(net).__name__}'s."
        )
    if load_weights:
        weights.read_weights(net, folder / WEIGHTS)
    data = metadata.get("data", {})
    if num_classes in (None, net.num_classes):
        names = data.get("class_names") or _names_of(data.get("name"))
        known = {"preset": own_name, "data": data.get("name"), "class_names": names}
        known |= {name: data.get(name) for name in ("usual", "loss")}
    else:
        net = with_new_head(
            net, build(config, dtype, **changes, num_classes=num_classes)
        )
        known = {"preset": own_name}
    net.about.update({key: value for key, value in known.items() if value})
    if freeze_gates is not None and net.has_gating_network:
        net.gating_network.trainable = not freeze_gates
    elif freeze_gates:
        raise ValueError(
            "`freeze_gates` needs a DGN or a DLGN: a DNN's gates are its own layers'. "
            "Received: freeze_gates=True for a DNN."
        )
    return net if include_top else net.features()


def _names_of(data: Any) -> tuple[str, ...]:
    """Return the names of a data set's classes; none where it is unknown here."""
    try:
        return class_names(str(data))
    except ValueError:
        return ()


def _other_size(config: Path, input_shape: Any) -> tuple[int, ...]:
    """Return another input shape for the model of a config, if its weights allow it."""
    _, arguments = read_config(config)
    own = tuple(arguments.get("input_shape", ()))
    shape = check_input_shape(input_shape)
    skeleton = arguments.get("skeleton", {}).get("stages", ())
    kinds = [stage.get("kind") for stage in skeleton]
    if len(own) == 1 or "global_pool" not in kinds or "flatten" in kinds:
        raise ValueError(
            "`input_shape` can change where the net pools globally. "
            f"Received: input_shape={input_shape!r} for a net with weights for {own}."
        )
    if len(shape) != len(own) or shape[-1] != own[-1]:
        raise ValueError(
            f"`input_shape` must keep the {own[-1]} channels of {own}. "
            f"Received: input_shape={input_shape!r}."
        )
    return shape


def with_new_head(source: Any, target: Any) -> Any:
    """Return `target` with all weights of `source` except the last layer's."""
    for network in ("value", "gating"):
        ours = source.network_layers(network)
        for name, layer in target.network_layers(network).items():
            if name != "logits" and layer.get_weights():
                layer.set_weights(ours[name].get_weights())
    return target


def check_weights(path: Path, stored: int) -> None:
    """Raise a ValueError unless a config.json asks for as many weights as are stored.

    Nothing is built: a config of a few bytes can ask for any amount of memory.
    """
    cls, arguments = read_config(path)
    with _describing(path, cls):
        stages = _count_stages(arguments["skeleton"])
        if stages > MAX_STAGES:
            raise ValueError(f"at most {MAX_STAGES:,} stages. Received: {stages:,}")
        wanted = COUNTS[cls.__name__](cls, arguments)
    if wanted != stored:
        raise ValueError(
            f"{path} must ask for the {stored:,} numbers that {WEIGHTS} holds. "
            f"Received: a {cls.__name__} of {wanted:,}."
        )


def _count_stages(config: Any) -> int:
    """Return how many dictionaries with a kind a skeleton's config holds."""
    inner = config.values() if isinstance(config, dict) else config
    nested = [part for part in inner if isinstance(part, dict | list)]
    return ("kind" in config) + sum(map(_count_stages, nested))


@contextmanager
def _describing(path: Path, cls: type) -> Iterator[None]:
    """Report any error while building a model as an error of its config.json."""
    try:
        yield
    except Exception as error:  # Keras and its backends raise errors of many kinds
        line = one_line(error)[:300]
        raise ValueError(f"{path} describes no {cls.__name__}: {line}") from None


def build(path: Path, dtype: Any = None, **changes: Any) -> Any:
    """Return the untrained model of a config.json, some arguments changed."""
    cls, arguments = read_config(path)
    with _describing(path, cls):
        return cls.from_config({**arguments, **changes, "dtype": dtype})


def read_config(path: Path) -> tuple[Any, dict[str, Any]]:
    """Return the class and the arguments that a config.json describes.

    Raises:
        ValueError: damaged json, an unknown class or argument.
    """
    config = read_json(path, LIMITS[CONFIG])
    if not isinstance(config, dict) or not isinstance(config.get("config"), dict):
        raise ValueError(f"{path} must hold `class_name` and `config` of a model.")
    name = config.get("class_name")
    if not isinstance(name, str) or name not in CLASSES:
        raise ValueError(
            f"{path}: `class_name` must be one of {', '.join(CLASSES)}. "
            f"Received: class_name={name!r}."
        )
    cls, arguments = CLASSES[name], dict(config["config"])
    known = [*inspect.signature(cls).parameters, "frozen"]
    for key in arguments:
        if key not in known:
            raise ValueError(
                f"{path}: a {name} has no argument {key!r}.{closest(key, known)}"
            )
    frozen = arguments.get("frozen", [])
    if not isinstance(frozen, list) or any(part not in PARTS for part in frozen):
        raise ValueError(
            f"{path}: `frozen` must be a list of {', '.join(PARTS)}. "
            f"Received: frozen={frozen!r}."
        )
    for key in ("kernel_initializer", "gating_initializer"):
        if arguments.get(key) is not None:
            arguments[key] = _initializer(path, key, arguments[key])
    return cls, arguments


def _initializer(path: Path, key: str, value: Any) -> keras.Initializer:
    """Return one of Keras' own initializers, its arguments plain values."""
    described = value if isinstance(value, dict) else {"class_name": value}
    name, options = described.get("class_name"), described.get("config", {})
    ours = described.get("registered_name") is None
    ours = ours and described.get("module", MODULE) == MODULE
    plain = isinstance(options, dict) and all(
        option is None or isinstance(option, str | int | float)
        for option in options.values()
    )
    cls = INITIALIZERS.get(name) if isinstance(name, str) else None
    if cls is None and isinstance(value, str):
        cls = {_snake(known): c for known, c in INITIALIZERS.items()}.get(value)
    if not ours or not plain or cls is None:
        raise ValueError(
            f"{path}: `{key}` must be an initializer of keras.initializers with plain "
            f"numbers. Received: {str(value)[:80]}."
        )
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: `{key}` is no {name}: {error}") from None


def _snake(name: str) -> str:
    """Return HeNormal as he_normal."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
