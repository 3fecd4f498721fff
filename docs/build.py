"""Write the reference: a page for each public package, from the docstrings.

    python docs/build.py [--out site]

Public is what a package lists in `__all__`. Needs no network, and neither do the
pages.
"""

import argparse
import dataclasses
import os
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pdoc

import dlgn_keras

HERE = Path(__file__).resolve().parent
# Our lists of fields and results: "name: text" at the margin, further lines indented.
FIELD = re.compile(r"^(?P<names>[a-z_]\w*(?:, [a-z_]\w*)*): (?P<text>\S.*)$")


def modules(root: types.ModuleType = dlgn_keras) -> Iterator[types.ModuleType]:
    """Yield a module and, depth first, the modules and packages it makes public."""
    yield root
    for name in getattr(root, "__all__", ()):
        # What is loaded when first asked for is loaded now: pdoc does not ask.
        thing = root.__dict__.setdefault(name, getattr(root, name))
        # A function may have taken the name of its package, as dk.presets has.
        package = sys.modules.get(f"{root.__name__}.{name}")
        if isinstance(thing, types.ModuleType) or hasattr(package, "__path__"):
            yield from modules(package)


def listed(docstring: str) -> str:
    """Return a docstring with its fields as a Markdown list."""
    lines: list[str] = []
    for line in docstring.replace("\nFields:\n", "\nAttributes:\n").split("\n"):
        field = FIELD.match(line)
        if field:
            names = ", ".join(f"**{name}**" for name in field["names"].split(", "))
            line = f"- {names}: {field['text']}"
            above = next((x for x in lines[::-1] if not x.startswith(" ")), "")
            if not above.startswith("- **"):
                lines.append("")  # a list begins
        lines.append(line)
    return "\n".join(lines)


def text(doc: pdoc.doc.Doc) -> str:
    """Return what to show of a docstring: a dataclass' options tell of themselves."""
    options = ""
    if isinstance(doc.obj, type) and dataclasses.is_dataclass(doc.obj):
        for field in dataclasses.fields(doc.obj):
            if "help" in field.metadata:
                options += f"\n    {field.name}: {field.metadata['help']}."
    return listed(doc.docstring + (f"\n\nArgs:{options}" if options else ""))


def build(out: Path) -> list[str]:
    """Write the pages into a folder; return the names of the modules."""
    names = [module.__name__ for module in modules()]
    pdoc.render.configure(
        docformat="google",
        include_undocumented=False,
        footer_text=f"dlgn_keras {dlgn_keras.__version__}",
        template_directory=HERE / "templates",
    )
    pdoc.render.env.filters["text"] = text
    # pdoc takes a file for public whose function has its name: not so here.
    others = rf"!(?!(?:{'|'.join(map(re.escape, names))})$)"
    pdoc.pdoc(dlgn_keras.__name__, others, output_directory=out)
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("site"))
    folder = parser.parse_args().out
    print(f"{len(build(folder))} pages: {folder / 'dlgn_keras.html'}")
