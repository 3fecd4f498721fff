"""A skeleton: the stages of a network, as pure data.

A tuple of stages, with the sites where gates stand. The last linear layer (features
to logits) is no part of a skeleton: every model adds it.
"""

import dataclasses
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any

from dlgn_keras.skeletons.stages import (
    KIND_OF,
    Stage,
    check_stages,
    rebuild,
    stage_config,
    stage_from_config,
    walk,
)


@dataclass(frozen=True)
class Skeleton:
    """A tuple of stages with a name; every stage gets a name of its own.

    Args:
        stages: the stages, in order; see the classes of this module.
        name: short name, used in run folders and preset names.

    Raises:
        ValueError: no stages, something that is no stage, or a name used twice,
            taken by the models (inputs, logits, ...) or with a slash.

    Example:
        >>> from dlgn_keras.skeletons import Conv, GlobalPool, Skeleton
        >>> Skeleton((Conv(8), Conv(8, strides=2), GlobalPool())).site_names
        ('conv_1', 'conv_2')
    """

    stages: tuple[Stage, ...]
    name: str = "custom"

    def __post_init__(self) -> None:
        stages = check_stages("stages", self.stages)
        if not stages:
            raise ValueError("`stages` must have a stage. Received: stages=().")
        counts: dict[str, int] = {}

        def named(stage: Stage) -> Stage:
            kind = KIND_OF[type(stage)]
            counts[kind] = counts.get(kind, 0) + 1
            name = stage.name or f"{kind}_{counts[kind]}"
            return dataclasses.replace(stage, name=name)

        object.__setattr__(self, "stages", rebuild(stages, named))
        _check_names(self.name, [stage.name for stage in walk(self.stages)])

    @property
    def site_names(self) -> tuple[str, ...]:
        """Names of the gated stages, in the order data meets their gates."""
        return tuple(s.name for s in walk(self.stages) if s.gated)

    @property
    def has_max_pool(self) -> bool:
        return any(stage.selects for stage in walk(self.stages))

    def with_batch_norm(self, batch_norm: bool = True) -> "Skeleton":
        """Return the skeleton with batch norm in all dense and conv stages, or none."""

        def change(stage: Stage) -> Stage:
            if hasattr(stage, "batch_norm"):
                return dataclasses.replace(stage, batch_norm=batch_norm)
            return stage

        return Skeleton(rebuild(self.stages, change), self.name)

    def to_config(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for json."""
        return {"name": self.name, "stages": [stage_config(s) for s in self.stages]}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Skeleton":
        """Rebuild a skeleton; an unknown kind or field is a ValueError."""
        if not isinstance(config, dict) or not isinstance(config.get("stages"), list):
            raise ValueError(
                "A skeleton's config must be a dictionary with a list `stages`. "
                f"Received: {config!r}."
            )
        stages = tuple(stage_from_config(s) for s in config["stages"])
        return cls(stages, config.get("name", "custom"))

    def to_json(self, indent: int | None = None) -> str:
        return json.dumps(self.to_config(), indent=indent)

    @classmethod
    def from_json(cls, text: str) -> "Skeleton":
        try:
            config = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"A skeleton must be json: {error}.") from None
        return cls.from_config(config)


# Names of the models' own layers, and endings of the layers they add at a site.
_TAKEN = ("inputs", "logits", "output", "preprocessing")
_ADDED = ("_gate", "_relu")


def _check_names(skeleton: Any, names: list[Any]) -> None:
    for name in (skeleton, *names):
        if not isinstance(name, str) or "/" in name or not name.isprintable():
            raise ValueError(
                "Names must be text that prints, without a slash. "
                f"Received: name={name!r}."
            )
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    taken = [n for n in names if n in _TAKEN or n.endswith(_ADDED)]
    if twice or taken:
        raise ValueError(
            f"Stage names must differ from each other and from {', '.join(_TAKEN)}, "
            f"and not end in {' or '.join(_ADDED)}. Received: {twice or taken}."
        )
