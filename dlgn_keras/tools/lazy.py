"""Packages whose names are imported on first use (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Sequence[str], homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return the `__getattr__` and the `__dir__` of a package that loads lazily.

    A name must differ from the module it lives in: when a module is imported, Python
    sets an attribute of that name on its package, in place of the object.

    Args:
        package: the package's `__name__`.
        names: its public names.
        homes: name -> module of the package that defines it; names that are missing
            here are modules themselves.
    """

    def load(name: str) -> Any:
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes.get(name, name)}")
        value = getattr(module, name) if name in homes else module
        setattr(sys.modules[package], name, value)
        return value

    return load, lambda: sorted(names)
