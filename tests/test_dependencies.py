"""Every outside package that dlgn_keras imports is declared in pyproject.toml."""

import re
import sys
import tomllib
from importlib.metadata import packages_distributions

import pytest
from test_imports import FILES, ROOT, imports

PROJECT = tomllib.loads((ROOT.parent / "pyproject.toml").read_text())["project"]
# What a user installs, unlike dev.
EXTRAS = ("dask", "hub", "jax", "onnx", "quantus", "torch")


def names(requirements):
    found = (re.match(r"[\w.-]+", text)[0] for text in requirements)
    return {name.lower().replace("_", "-") for name in found}


DECLARED = names(PROJECT["dependencies"]).union(
    *(names(PROJECT["optional-dependencies"][extra]) for extra in EXTRAS)
)
HOMES = packages_distributions()


def undeclared(source):
    """The outside packages a source text imports that no declared one provides."""
    modules = {i.module.split(".")[0] for i in imports(source)}
    outside = modules - set(sys.stdlib_module_names) - {"dlgn_keras", ""}
    return {
        module
        for module in outside
        if DECLARED.isdisjoint(names(HOMES.get(module, [module])))
    }


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_every_import_is_declared(path):
    assert undeclared(path.read_text()) == set()


def test_an_import_that_is_not_declared_is_seen():
    assert undeclared("def f():\n    import pytest, no_such_package") == {
        "pytest",
        "no_such_package",
    }
    assert undeclared("import PIL.Image, sklearn, google.protobuf, jax") == set()


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_every_dependency_has_a_lower_bound(requirement):
    assert ">=" in requirement
