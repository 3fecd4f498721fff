"""Write the notebooks: each .ipynb is its .py, executed.

    python notebooks/run.py [01_three_twins.py ...]

The .py files (jupytext's percent format) are the source; edit those. Outputs come
from the full data unless DLGN_FAST=1 is set, which is for trying things out, and from
the JAX backend, which prints nothing when it starts, unless KERAS_BACKEND is set.
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
        cell.id = f"cell-{k}"  # else drawn at random: every run would be a change
    client = nbclient.NotebookClient(notebook, timeout=1800, record_timing=False)
    client.execute(cwd=str(HERE))
    for cell in notebook.cells:  # what TensorFlow logs when it is loaded, times and all
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
