"""Build the site: the front page, the guide and the reference.

    python docs/build.py [--out site] [--live [FILE]]

README.md becomes the first page. Every page, notebook, picture and file that it links
to, directly or by way of other pages, comes along at its place in the repository. The
reference has one page for each public package, made from the docstrings. Public is
what a package lists in `__all__`. The build needs no network, and neither do the pages.

`--live` puts the live page into the guide: two MNIST presets that run in the browser.
That needs the backend TensorFlow, and onnxruntime-web: its npm package as FILE, or npm
fetches it.
"""

import argparse
import dataclasses
import json
import os
import posixpath
import re
import shutil
import sys
import types
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import pdoc
from pdoc.render_helpers import to_html
from pygments.formatters import HtmlFormatter

import dlgn_keras

HERE = Path(__file__).resolve().parent
# Docstrings list fields as "name: text" at the margin, further lines indented.
FIELD = re.compile(r"^(?P<names>[a-z_]\w*(?:, [a-z_]\w*)*): (?P<text>\S.*)$")
LINK = re.compile(r'(?P<before><(?:a|img)\b[^>]*?(?:href|src)=")(?P<to>[^"]+)')
COLOUR = re.compile(r"\x1b\[[\d;]*m")  # of a terminal
FORMULA = re.compile(r"\$\$?([^$]+)\$\$?")
FRONT_MATTER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
LIVE = ("dlgn_fc_mnist", "dnn_fc_mnist")
LIVE_MARK = "<!-- live page -->"
FRAME = """<iframe src="{}live/index.html" loading="lazy" style="width: 100%; \
height: 60rem; border: 0" title="Draw a digit: its answer, taken apart"></iframe>"""
NAME = re.compile(r"<code>dk\.(?P<name>\w+(?:\.\w+)*)(?P<rest>[^<]*)</code>")


def modules(root: types.ModuleType = dlgn_keras) -> Iterator[types.ModuleType]:
    """Yield a module and, depth first, the modules and packages it makes public."""
    yield root
    for name in getattr(root, "__all__", ()):
        # pdoc sees only what is loaded: load the lazy names.
        thing = root.__dict__.setdefault(name, getattr(root, name))
        # A function may hide the package of the same name, as dk.presets does.
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
    """Return an object's docstring, with the options of a dataclass."""
    options = ""
    if isinstance(doc.obj, type) and dataclasses.is_dataclass(doc.obj):
        for field in dataclasses.fields(doc.obj):
            if "help" in field.metadata:
                options += f"\n    {field.name}: {field.metadata['help']}."
    return listed(doc.docstring + (f"\n\nArgs:{options}" if options else ""))


def reference_link(name: str) -> str | None:
    """Return the place of a public name, such as "kernels.npk", in the reference."""
    known = {module.__name__: module for module in modules()}
    package, rest = f"dlgn_keras.{name}", ""
    while package not in known:
        package, _, rest = package.rpartition(".")
    page = package.replace(".", "/") + ".html"
    if not rest:
        return page
    return f"{page}#{rest}" if rest in known[package].__all__ else None


@dataclasses.dataclass
class Page:
    """A Markdown file as HTML; `toc` is its table of contents."""

    title: str
    html: str
    toc: str


def notebook(source: str) -> str:
    """Return a notebook's cells and outputs as Markdown."""
    parts = []
    for cell in json.loads(source)["cells"]:
        text = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(FORMULA.sub(r"`\1`", text))  # TeX would need a network
        else:
            parts.append(_fenced(text))
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "image/png" in data:
                code = "".join(data["image/png"]).replace("\n", "")
                parts.append(f'<img alt="" src="data:image/png;base64,{code}">')
            else:
                text = "".join(output.get("text") or data.get("text/plain", ""))
                parts.append(_fenced(COLOUR.sub("", text), "text"))
    return "\n\n".join(parts)


def _fenced(text: str, language: str = "python") -> str:
    return f"```{language}\n{text.rstrip()}\n```"


def read(path: str, root: Path) -> tuple[Page, list[str]]:
    """Return a Markdown file or notebook as a page, and the files that it links to."""
    source = (root / path).read_text(encoding="utf-8")
    if path.endswith(".ipynb"):
        source = notebook(source)
    html = to_html(FRONT_MATTER.sub("", source))
    here = posixpath.dirname(path) or "."
    found: list[str] = []

    def follow(match: re.Match) -> str:
        to, mark, anchor = match["to"].partition("#")
        target = posixpath.normpath(posixpath.join(here, to))
        if to and ":" not in to and (root / target).is_file():
            found.append(target)
            to = posixpath.relpath(place(target), here)
        return f"{match['before']}{to}{mark}{anchor}"

    def explain(match: re.Match) -> str:
        link = reference_link(match["name"])
        if link is None:
            return match[0]
        return f'<a href="{posixpath.relpath(link, here)}">{match[0]}</a>'

    title = re.search(r"<h1[^>]*>(.*?)</h1>", html)
    text = NAME.sub(explain, LINK.sub(follow, html))
    return Page(title[1] if title else path, text, html.toc_html or ""), found


def place(path: str) -> str:
    """Return where the site keeps a file of the repository."""
    folder, name = posixpath.split(path)
    if name == "README.md":
        name = "index.md"
    return posixpath.join(folder, re.sub(r"\.(md|ipynb)$", ".html", name))


def collect(root: Path) -> tuple[dict[str, Page], set[str]]:
    """Return the pages that README.md leads to, by path, and the files they show."""
    pages: dict[str, Page] = {}
    files: set[str] = set()
    ahead = ["README.md"]
    while ahead:
        path = ahead.pop(0)
        if not path.endswith((".md", ".ipynb")):
            files.add(path)
        elif path not in pages:
            pages[path], found = read(path, root)
            ahead += found
    return pages, files


def add_live(out: Path, pages: dict[str, Page], runtime: Path | None) -> None:
    """Write the live page, and show it where a page has its mark."""
    from dlgn_keras.interpret.live import live_page

    nets = {name: dlgn_keras.from_preset(name) for name in LIVE}
    live_page(nets, out / "live", runtime)
    for path, page in pages.items():
        frame = FRAME.format("../" * path.count("/"))
        page.html = page.html.replace(LIVE_MARK, frame)


def build(out: Path, root: Path = HERE.parent, live: bool | Path = False) -> list[str]:
    """Write the site into a folder; return the names of the reference's modules.

    live: whether to add the live page, or the file of onnxruntime-web to add it by.
    """
    names = [module.__name__ for module in modules()]
    pages, files = collect(root)
    if live:
        add_live(out, pages, live if isinstance(live, Path) else None)
    pdoc.render.configure(
        docformat="google",
        include_undocumented=False,
        footer_text=f"dlgn_keras {dlgn_keras.__version__}",
        template_directory=HERE / "templates",
    )
    environment = pdoc.render.env
    environment.filters["text"] = text
    environment.globals["dark_code"] = HtmlFormatter(
        style="github-dark"
    ).get_style_defs(".pdoc-code")
    environment.globals["guide"] = [
        (place(path), page.title)
        for path, page in pages.items()
        if path.startswith("docs/guide/")
    ]
    # pdoc takes a file for public whose function has its name: not so here.
    others = rf"!(?!(?:{'|'.join(map(re.escape, names))})$)"
    pdoc.pdoc(dlgn_keras.__name__, others, output_directory=out)
    template = environment.get_template("page.html.jinja2")
    for path, page in pages.items():
        target = out / place(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(
            template.render(page=page, here=place(path), top="../" * path.count("/")),
            encoding="utf-8",
        )
    for path in files:
        (out / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(root / path, out / path)
    return names


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--out", type=Path, default=Path("site"))
    parser.add_argument(
        "--live", type=Path, nargs="?", const=True, default=False, metavar="FILE"
    )
    given = parser.parse_args()
    build(given.out, live=given.live)
    print(given.out / "index.html")
