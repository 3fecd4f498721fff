"""Every example of every docstring runs, and every public name has one to read."""

import doctest
import importlib
import inspect
import io
import pkgutil

import keras
import pytest

import dlgn_keras

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(dlgn_keras.__path__, "dlgn_keras.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # an example may write files
    module = importlib.import_module(name)
    report = io.StringIO()
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")  # what a reader has
    try:
        for test in doctest.DocTestFinder(exclude_empty=True).find(module, name):
            runner.run(test, out=report.write)
    finally:
        keras.config.set_image_data_format(before)
    assert runner.failures == 0, report.getvalue()


def public(package):
    """The classes and functions that a package lists in `__all__`."""
    for name in package.__all__:
        thing = getattr(package, name)
        if inspect.isclass(thing) or inspect.isfunction(thing):
            yield name, thing


@pytest.mark.parametrize("unit", ["skeletons", "layers", "models"])
def test_every_public_name_has_a_docstring(unit):
    package = importlib.import_module(f"dlgn_keras.{unit}")
    bare = [name for name, thing in public(package) if not inspect.getdoc(thing)]
    assert not bare


def test_a_wrong_example_is_seen():
    """Broken twin: an example whose output is wrong fails the run."""
    test = doctest.DocTestParser().get_doctest(">>> 1 + 1\n3\n", {}, "twin", None, 0)
    runner = doctest.DocTestRunner()
    runner.run(test, out=io.StringIO().write)
    assert runner.failures == 1
