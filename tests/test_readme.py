"""README and guide: the Python runs, the commands parse, the names exist."""

import re
import shlex
from pathlib import Path

import matplotlib
import pytest

import dlgn_keras as dk
from dlgn_keras import cli

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
PAGES = [
    README,
    ROOT / "notebooks/README.md",
    *sorted((ROOT / "docs/guide").glob("*.md")),
]


def by_name(path):
    return path.stem


def blocks(text, language):
    """Return the fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def commands(text):
    """Return the arguments of every dlgn-keras command, in bash blocks and in the text.

    A command of the text that is cut short by dots, or names no arguments, is left out.
    """
    shown = "\n".join(blocks(text, "bash")).replace("\\\n", " ")
    lines = re.findall(r"(?:^|[ /])dlgn-keras ([^\n]*)", shown, re.MULTILINE)
    outside = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`dlgn-keras\s([^`]*)`", outside)
    for line in [*lines, *(span for span in spans if "..." not in span)]:
        # What Slurm's script fills in.
        line = line.replace("$ROLE", "worker").replace("$CHIEF", "host:8000")
        yield shlex.split(line.rstrip("'"), comments=True)


def parse(arguments):
    """Parse a command without running it; a recipe must be a named one or a file."""
    command = arguments[0]
    parsed = cli._parser(command, cli._module(command)).parse_args(arguments)
    recipe = getattr(parsed, "recipe", "digits")
    assert recipe in dk.training.NAMED or recipe.endswith(".json"), recipe


def unknown_names(text):
    """Return the names `dk....` of a text that the package does not have."""
    for name in sorted(set(re.findall(r"\bdk((?:\.[A-Za-z_]\w*)+)", text))):
        thing = dk
        for part in name.split(".")[1:]:
            if not hasattr(thing, part):
                yield f"dk{name}"
                break
            thing = getattr(thing, part)


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_its_python_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    matplotlib.use("agg")
    names: dict = {}
    for block in blocks(page.read_text(), "python"):
        exec(compile(block, str(page), "exec"), names)
    matplotlib.pyplot.close("all")
    if page == README:
        assert names["net"].family == "dlgn"
        assert (tmp_path / "explanation.png").is_file()


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_its_commands_parse(page):
    found = list(commands(page.read_text()))
    for arguments in found:
        parse(arguments)
    if page == README:
        assert ["compare"] in found


def test_a_wrong_command_is_seen():
    """Broken twin: an option that does not exist, a recipe that does not."""
    wrong = "```bash\ndlgn-keras train digits --epoks 3\ndlgn-keras train digitz\n```\n"
    option, recipe = commands(wrong)
    with pytest.raises(ValueError, match="epoks"):
        parse(option)
    with pytest.raises(AssertionError, match="digitz"):
        parse(recipe)


@pytest.mark.parametrize("page", PAGES, ids=by_name)
def test_its_names_exist(page):
    assert not list(unknown_names(page.read_text()))


def test_a_wrong_name_is_seen():
    """Broken twin: a function that moved."""
    assert list(unknown_names("`dk.kernels.npk`, `dk.kernels.pnk`")) == [
        "dk.kernels.pnk"
    ]


def test_the_picture_is_drawn_by_the_code_above_it():
    text = README.read_text()
    drawn = re.search(r'savefig\("(.*?)"\)', text)[1]
    shown = re.search(r"!\[.*?\]\((.*?)\)", text)[1]
    assert shown == f"docs/{drawn}"
    assert (ROOT / shown).is_file()


def test_the_version_is_the_same_everywhere():
    dated = re.search(
        r"^## (\d\S*) \((.*)\)$", (ROOT / "CHANGELOG.md").read_text(), re.M
    )
    cited = (ROOT / "CITATION.cff").read_text()
    assert dated[1] == dk.__version__
    assert f"\nversion: {dated[1]}\ndate-released: {dated[2]}\n" in cited


def missing_rooms(text):
    """Return the paths of a text that neither the repository nor the package has."""
    for path in re.findall(r"`([\w/]+(?:/|\.py|\.json))`", text):
        if not any((folder / path).exists() for folder in (ROOT, ROOT / "dlgn_keras")):
            yield path


def test_the_rooms_that_contributing_names_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    assert text.count("`skeletons/") >= 3
    assert not [path for path in missing_rooms(text) if path != "site/"]
    assert list(missing_rooms("`skeletons/stages.py` `skeletons/stagez.py`")) == [
        "skeletons/stagez.py"
    ]
