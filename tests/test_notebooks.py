"""Every notebook runs, its claim holds, and the committed outputs are of its source.

The sources run as scripts in this process: nine imports of Keras would cost more than
all of them.
"""

import re
import runpy
from pathlib import Path

import jupytext
import keras
import matplotlib
import nbformat
import pytest
from matplotlib import pyplot

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
SOURCES = sorted(NOTEBOOKS.glob("[0-9][0-9]_*.py"))


def by_name(path):
    return path.stem


@pytest.fixture(autouse=True)
def _no_window(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # notebooks may write files
    matplotlib.use("agg")
    before = keras.config.image_data_format()
    keras.config.set_image_data_format("channels_last")  # as a reader has it
    yield
    keras.config.set_image_data_format(before)
    pyplot.close("all")


def claims(source):
    """The `assert` lines of a notebook's last cell."""
    last = jupytext.read(source).cells[-1]
    assert last.cell_type == "code"
    return [line for line in last.source.splitlines() if "assert" in line]


@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("source", SOURCES, ids=by_name)
def test_on_little_data_its_claim_holds(source, monkeypatch):
    monkeypatch.setenv("DLGN_FAST", "1")
    assert claims(source)
    runpy.run_path(str(source))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:FigureCanvasAgg is non-interactive")
@pytest.mark.parametrize("source", SOURCES, ids=by_name)
def test_its_claim_holds(source, monkeypatch):
    monkeypatch.delenv("DLGN_FAST", raising=False)
    runpy.run_path(str(source))


def stale(notebook, source):
    """Yield each fault of a committed notebook."""
    cells = [(c.cell_type, c.source) for c in notebook.cells]
    if cells != [(c.cell_type, c.source) for c in jupytext.read(source).cells]:
        yield "its cells differ from its source"
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    if [cell.execution_count for cell in code] != list(range(1, len(code) + 1)):
        yield "its cells were not run once, from first to last"
    outputs = [output for cell in code for output in cell.outputs]
    if any(output.output_type == "error" for output in outputs):
        yield "a cell failed"
    if not any("image/png" in output.get("data", {}) for output in outputs):
        yield "it shows no picture"


@pytest.mark.parametrize("source", SOURCES, ids=by_name)
def test_the_committed_notebook_was_made_from_its_source(source):
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    nbformat.validate(notebook)
    assert not list(stale(notebook, source)), "run: python notebooks/run.py"


def test_a_stale_notebook_is_seen():
    """Broken twin: a line changed, a cell not run, an output lost."""
    source = SOURCES[0]
    notebook = nbformat.read(source.with_suffix(".ipynb"), as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    code[0].source += "\n1 / 0"
    code[-1].execution_count = None
    for cell in code:
        cell.outputs = []
    assert len(list(stale(notebook, source))) == 3


@pytest.mark.parametrize("source", SOURCES, ids=by_name)
def test_it_uses_public_names_alone(source):
    """The first cell sets backend and seed, and no cell installs anything."""
    cells = [c.source for c in jupytext.read(source).cells if c.cell_type == "code"]
    assert "KERAS_BACKEND" in cells[0]
    assert "SEED" in cells[0]
    assert not [text for text in cells if re.search(r"\bpip\b", text)]
    assert not [text for text in cells if re.search(r"(\.| import )_(?!_)\w", text)]
