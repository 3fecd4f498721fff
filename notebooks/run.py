"""Execute the notebooks: write each .ipynb from the .py file of the same name.

    python notebooks/run.py [01_three_twins.py ...]

Edit the .py files (jupytext's percent format). DLGN_FAST=1 runs them on less data, to
try a change. The backend is JAX, which prints nothing when it starts, unless
KERAS_BACKEND is set.
"""

import argparse
import os
from pathlib import Path

import jupytext
import nbclient
import nbformat

HERE = Path(__file__).resolve().parent


def sources() -> list[Path]:
    """Return the notebooks' sources, in order."""
    return sorted(HERE.glob("[0-9][0-9]_*.py"))


def execute(source: Path) -> nbformat.NotebookNode:
    """Return a source as a notebook with its outputs."""
    notebook = jupytext.read(source)
    for k, cell in enumerate(notebook.cells):
        cell.id = f"cell-{k}"  # a random id would make every run a change
    client = nbclient.NotebookClient(notebook, timeout=1800, record_timing=False)
    client.execute(cwd=str(HERE))
    for cell in notebook.cells:  # drop TensorFlow's start-up log, which holds times
        if "outputs" in cell:
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata.pop("language_info", None)
    notebook.metadata["jupytext"].pop("text_representation", None)
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("sources", nargs="*", type=Path, help="all if none is named")
    os.environ.setdefault("KERAS_BACKEND", "jax")
    for source in parser.parse_args().sources or sources():
        print(source.name, flush=True)
        notebook = execute(source)
        nbformat.write(notebook, source.with_suffix(".ipynb"))


if __name__ == "__main__":
    main()
