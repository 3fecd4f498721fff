"""config.json: which model a preset is, in the form Keras gives its objects.

Reading never asks Keras to deserialize: the three families, the stages and
Keras' own initializers are all that a config may name.
"""

import inspect
import json
from pathlib import Path
from typing import Any

import keras

from dlgn_keras.presets.files import read_json
from dlgn_keras.tools.messages import closest

# The classes that a config may name; `models`, which stands above, registers them.
CLASSES: dict[str, type] = {}
MODULE = "keras.initializers"
PARTS = ("gating_network", "value_network")
INITIALIZERS = {
    name: value
    for name, value in vars(keras.initializers).items()
    if inspect.isclass(value)
    and issubclass(value, keras.initializers.Initializer)
    and value is not keras.initializers.Initializer
}


def register(*classes: type) -> None:
    """Let presets hold models of these classes."""
    CLASSES.update({cls.__name__: cls for cls in classes})


def config_text(net: Any) -> str:
    """Return the json text from which `read_config` makes the model again."""
    name = type(net).__name__
    if CLASSES.get(name) is not type(net):
        raise ValueError(f"`net` must be a {', '.join(CLASSES)}. Received: {name}.")
    config = {
        "module": "dlgn_keras",
        "class_name": name,
        "config": net.get_config(),
        "registered_name": f"dlgn_keras>{name}",
    }
    return json.dumps(config, indent=2) + "\n"


def read_config(path: Path) -> tuple[type, dict[str, Any]]:
    """Return the class and the arguments that a config.json describes.

    Raises:
        ValueError: damaged json, a class or an argument we do not know.
    """
    config = read_json(path)
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


def build(path: Path, **changes: Any) -> Any:
    """Return the untrained model of a config.json, some arguments changed."""
    cls, arguments = read_config(path)
    try:
        return cls.from_config({**arguments, **changes})
    except (TypeError, KeyError, AttributeError, RecursionError, ValueError) as error:
        raise ValueError(f"{path} describes no {cls.__name__}: {error}") from None


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
        cls = {snake(known): c for known, c in INITIALIZERS.items()}.get(value)
    if not ours or not plain or cls is None:
        raise ValueError(
            f"{path}: `{key}` must be an initializer of keras.initializers with plain "
            f"numbers. Received: {str(value)[:80]}."
        )
    try:
        return cls(**options)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: `{key}` is no {name}: {error}") from None


def snake(name: str) -> str:
    """Return HeNormal as he_normal."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
