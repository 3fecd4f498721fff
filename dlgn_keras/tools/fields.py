"""Check the fields of json from outside against their types."""

import math
from collections.abc import Mapping
from types import GenericAlias, UnionType
from typing import Any, get_args, get_origin


def check_fields(source: Any, value: Any, wanted: Any, field: str = "") -> None:
    """Raise a ValueError that names source and field unless a value has its type.

    Args:
        source: where the value comes from, such as a file.
        value: as json has it.
        wanted: {field: type} of a dictionary, where a field may be missing and
            others may stand beside it; or a type: `str`, `int`, `float` (finite, or
            an int), `bool`, `Any`,
            `list[...]`, `dict[str, ...]`, `tuple[...]` (a list with
            an entry for each), a union of these with `|`.
        field: the name of the value, such as "data.name".

    Example:
        >>> check_fields("a.json", {"seeds": [1]}, {"seeds": list[int]})
        >>> check_fields("a.json", {"run": {"seeds": 5}}, {"run": {"seeds": list[int]}})
        Traceback (most recent call last):
        ValueError: a.json: `run.seeds` must be list[int]. Received: 5.
    """
    if isinstance(wanted, Mapping) and isinstance(value, dict):
        for name, kind in wanted.items():
            if name in value:
                inner = f"{field}.{name}" if field else name
                check_fields(source, value[name], kind, inner)
    elif isinstance(wanted, Mapping) or not _fits(value, wanted):
        what = f"`{field}`" if field else "it"
        raise ValueError(
            f"{source}: {what} must be {_name(wanted)}. Received: {repr(value)[:60]}."
        )


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, UnionType):
        return any(_fits(value, one) for one in get_args(wanted))
    if wanted is None or wanted is type(None):
        return value is None
    inner = get_args(wanted)
    if get_origin(wanted) is tuple:
        right = isinstance(value, list) and len(value) == len(inner)
        return right and all(map(_fits, value, inner))
    if get_origin(wanted) is list:
        return isinstance(value, list) and all(_fits(v, inner[0]) for v in value)
    if get_origin(wanted) is dict:
        return isinstance(value, dict) and all(
            _fits(v, inner[1]) for v in value.values()
        )
    if wanted is Any:
        return True
    if wanted is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        return number and abs(value) <= 1e300 and math.isfinite(value)
    return isinstance(value, wanted) and not (wanted is int and isinstance(value, bool))


def _name(wanted: Any) -> str:
    if isinstance(wanted, Mapping):
        return "a dictionary"
    plain = not isinstance(wanted, UnionType | GenericAlias)
    return wanted.__name__ if plain else str(wanted)
