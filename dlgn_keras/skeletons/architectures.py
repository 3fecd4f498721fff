"""The published architectures, with their widths as defaults.

Sources: arXiv 2006.10529, appendix (fc, vconv, gconv); arXiv 2110.03403,
experiments (c4gap, vgg16, resnet).
"""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlgn_keras.skeletons.skeleton import Skeleton
from dlgn_keras.skeletons.stages import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Stage,
)
from dlgn_keras.tools.messages import check_choice, check_count, closest


def fc(depth: int = 5, width: int = 128, batch_norm: bool = False) -> Skeleton:
    """Fully connected: `depth` gated layers of `width` units (weight layers - 1).

    Args:
        depth: number of gated layers, at least 1.
        width: units of each.
        batch_norm: whether batch norm stands before every gate.

    Returns:
        Skeleton.

    Example:
        >>> from dlgn_keras import skeletons
        >>> skeletons.fc(depth=2, width=8).site_names
        ('dense_1', 'dense_2')
    """
    layers = [Dense(width, batch_norm) for _ in range(check_count("depth", depth))]
    return Skeleton((Flatten(), *layers), "fc")


def _convs(filters: Sequence[int], padding: str, batch_norm: bool) -> tuple[Stage, ...]:
    return tuple(Conv(f, padding=padding, batch_norm=batch_norm) for f in filters)


def vconv(
    filters: Sequence[int] = (64, 64, 128, 128),
    units: Sequence[int] = (256, 256),
    padding: str = "same",
    batch_norm: bool = False,
) -> Skeleton:
    """Convolutions, flatten, dense layers: no pooling (VCONV).

    Args:
        filters: channels of each 3 x 3 convolution.
        units: of each dense layer.
        padding: of the convolutions: "same", "valid" or "circular".
        batch_norm: whether batch norm stands before every gate.

    Returns:
        Skeleton.

    Example:
        >>> from dlgn_keras import skeletons
        >>> skeletons.vconv(filters=(8, 8), units=(16,)).site_names
        ('conv_1', 'conv_2', 'dense_1')
    """
    convs = _convs(filters, padding, batch_norm)
    dense = tuple(Dense(u, batch_norm) for u in units)
    return Skeleton((*convs, Flatten(), *dense), "vconv")


def gconv(
    filters: Sequence[int] = (64, 64, 128, 128),
    units: Sequence[int] = (256, 256),
    padding: str = "same",
    batch_norm: bool = False,
) -> Skeleton:
    """VCONV with global average pooling in place of flatten (GCONV).

    Args:
        filters, units, padding, batch_norm: as in `vconv`.

    Returns:
        Skeleton.

    Example:
        >>> from dlgn_keras import skeletons
        >>> [type(s).__name__ for s in skeletons.gconv((8, 8), (16,)).stages]
        ['Conv', 'Conv', 'GlobalPool', 'Dense']
    """
    convs = _convs(filters, padding, batch_norm)
    dense = tuple(Dense(u, batch_norm) for u in units)
    return Skeleton((*convs, GlobalPool(), *dense), "gconv")


def c4gap(
    width: int = 128,
    depth: int = 4,
    padding: str = "same",
    batch_norm: bool = False,
) -> Skeleton:
    """Four equal convolutions and global average pooling (C4GAP).

    Equal widths let every gate layer serve at every site (`gate_order`).

    Args:
        width: channels of each 3 x 3 convolution.
        depth: number of convolutions, at least 1.
        padding, batch_norm: as in `vconv`.

    Returns:
        Skeleton.

    Example:
        >>> from dlgn_keras import skeletons
        >>> skeletons.c4gap(width=8).site_names
        ('conv_1', 'conv_2', 'conv_3', 'conv_4')
    """
    filters = [width] * check_count("depth", depth)
    return Skeleton((*_convs(filters, padding, batch_norm), GlobalPool()), "c4gap")


def vgg16(
    widths: Sequence[int] = (64, 128, 256, 512, 512),
    repeats: Sequence[int] = (2, 2, 3, 3, 3),
    pooling: str = "average",
    batch_norm: bool = True,
) -> Skeleton:
    """VGG-16 for small images: 13 convolutions with batch norm, one dense layer.

    Args:
        widths: channels of the convolutions of each group; a pooling ends a group.
        repeats: how many convolutions each group has.
        pooling: "average" or "max", the usual form of the DNN; a DLGN needs "average"
            (or its option `max_pool="average"`).
        batch_norm: whether batch norm stands before every gate.

    Returns:
        Skeleton.

    Raises:
        ValueError: another pooling, or `widths` and `repeats` of other lengths.

    Example:
        >>> from dlgn_keras import skeletons
        >>> len(skeletons.vgg16().site_names)
        13
    """
    pools = {"average": AveragePool, "max": MaxPool}
    check_choice("pooling", pooling, pools)
    if len(widths) != len(repeats):
        raise ValueError(
            "`widths` and `repeats` must have one entry per group. "
            f"Received: widths={tuple(widths)}, repeats={tuple(repeats)}."
        )
    stages: list[Stage] = []
    for width, repeat in zip(widths, repeats, strict=True):
        stages += [Conv(width, batch_norm=batch_norm) for _ in range(repeat)]
        stages.append(pools[pooling]())
    return Skeleton((*stages, GlobalPool()), "vgg16")


def resnet(
    depth: int = 110,
    widths: Sequence[int] = (16, 32, 64),
    batch_norm: bool = True,
    skip_gates: bool = True,
) -> Skeleton:
    """Residual network for small images: 6n + 2 weight layers, three groups.

    Two sites a block: after the first batch norm, and after the addition.
    The first block of the second and third group halves the image, with a
    1x1 convolution as its shortcut.

    Args:
        depth: number of weight layers, 6n + 2 with n blocks a group.
        widths: channels of each group.
        batch_norm: whether batch norm follows every convolution.
        skip_gates: whether gates stand after the additions too. Soft gates there
            multiply along the skip path: by 0.01 in all at the start of a ResNet-110.

    Returns:
        Skeleton.

    Raises:
        ValueError: a depth that is not 6n + 2.

    Example:
        >>> from dlgn_keras import skeletons
        >>> len(skeletons.resnet(depth=20).site_names)
        19

    Reference: He et al., arXiv 1512.03385, section 4.2 (option B shortcuts).
    """
    if type(depth) is not int or depth not in range(8, 100_000, 6):
        raise ValueError(
            "`depth` must be 6n + 2 with n of at least 1 (8, 14, 20, 56, 110, ...). "
            f"Received: depth={depth!r}."
        )

    def block(width: int, strides: int, project: bool) -> Residual:
        inner = Conv(width, strides=strides, batch_norm=batch_norm)
        outer = Conv(width, batch_norm=batch_norm, gated=False)
        one = Conv(width, 1, strides, batch_norm=batch_norm, gated=False)
        return Residual((inner, outer), (one,) if project else (), gated=skip_gates)

    stages: list[Stage] = [Conv(widths[0], batch_norm=batch_norm)]
    for group, width in enumerate(widths):
        for k in range((depth - 2) // 6):
            first = group > 0 and k == 0
            stages.append(block(width, 2 if first else 1, first))
    return Skeleton((*stages, GlobalPool()), f"resnet{depth}")


ARCHITECTURES = {
    "fc": fc,
    "vconv": vconv,
    "gconv": gconv,
    "c4gap": c4gap,
    "vgg16": vgg16,
    "resnet": resnet,
}


def parse(text: str) -> Skeleton:
    """Return the skeleton that a short text names, for command lines.

    Args:
        text: an architecture ("c4gap"), one with options
            ("fc:depth=4,width=20", "gconv:filters=16-16-32,units=64"), a
            resnet with its depth ("resnet20"), or a .json file.

    Raises:
        ValueError: an unknown name or option, with the closest match.
        FileNotFoundError: no such json file.

    Example:
        >>> from dlgn_keras import skeletons
        >>> skeletons.parse("c4gap:width=8,depth=2").site_names
        ('conv_1', 'conv_2')
    """
    if text.endswith(".json"):
        path = Path(text)
        if not path.is_file():
            raise FileNotFoundError(f"No skeleton file {text!r}.")
        return Skeleton.from_json(path.read_text())
    name, _, options = text.partition(":")
    values: dict[str, Any] = {}
    if name.startswith("resnet") and name[6:].isdigit():
        name, values["depth"] = "resnet", int(name[6:])
    if name not in ARCHITECTURES:
        raise ValueError(
            f"`skeleton` must be one of {', '.join(ARCHITECTURES)}, a resnet with its "
            f"depth (resnet20), or a .json file. Received: skeleton={text!r}."
            f"{closest(name, ARCHITECTURES)}"
        )
    known = inspect.signature(ARCHITECTURES[name]).parameters
    for option in filter(None, options.split(",")):
        key, _, value = option.partition("=")
        key = key.strip()
        if key not in known:
            raise ValueError(
                f"The options of {name} are {', '.join(known)}. "
                f"Received: {option!r}.{closest(key, known)}"
            )
        values[key] = _parse_value(value.strip(), known[key].default)
    return ARCHITECTURES[name](**values)


def _parse_value(text: str, default: object) -> object:
    """Read a value of the kind of its default: "16-32" is a tuple, as is its "16"."""
    if text in ("true", "false"):
        return text == "true"
    if text[:1].isdigit() and text.replace("-", "").isdigit():
        numbers = tuple(int(part) for part in text.split("-") if part)
        if isinstance(default, tuple):
            return numbers
        return numbers[0] if len(numbers) == 1 else text
    return text
