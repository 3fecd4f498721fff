"""The site builds, its links hold, every public name has its place in the reference."""

import importlib.util
import inspect
import json
import posixpath
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import dlgn_keras as dk

DOCS = Path(__file__).resolve().parent.parent / "docs"


def load(name):
    spec = importlib.util.spec_from_file_location(name, DOCS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


docs = load("build")


class Page(HTMLParser):
    """What a page offers to link to, and what it links to or shows."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        link = found.get({"a": "href", "img": "src"}.get(tag))
        if link:
            self.links.append(link)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    docs.build(folder)
    return folder


@pytest.fixture(scope="module")
def site(out):
    """Return the site's files by path, the pages read."""
    return {
        path.relative_to(out).as_posix(): Page(path) if path.suffix == ".html" else None
        for path in out.rglob("*.*")
    }


def missing(site):
    """Public classes and functions without a place, or without a docstring."""
    for module in docs.modules():
        page = site[module.__name__.replace(".", "/") + ".html"]
        for name in getattr(module, "__all__", ()):
            thing = getattr(module, name)
            if inspect.isclass(thing) or inspect.isfunction(thing):
                if name not in page.ids or not inspect.getdoc(thing):
                    yield f"{module.__name__}.{name}"


def test_every_public_name_is_in_the_reference(site):
    assert not list(missing(site))


def test_a_name_left_out_is_seen(site):
    """Broken twin: a page without one of its names."""
    page = site["dlgn_keras/layers.html"]
    page.ids.remove("LinearGate")
    try:
        assert list(missing(site)) == ["dlgn_keras.layers.LinearGate"]
    finally:
        page.ids.add("LinearGate")


def broken(site):
    """Links to files that the site lacks, or to places that a page lacks."""
    for at, page in site.items():
        for link in page.links if page else ():
            if re.match(r"(https?|data):", link):
                continue
            path, _, anchor = link.partition("#")
            target = posixpath.normpath(posixpath.join(posixpath.dirname(at), path))
            target = target if path else at
            # An inherited member of Keras (`fit`) has no place but the class's.
            if target not in site or (
                anchor and anchor.split(".")[0] not in site[target].ids
            ):
                yield f"{at}: {link}"


def test_its_links_lead_somewhere(site):
    assert not list(broken(site))
    assert "docs/guide/kernels.html" in site["index.html"].links
    assert "01_three_twins.html" in site["notebooks/index.html"].links
    assert "../../dlgn_keras/kernels.html#npk" in site["docs/guide/kernels.html"].links


def test_a_broken_link_is_seen(tmp_path):
    """Broken twin: a page that moved, a picture that is not there, a lost heading."""
    text = "# A\n[b](b.md) ![c](c.png) [d](d.md#e) [f](d.md#f)"
    (tmp_path / "README.md").write_text(text)
    (tmp_path / "d.md").write_text("# D\n## E\n")
    docs.build(tmp_path / "site", tmp_path)
    site = {"index.html": Page(tmp_path / "site/index.html")}
    site["d.html"] = Page(tmp_path / "site/d.html")
    site["dlgn_keras.html"] = None
    assert list(broken(site)) == [
        "index.html: b.md",
        "index.html: c.png",
        "index.html: d.html#f",
    ]


def test_every_page_leads_to_the_guide_and_the_reference(site):
    for path in (
        "index.html",
        "docs/guide/kernels.html",
        "dlgn_keras/interpret/plots.html",
    ):
        top = "../" * path.count("/")
        assert {f"{top}index.html", f"{top}dlgn_keras.html"} <= set(site[path].links)
        assert sum("docs/guide/" in link for link in site[path].links) >= 6


def test_the_guide_shows_the_live_page_where_it_is_wanted(tmp_path, monkeypatch):
    """Of the mark in the guide; what the live page does is tested beside it."""
    from dlgn_keras.interpret import live

    made = []
    monkeypatch.setattr(live, "live_page", lambda *given: made.append(given))
    guide = "docs/guide/reading-a-network.md"
    page, _ = docs.read(guide, docs.HERE.parent)
    assert "<iframe" not in page.html
    assert page.html.count(docs.LIVE_MARK) == 1
    package = tmp_path / "runtime.tgz"
    docs.add_live(tmp_path, {guide: page}, package)
    assert '<iframe src="../../live/index.html"' in page.html
    assert docs.LIVE_MARK not in page.html
    [(nets, folder, runtime)] = made
    assert [net.preset for net in nets.values()] == list(docs.LIVE)
    assert (folder, runtime) == (tmp_path / "live", package)


def test_a_notebook_is_a_page_with_its_outputs():
    """Its text, code, printed lines and pictures, terminal colours taken out."""
    cells = [
        {"cell_type": "markdown", "source": ["# Title\n", "$x$ is"]},
        {
            "cell_type": "code",
            "source": ["print(1)"],
            "outputs": [
                {"text": ["\x1b[1m1\x1b[0m\n"]},
                {"data": {"image/png": "AAAA\n", "text/plain": "<Figure>"}},
            ],
        },
    ]
    assert docs.notebook(json.dumps({"cells": cells})) == (
        "# Title\n`x` is\n\n```python\nprint(1)\n```\n\n```text\n1\n```\n\n"
        '<img alt="" src="data:image/png;base64,AAAA">'
    )


def test_pages_need_no_network(out):
    for path in ("index.html", "docs/guide/kernels.html"):
        html = (out / path).read_text(encoding="utf-8")
        assert not re.findall(r'(?:src|<link[^>]*href)="https?:[^"]*', html)


def test_the_options_of_a_recipe_are_told():
    doc = docs.pdoc.doc.Class(
        "dlgn_keras.training", "Recipe", dk.training.Recipe, ("", "")
    )
    assert "\n    beta: slope of the soft gate." in docs.text(doc)


def test_fields_become_a_list():
    text = "A result.\n\ngram: (n, m), the\n    mean.\nx, y: both.\n\nMore: here."
    assert docs.listed(text) == (
        "A result.\n\n\n- **gram**: (n, m), the\n    mean.\n- **x**, **y**: both.\n"
        "\nMore: here."
    )


def test_the_picture_of_an_answer_tells_the_numbers_it_computes():
    """The numbers in the titles are those that the model computes."""
    figure = load("figure").draw()
    titles = [axes.get_title() for axes in figure.axes]
    net = dk.DLGN.from_preset("dlgn_fc_mnist")
    seven = np.load(dk.presets()["dlgn_fc_mnist"].folder / "golden.npz")["inputs"][:1]
    gates = net.pre_activations(seven)
    for title, site in zip(titles[1:3], ("dense_1", "dense_5"), strict=True):
        assert f"{gates[site].max():,.1f} > 0" in title
    logits = np.sort(net.predict(seven, verbose=0)[0])
    assert f"{logits[-1]:.1f} - {logits[-2]:.1f}" in titles[3]
    assert (DOCS / "answer.png").is_file()
