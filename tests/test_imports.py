"""The import rules of the package, as tables, read off every file's syntax tree."""

import ast
from pathlib import Path
from typing import NamedTuple

import pytest

import dlgn_keras

ROOT = Path(dlgn_keras.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
ALL = {
    path.stem if path.is_file() else path.name
    for path in ROOT.iterdir()
    if path.suffix == ".py" or (path / "__init__.py").is_file()
} - {"__init__"}
BASE = {"tools", "version"}

# unit -> the units it may import: one way, from the ground up. Units not named here
# (the command line) stand on top and may import all.
MAY_IMPORT = {
    "tools": set(),
    "version": set(),
    "launch": set(),  # runs before Keras is imported
    "paths": set(),  # an oracle that shares code with its subject proves nothing
    "autodiff": BASE,
    "gates": BASE,
    "skeletons": BASE,
    "data": BASE,
    "presets": BASE | {"data", "skeletons"},
    "layers": BASE | {"gates", "skeletons"},
    "models": BASE | {"autodiff", "gates", "skeletons", "layers", "data", "presets"},
    "kernels": BASE | {"autodiff", "gates", "skeletons", "layers", "models"},
    "interpret": BASE | {"autodiff", "gates", "skeletons", "layers", "models", "data"},
    "training": BASE | {"gates", "skeletons", "layers", "models", "data", "presets"},
    "estimators": BASE | {"data", "models", "training", "interpret"},
    "tuning": ALL - {"cli", "experiments", "tuning"},
    "experiments": ALL - {"cli", "tuning", "experiments"},
}
# Those that know a model by its public surface alone: the package, not its modules.
SURFACE_ONLY = ("kernels", "interpret", "training", "experiments", "tuning")

# unit -> what its modules import at their top: they are themselves imported on first
# use (PEP 562), so its __init__ may not.
LAZY = {"tuning": {"keras_tuner", "grpc"}}

# outside package -> the places that may import it, and only when it is used.
ONLY_IN = {
    "matplotlib": (
        "interpret",
        "experiments",
        "cli",
        "kernels/measures",
        "tuning/plots",
    ),
    "keras_tuner": ("tuning",),
    "grpc": ("tuning/machines",),
    "tensorflow_datasets": ("data",),
    "tensorflow": (
        "interpret/onnx",
        "data/prepared",
        "data/tfds",
        "training/batches",
        "autodiff",
    ),
    "jax": (
        "models/kept",
        "training/devices",
        "training/many",
        "kernels/devices",
        "autodiff",
    ),
    "torch": (
        "interpret/by_quantus",
        "training/step",
        "training/devices",
        "autodiff",
    ),
    "quantus": ("interpret/by_quantus",),
    "psutil": ("kernels", "tools", "training", "tuning"),
    "rich": ("tools", "training", "experiments", "tuning"),
}


class Import(NamedTuple):
    module: str
    when_used: bool


def imports(source):
    """Every import of a source text, and whether it waits until a function runs."""
    found = []

    def visit(node, inside):
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if isinstance(node, ast.Import):
            found.extend(Import(alias.name, inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                found.append(Import("." * node.level + module, inside))
            elif module == "dlgn_keras":
                names = [f"dlgn_keras.{alias.name}" for alias in node.names]
                found.extend(Import(name, inside) for name in names)
            else:
                found.append(Import(module, inside))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(ast.parse(source), False)
    return found


def unit_of(path):
    return path.relative_to(ROOT).with_suffix("").parts[0]


def broken_rules(unit, place, found):
    """One line for each import that breaks a rule."""
    for module, when_used in found:
        if module.startswith("."):
            yield f"{place}: relative import of {module}"
        parts = module.split(".")
        if parts[0] == "dlgn_keras" and len(parts) > 1:
            # A name that is no unit is one of the models' (dk.DLGN and the like).
            other = parts[1] if parts[1] in ALL else "models"
            allowed = MAY_IMPORT.get(unit, ALL) | {unit}
            if other not in allowed:
                yield f"{place}: {unit} may not import {other}"
            if other == "models" and unit in SURFACE_ONLY and len(parts) > 2:
                yield f"{place}: {module} is no public surface"
        if parts[0] == "dlgn_keras" and len(parts) == 1 and unit in MAY_IMPORT:
            yield f"{place}: imports the whole package"
        if parts[0] in ONLY_IN:
            here = [p for p in ONLY_IN[parts[0]] if f"{place}/".startswith(f"{p}/")]
            if not here:
                yield f"{place}: {parts[0]} belongs in {ONLY_IN[parts[0]]}"
            lazy = parts[0] in LAZY.get(unit, ()) and place != f"{unit}/__init__"
            if not when_used and not lazy:
                yield f"{place}: {parts[0]} must be imported where it is used"


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_run_one_way(path):
    if path == ROOT / "__init__.py":
        found = imports(path.read_text())
        outside = {"importlib", "typing"}
        assert {i.module.split(".")[0] for i in found} <= {"dlgn_keras", *outside}
        return
    place = path.relative_to(ROOT).with_suffix("").as_posix()
    assert not list(broken_rules(unit_of(path), place, imports(path.read_text())))


def test_every_rule_names_what_exists():
    assert set(MAY_IMPORT) <= ALL
    assert set().union(*MAY_IMPORT.values()) <= ALL


@pytest.mark.parametrize(
    ("unit", "source"),
    [
        ("paths", "from dlgn_keras.tools.messages import closest"),
        ("layers", "from dlgn_keras import models"),
        ("layers", "def f():\n    from dlgn_keras.models import DNN"),
        ("presets", "from dlgn_keras.models import FAMILIES"),
        ("models", "def f():\n    from dlgn_keras.interpret import explain"),
        ("kernels", "from dlgn_keras.models.builder import Network"),
        ("skeletons", "import dlgn_keras"),
        ("training", "from dlgn_keras.experiments import regimes"),
        ("gates", "import tensorflow as tf"),
        ("interpret", "from matplotlib import pyplot"),
        ("interpret", "def f():\n    from dlgn_keras.training import fit"),
        ("layers", "class A:\n    def f(self):\n        import torch"),
        ("models", "from .walker import Network"),
        ("training", "import keras_tuner"),
    ],
)
def test_an_import_that_breaks_a_rule_is_seen(unit, source):
    assert list(broken_rules(unit, f"{unit}/module", imports(source)))
