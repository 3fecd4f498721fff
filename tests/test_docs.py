"""The reference builds, with a place for every public name; the picture is right."""

import importlib.util
import inspect
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
    """What a page offers to link to, and what it links to."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.ids.add(found.get("id"))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    out = tmp_path_factory.mktemp("site")
    docs.build(out)
    return {
        path.relative_to(out).as_posix(): Page(path) for path in out.rglob("*.html")
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


def test_its_links_lead_somewhere(site):
    for at, page in site.items():
        for link in page.links:
            if re.match(r"https?:", link):
                continue
            path, _, anchor = link.partition("#")
            target = (Path("/") / at).parent / path if path else Path("/") / at
            other = site[target.resolve().relative_to("/").as_posix()]
            # What a class has from Keras (`fit`) has no place but the class's.
            assert not anchor or anchor.split(".")[0] in other.ids, f"{at}: {link}"


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


def test_the_front_page_picture_tells_the_numbers_it_computes():
    """Read off the titles: what the pixels make is what the model answers."""
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
