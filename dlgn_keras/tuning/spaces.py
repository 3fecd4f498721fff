"""Search spaces and objectives as plain data.

    {
        "width": {"min": 16, "max": 256, "step": 2, "sampling": "log"},
        "optimizer": ["sgd", "adam"],
        "momentum": {"values": [0.8, 0.9], "when": {"optimizer": ["sgd"]}},
        "value_input": "ones"
    }

An entry is a name with its values and the condition under which it is asked: a list is
a choice, a dictionary with `min` and `max` a range, anything else a fixed value. Names
are fields of a Recipe, the options of the skeleton's
architecture (`depth`, `width`, `filters`, ...) and `batches_per_epoch`.
"""

import dataclasses
import inspect
import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dlgn_keras.skeletons import ARCHITECTURES
from dlgn_keras.tools.messages import check_choice, closest
from dlgn_keras.training import Recipe
from dlgn_keras.training.recipe import FAMILIES

Space = dict[str, Any]
# Name -> direction. The test part is not among them, on purpose.
OBJECTIVES = {"validation_accuracy": "max", "validation_loss": "min"}
# Fields that a search keeps fixed: they decide what a score means.
HELD = (
    "family",
    "skeleton",
    "data",
    "image_size",
    "loss",
    "validation",
    "num_train",
    "num_test",
    "evaluate_every",
    "seed",
)
FIELDS = tuple(f.name for f in dataclasses.fields(Recipe) if f.name not in HELD)
RANGE_KEYS = ("min", "max", "step", "sampling", "when")
# Fields of families with a gating network.
GATED_ONLY = (
    "gate",
    "beta",
    "gate_scale",
    "gate_order",
    "value_input",
    "value",
    "value_bias",
    "value_norm",
    "shallow",
)

_SIZES: dict[str, Space] = {
    "fc": {
        "depth": {"min": 2, "max": 6},
        "width": {"min": 16, "max": 256, "step": 2, "sampling": "log"},
    },
    "c4gap": {"depth": {"min": 2, "max": 6}, "width": [16, 32, 64, 128]},
    "vconv": {
        "filters": ["16-16-32-32", "32-32-64-64", "64-64-128-128"],
        "units": ["64-64", "128-128", "256-256"],
    },
    "vgg16": {
        "widths": ["16-32-64-128-128", "32-64-128-256-256", "64-128-256-512-512"]
    },
    "resnet": {"depth": [8, 14, 20, 32, 56], "widths": ["8-16-32", "16-32-64"]},
}
_SIZES["gconv"] = _SIZES["vconv"]

_TRAINING: Space = {
    "optimizer": ["adam", "sgd"],
    "momentum": {"values": [0.9, 0.0], "when": {"optimizer": ["sgd"]}},
    "learning_rate": {"min": 1e-4, "max": 1e-1, "sampling": "log"},
    "weight_decay": [0.0, 1e-4, 1e-3, 1e-2],
    "schedule": ["one_cycle", "cosine", "constant"],
}
_GATES: Space = {
    # Hard gates give their network no gradient: they are for frozen ones.
    "gate": ["soft", "straight_through"],
    "beta": {"min": 1.0, "max": 30.0, "sampling": "log"},
    "value_input": ["input", "ones"],
}
# P4 = ICLR 2025, "Deep Networks Learn Features From Local Discontinuities in the
# Label Function", the appendix on hyperparameters; its networks see all-ones.
_P4: Space = {
    "depth": [3, 4, 5],
    "width": [10, 20, 50, 100, 200, 500, 1000],
    "beta": [3.0, 10.0, 20.0, 30.0],
    "learning_rate": {"min": 1e-4, "max": 1e-1, "sampling": "log"},
    "epochs": [200, 300, 500],
    "batches_per_epoch": [1, 10, 100],
    "optimizer": ["adam", "sgd"],
    "weight_decay": [0.0, 0.1],
    "schedule": "constant",
    "value_input": "ones",
}


def _default(architecture: str | None, input_shape: tuple[int, ...]) -> Space:
    augmentation: Space = {}
    if len(input_shape) == 3:  # a mirrored digit is another sign: colour images only
        flips = ["flip", "shift_flip"] if input_shape[-1] == 3 else []
        augmentation = {"augmentation": ["none", "shift", *flips]}
    gates = dict(_GATES)
    if architecture in ("fc", None):  # no norm where all-ones look alike
        gates["value_input"] = {
            "values": gates["value_input"],
            "when": {"batch_norm": [False]},
        }
    sizes: Space = {**_SIZES.get(architecture or "", {}), "batch_norm": [False, True]}
    return {**sizes, **gates, **_TRAINING, **augmentation}


def _p4(architecture: str | None, input_shape: tuple[int, ...]) -> Space:
    if architecture != "fc":
        raise ValueError(
            "The space 'p4' is one of fully connected networks: `skeleton` must be "
            f"fc. Received: skeleton={architecture or 'of your own'!r}."
        )
    return dict(_P4)


SPACES: dict[str, Callable[[str | None, tuple[int, ...]], Space]] = {
    "default": _default,
    "p4": _p4,
}


def named_space(
    name: str,
    family: str = "dlgn",
    skeleton: str = "fc",
    input_shape: tuple[int, ...] = (),
) -> Space:
    """Return a named search space, as plain data that can be changed.

    "default" asks for size, gates, batch norm, optimizer, learning rate, weight
    decay, schedule and, for images, augmentation; "p4" is the published grid of
    the oblique-tree experiments. A dnn is not asked about gates.

    Args:
        name: one of `SPACES`.
        family: dnn, dgn or dlgn.
        skeleton: architecture, by its short text; only its name counts.
        input_shape: shape of one input; images get augmentations.

    Raises:
        ValueError: an unknown name, or a space that does not fit the skeleton.

    Example:
        >>> from dlgn_keras import tuning
        >>> tuning.named_space("p4")["beta"]
        [3.0, 10.0, 20.0, 30.0]
        >>> "beta" in tuning.named_space("default", family="dnn")
        False

    Reference: ICLR 2025, "Deep Networks Learn Features From Local Discontinuities
    in the Label Function" (the grid "p4").
    """
    check_choice("space", name, SPACES)
    space = SPACES[name](architecture_of(skeleton), input_shape)
    return {key: spec for key, spec in space.items() if is_open(key, family)}


def is_open(name: str, family: str) -> bool:
    """Return whether a family has a field of this name."""
    return name not in GATED_ONLY or FAMILIES[family]


def architecture_of(skeleton: Any) -> str | None:
    """Return the architecture that a skeleton's short text names, None for others."""
    if not isinstance(skeleton, str):
        return None
    name = skeleton.partition(":")[0]
    if name.startswith("resnet") and name[6:].isdigit():
        return "resnet"
    return name if name in ARCHITECTURES else None


def size_options(architecture: str | None) -> tuple[str, ...]:
    """Return the options of an architecture that give its size: depth, width, ..."""
    if architecture is None:
        return ()
    names = inspect.signature(ARCHITECTURES[architecture]).parameters
    return tuple(name for name in names if name not in FIELDS)


def read_space(path: str | Path) -> Space:
    """Return the space in a json file."""
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"No search space file {str(path)!r}.")
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"A search space must be json: {error} in {path}.") from None


def check_space(space: Any, architecture: str | None) -> Space:
    """Return the space if every entry can be asked; else raise ValueError."""
    if not isinstance(space, dict) or not space:
        raise ValueError(
            "A search space must be a dictionary of names and values, not empty. "
            f"Received: {space!r}."
        )
    check_names(space, architecture)
    for name, spec in space.items():
        _check_entry(name, spec, space)
    if not any(isinstance(spec, list | dict) for spec in space.values()):
        raise ValueError(f"A search space must leave a choice. Received: {space!r}.")
    return space


def check_names(names: Iterable[str], architecture: str | None) -> None:
    """Raise a ValueError if a search cannot ask for one of these."""
    known = (*size_options(architecture), "batches_per_epoch", *FIELDS)
    for name in names:
        if name not in known:
            held = " A search holds it still." if name in HELD else closest(name, known)
            raise ValueError(
                f"A search space cannot ask for {name!r}.{held} "
                f"It may ask for: {', '.join(known)}."
            )


def _check_entry(name: str, spec: Any, space: Space) -> None:
    if isinstance(spec, list):
        spec = {"values": spec}
    if not isinstance(spec, dict):
        return
    expected = (
        f"`{name}` must be a list of values of one kind, or a dictionary of `values` "
        f"or of {', '.join(RANGE_KEYS)}"
    )
    if "values" in spec:
        values = spec["values"]
        kinds = (bool,), (str,), (int, float)
        fits = isinstance(values, list) and len(values) > 0
        fits = fits and any(all(_is(v, kind) for v in values) for kind in kinds)
        fits = fits and not set(spec) - {"values", "when"}
    else:
        low, high = spec.get("min", ""), spec.get("max", "")
        fits = _is(low, (int, float)) and _is(high, (int, float))
        fits = fits and not set(spec) - set(RANGE_KEYS) and float(low) < float(high)
        fits = fits and spec.get("sampling", "linear") in ("linear", "log")
        fits = fits and (spec.get("sampling") != "log" or float(low) > 0)
        fits = fits and abs(low) + abs(high) < math.inf and _step_fits(spec)
    if not fits:
        raise ValueError(f"{expected}. Received: {name}={spec!r}.")
    when = spec.get("when", {})
    names = list(space)
    known = isinstance(when, dict) and len(when) < 2
    if not known or any(
        parent not in names[: names.index(name)] or not isinstance(values, list)
        for parent, values in when.items()
    ):
        raise ValueError(
            f"`when` of {name!r} must be one earlier entry and a list of its values. "
            f"Received: when={when!r}."
        )


def _step_fits(spec: Space) -> bool:
    """Return whether a range's step, if it has one, leads from value to value."""
    step = spec.get("step")
    kinds = (int,) if isinstance(spec["min"], int) else (int, float)
    least = 1 if spec.get("sampling") == "log" else 0
    return step is None or (_is(step, kinds) and step > least)


def check_objective(name: Any) -> str:
    """Return `name` if it is an objective, else raise ValueError."""
    try:
        check_choice("objective", name, OBJECTIVES)
    except ValueError as error:
        why = " A search never looks at the test set." if "test" in str(name) else ""
        raise ValueError(f"{error}{why}") from None
    return name


def better(objective: str, one: float, other: float) -> bool:
    """Return whether the first score is better than the second."""
    return one > other if OBJECTIVES[objective] == "max" else one < other


def tidy(value: Any) -> Any:
    """Return a float rounded to four digits, for readable recipes."""
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _is(value: Any, kinds: tuple[type, ...]) -> bool:
    return isinstance(value, kinds) and (isinstance(value, bool) == (bool in kinds))


def ask(hp: Any, space: Space) -> dict[str, Any]:
    """Ask KerasTuner for a value of every entry that applies; return them.

    Args:
        hp: `keras_tuner.HyperParameters`, which learns the space and holds a
            trial's values.
        space: a checked space.
    """
    found: dict[str, Any] = {}
    for name, spec in space.items():
        if isinstance(spec, list):
            spec = {"values": spec}
        if not isinstance(spec, dict):
            found[name] = spec
            continue
        value = _ask(hp, name, spec)
        if value is not None:  # its condition holds
            found[name] = value
    return found


def _ask(hp: Any, name: str, spec: dict[str, Any]) -> Any:
    condition: dict[str, Any] = {}
    for parent, values in spec.get("when", {}).items():
        condition = {"parent_name": parent, "parent_values": values}
    if "values" in spec:
        values = spec["values"]
        if any(isinstance(value, float) for value in values):
            values = [float(value) for value in values]
        if isinstance(values[0], bool) and len(set(values)) == 2:
            return hp.Boolean(name, default=values[0], **condition)
        return hp.Choice(name, values, **condition)
    limits: dict[str, Any] = {
        "min_value": spec["min"],
        "max_value": spec["max"],
        "step": spec.get("step"),
        "sampling": spec.get("sampling", "linear"),
    }
    whole = isinstance(spec["min"], int) and isinstance(spec["max"], int)
    return (hp.Int if whole else hp.Float)(name, **limits, **condition)
