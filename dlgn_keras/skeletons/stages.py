"""The stages a skeleton is made of, as frozen dataclasses, to and from plain data.

`Dense`, `Conv` and `Residual` stages may be *gated*: there a DNN has a ReLU, and a DGN
or a DLGN multiplies by a gate. A `MaxPool` is gated always: its gates select one entry
of each window. Everything else is an affine map.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dlgn_keras.skeletons.window import Window
from dlgn_keras.tools.messages import check_choice, check_count, closest

PADDINGS = ("same", "valid", "circular")
# Fields that a room reads together: through `stage.window`, or through the numbers
# of a layer's affine map (`net.parameters`).
PARTS = {
    "window": ("kernel_size", "strides", "padding", "dilation", "pool_size"),
    "affine": ("filters", "units", "groups", "batch_norm"),
}
# Fields younger than files in use: written only where they differ from the default,
# so that a skeleton of before has the same json, and its recipe the same hash.
YOUNG = ("dilation", "groups")


class Kind:
    """What every stage tells the rooms: whether gates stand there, and which.

    gated: whether gates multiply its output.
    selects: whether these gates select entries of its windows instead.
    """

    gated: bool = False
    selects: bool = False

    @property
    def window(self) -> Any:
        """The windows along every image axis; None where there are none."""
        return None


@dataclass(frozen=True)
class Dense(Kind):
    """Affine map to `units`, then batch norm if asked, then a gate if `gated`.

    Args:
        units: number of units, at least 1.
        batch_norm: whether batch norm follows the map.
        gated: whether a gate stands there; else the stage is an affine map.
        name: of the stage and its site; made of kind and number if empty.

    Example:
        >>> from dlgn_keras.skeletons import Dense, Skeleton
        >>> Skeleton((Dense(8), Dense(4, name="last"))).site_names
        ('dense_1', 'last')
    """

    units: int
    batch_norm: bool = False
    gated: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        check_count("units", self.units)
        check_flags(self, "batch_norm", "gated")


@dataclass(frozen=True)
class Conv(Kind):
    """Convolution (1-D or 2-D, as the input has it), batch norm, gate.

    Args:
        filters: number of output channels, at least 1.
        kernel_size, strides: one number for all axes, at least 1.
        padding: "same" or "valid" as Keras means them, or "circular": the image
            wraps around, by the amounts "same" would pad with zeros.
        batch_norm, gated, name: as in `Dense`.
        dilation: distance between the entries of a window, at least 1; with strides
            1 only, as in Keras.
        groups: number of groups of channels, each convolved apart; it divides the
            channels before and after. As many as channels: a depthwise convolution.

    Example:
        >>> from dlgn_keras.skeletons import Conv, Flatten, Skeleton, output_shapes
        >>> skeleton = Skeleton((Conv(4, strides=2), Flatten()))
        >>> output_shapes(skeleton, (8, 8, 1))["conv_1"]
        (4, 4, 4)
    """

    filters: int
    kernel_size: int = 3
    strides: int = 1
    padding: str = "same"
    batch_norm: bool = False
    gated: bool = True
    name: str = ""
    dilation: int = 1
    groups: int = 1

    def __post_init__(self) -> None:
        for field in ("filters", "kernel_size", "strides", "dilation", "groups"):
            check_count(field, getattr(self, field))
        if self.filters % self.groups:
            raise ValueError(
                "`groups` must divide `filters`. Received: "
                f"groups={self.groups}, filters={self.filters}."
            )
        if self.strides > 1 and self.dilation > 1:
            raise ValueError(
                "`dilation` must be 1 where strides are above 1. Received: "
                f"dilation={self.dilation}, strides={self.strides}."
            )
        check_choice("padding", self.padding, PADDINGS)
        check_flags(self, "batch_norm", "gated")

    @property
    def window(self) -> Window:
        """The windows along every image axis."""
        return Window(self.kernel_size, self.strides, self.padding, self.dilation)


@dataclass(frozen=True)
class Pool(Kind):
    """Windows of `pool_size`, side by side, that one number each is made of."""

    pool_size: int = 2
    name: str = ""

    def __post_init__(self) -> None:
        check_count("pool_size", self.pool_size)

    @property
    def window(self) -> Window:
        """The windows along every image axis: side by side, no padding."""
        return Window(self.pool_size, self.pool_size)


@dataclass(frozen=True)
class AveragePool(Pool):
    """Mean over windows of `pool_size`, side by side, no padding.

    Args:
        pool_size: one number for all axes, at least 1.
        name: as in `Dense`.

    Example:
        >>> from dlgn_keras.skeletons import AveragePool, Flatten, Skeleton
        >>> from dlgn_keras.skeletons import output_shapes
        >>> skeleton = Skeleton((AveragePool(2), Flatten()))
        >>> output_shapes(skeleton, (8, 8, 3))["average_pool_1"]
        (4, 4, 3)
    """


@dataclass(frozen=True)
class MaxPool(Pool):
    """Maximum over windows of `pool_size`: a site whose gates select entries.

    The gates have shape (*pooled image, channels, entries of a window), 1 for the
    entry that is taken: at fixed gates the stage is linear. A DLGN's gating network
    is linear too, and refuses the stage unless it may average (`max_pool="average"`).

    Args:
        pool_size, name: as in `AveragePool`.

    Example:
        >>> from dlgn_keras.skeletons import Conv, MaxPool, Skeleton
        >>> Skeleton((Conv(4), MaxPool())).has_max_pool
        True
    """

    gated = True
    selects = True


@dataclass(frozen=True)
class GlobalPool(Kind):
    """Mean over all positions of every channel.

    Args:
        name: as in `Dense`.

    Example:
        >>> from dlgn_keras.skeletons import GlobalPool, Skeleton, output_shapes
        >>> output_shapes(Skeleton((GlobalPool(),)), (8, 8, 3))["global_pool_1"]
        (3,)
    """

    name: str = ""


@dataclass(frozen=True)
class Flatten(Kind):
    """All positions and channels as one vector.

    Args:
        name: as in `Dense`.

    Example:
        >>> from dlgn_keras.skeletons import Flatten, Skeleton, output_shapes
        >>> output_shapes(Skeleton((Flatten(),)), (8, 8, 3))["flatten_1"]
        (192,)
    """

    name: str = ""


@dataclass(frozen=True)
class Residual(Kind):
    """Body plus shortcut, then a gate if `gated`; an empty shortcut is the identity.

    Args:
        body: one stage or more, in order; residual blocks may be among them.
        shortcut: stages of the other way; none: the identity.
        gated: whether a gate stands after the addition.
        name: as in `Dense`.

    Example:
        >>> from dlgn_keras.skeletons import Dense, Residual, Skeleton
        >>> Skeleton((Dense(8), Residual((Dense(8), Dense(8, gated=False))))).site_names
        ('dense_1', 'dense_2', 'add_1')
    """

    body: tuple["Stage", ...]
    shortcut: tuple["Stage", ...] = ()
    gated: bool = True
    name: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "body", check_stages("body", self.body))
        object.__setattr__(self, "shortcut", check_stages("shortcut", self.shortcut))
        if not self.body:
            raise ValueError("`body` of Residual must have a stage. Received: body=().")
        check_flags(self, "gated")


Stage = Dense | Conv | AveragePool | MaxPool | GlobalPool | Flatten | Residual
_KINDS: dict[str, type] = {
    "dense": Dense,
    "conv": Conv,
    "average_pool": AveragePool,
    "max_pool": MaxPool,
    "global_pool": GlobalPool,
    "flatten": Flatten,
    "add": Residual,
}
KIND_OF = {cls: kind for kind, cls in _KINDS.items()}


def check_stages(field: str, stages: Any) -> tuple[Stage, ...]:
    listed = stages if isinstance(stages, list | tuple) else (stages,)
    for stage in listed:
        if listed is not stages or type(stage) not in KIND_OF:
            kinds = ", ".join(cls.__name__ for cls in KIND_OF)
            raise ValueError(
                f"`{field}` must be a tuple of stages ({kinds}). Received: {stage!r}."
            )
    return tuple(listed)


def check_flags(stage: Any, *fields: str) -> None:
    for field in fields:
        value = getattr(stage, field)
        if not isinstance(value, bool):
            raise ValueError(
                f"`{field}` must be True or False. Received: {field}={value!r}."
            )


def walk(stages: tuple[Stage, ...]) -> Iterator[Stage]:
    """Yield every stage in the order data meets them, blocks after their contents.

    Args:
        stages: of a skeleton, or of a block.

    Example:
        >>> from dlgn_keras.skeletons import Dense, Residual, walk
        >>> [type(s).__name__ for s in walk((Residual((Dense(4),)), Dense(2)))]
        ['Dense', 'Residual', 'Dense']
    """
    for stage in stages:
        if isinstance(stage, Residual):
            yield from walk(stage.body)
            yield from walk(stage.shortcut)
        yield stage


def rebuild(stages: tuple[Stage, ...], change: Any) -> tuple[Stage, ...]:
    """Rebuild stages, contents before their block, with `change` applied to each."""
    rebuilt = []
    for stage in stages:
        if isinstance(stage, Residual):
            stage = dataclasses.replace(
                stage,
                body=rebuild(stage.body, change),
                shortcut=rebuild(stage.shortcut, change),
            )
        rebuilt.append(change(stage))
    return tuple(rebuilt)


def stage_config(stage: Stage) -> dict[str, Any]:
    config: dict[str, Any] = {"kind": KIND_OF[type(stage)]}
    for field in dataclasses.fields(stage):
        value = getattr(stage, field.name)
        if field.name in YOUNG and value == field.default:
            continue
        nested = isinstance(value, tuple)
        config[field.name] = [stage_config(s) for s in value] if nested else value
    return config


def stage_from_config(config: Any) -> Stage:
    if not isinstance(config, dict):
        raise ValueError(f"A stage must be a dictionary. Received: {config!r}.")
    kind: Any = config.get("kind")
    check_choice("kind", kind, _KINDS)
    fields = {field.name: field for field in dataclasses.fields(_KINDS[kind])}
    values = {key: value for key, value in config.items() if key != "kind"}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(
            f"A stage of kind {kind!r} has the fields {', '.join(sorted(fields))}. "
            f"Received: {unknown[0]}.{closest(unknown[0], fields)}"
        )
    for name, field in fields.items():
        if name not in values and field.default is dataclasses.MISSING:
            raise ValueError(
                f"A stage of kind {kind!r} needs {name}. Received: {config!r}."
            )
    for key in {"body", "shortcut"} & set(values):
        if not isinstance(values[key], list):
            raise ValueError(
                f"`{key}` must be a list of stages. Received: {key}={values[key]!r}."
            )
        values[key] = tuple(stage_from_config(s) for s in values[key])
    return _KINDS[kind](**values)
