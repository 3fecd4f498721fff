"""StageRules: what one room does at each kind of stage; nothing unknown is ignored.

A room that treats kinds of stages differently keeps one table of rules, keyed by the
type of the stage. A test holds every table to every kind of stage and every field:
each has a rule or a refusal.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

from dlgn_keras.skeletons.stages import PARTS, Stage, walk

TABLES: "list[StageRules]" = []


class Rule(NamedTuple):
    """What to do at a kind of stage, or why it cannot be done.

    fields: names of the fields that the rule takes into account.
    refused: {field: reason} of fields that must have their default value.
    """

    apply: Callable[..., Any] | None
    fields: frozenset[str]
    refused: dict[str, str]
    reason: str = ""


class StageRules:
    """One room's rules, keyed by the type of a stage.

    A rule names the fields that it reads, or a part of them: "window" stands for all
    fields behind `stage.window`, "affine" for those behind a layer's numbers.

    Args:
        purpose: what the rules do, the subject of the errors.
        otherwise: why all other kinds are refused; empty: each needs a row.

    Example:
        >>> from dlgn_keras.skeletons import Dense, Flatten
        >>> from dlgn_keras.skeletons.rules import StageRules
        >>> rules = StageRules("Counting units")
        >>> @rules.rule(Dense, "affine", "gated")
        ... def dense(stage, count):
        ...     return count + stage.units
        >>> rules(Dense(3), 4)
        7
        >>> rules.check((Flatten(name="flat"),))
        Traceback (most recent call last):
        ValueError: Counting units is not possible for stage 'flat' (Flatten): it has \
no rule.
    """

    def __init__(self, purpose: str, otherwise: str = "") -> None:
        self.purpose = purpose
        self.other = Rule(None, frozenset(), {}, otherwise)
        self.rows: dict[type, Rule] = {}
        TABLES.append(self)

    def rule(self, kind: type, *fields: str, **refused: str) -> Callable:
        """Return a decorator that makes a function the rule of a kind of stage.

        Args:
            kind: the type of the stage.
            fields: the fields and parts that the function takes into account.
            refused: {field: reason} of fields that must have their default value.
        """
        read = frozenset(name for f in fields for name in PARTS.get(f, (f,)))

        def add(function: Callable) -> Callable:
            self.rows[kind] = Rule(function, read, refused)
            return function

        return add

    def refuse(self, *kinds: type, reason: str) -> None:
        """Refuse kinds of stages, with the reason."""
        for kind in kinds:
            self.rows[kind] = Rule(None, frozenset(), {}, reason)

    def of(self, stage: Stage) -> Callable:
        """Return the rule of a stage, or raise a ValueError that says why it has none.

        Raises:
            ValueError: no rule, a refusal, or a field with a value that the rule
                does not take into account.
        """
        row = self.rows.get(type(stage), self.other)
        what = f"{stage.name!r} ({type(stage).__name__})"
        reason = row.reason or "it has no rule"
        if row.apply is not None:
            unread = [
                f"{field.name}={getattr(stage, field.name)!r}"
                for field in dataclasses.fields(stage)
                if field.name not in row.fields | {"name"}
                and getattr(stage, field.name) != field.default
            ]
            if not unread:
                return row.apply
            what = f"{what} with {unread[0]}"
            reason = row.refused.get(unread[0].partition("=")[0], reason)
        raise ValueError(f"{self.purpose} is not possible for stage {what}: {reason}.")

    def check(self, stages: tuple[Stage, ...]) -> None:
        """Raise a ValueError unless every stage, inside of blocks too, has a rule."""
        for stage in walk(stages):
            self.of(stage)

    def __call__(self, stage: Stage | None, *arguments: Any) -> Any:
        """Apply the rule of a stage; a network's input is no stage and has no rule."""
        if stage is None:
            raise ValueError(f"{self.purpose} is not possible for the input alone.")
        return self.of(stage)(stage, *arguments)

    def missing(self, kind: type) -> set[str]:
        """Return the fields of a kind that the table says nothing about."""
        names = {field.name for field in dataclasses.fields(kind)} - {"name"}
        row = self.rows.get(kind, self.other)
        return set() if row.reason else names - row.fields - set(row.refused)
