"""Presets made to harm: one line says what is wrong, in little time and memory."""

import json
import zipfile

import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras import cli
from dlgn_keras.presets import find, from_preset, presets, verify
from dlgn_keras.presets.files import (
    CONFIG,
    GOLDEN,
    METADATA,
    check_files,
    read_metadata,
    seal,
)
from dlgn_keras.presets.load import CLASSES
from dlgn_keras.presets.verify import read_golden


def refused(action, *words):
    """The one line of the ValueError that an action ends in."""
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the words are checked
        action()
    line = str(caught.value)
    assert "\n" not in line
    for word in words:
        assert word in line, line
    return line


# -- config.json -----------------------------------------------------------------


def ask_for(preset, **fields):
    """Change fields of the config's first dense stage, or of the config, and seal."""
    whole = json.loads((preset / CONFIG).read_text())
    stages = whole["config"]["skeleton"]["stages"]
    stage = next(stage for stage in stages if stage["kind"] == "dense")
    for key, value in fields.items():
        (stage if key in stage else whole["config"])[key] = value
    (preset / CONFIG).write_text(json.dumps(whole))
    seal(preset, read_metadata(preset))


@pytest.fixture
def unbuildable(monkeypatch):
    """Building a model fails the test."""

    def built(config):
        raise AssertionError("a model was built")

    monkeypatch.setattr(CLASSES["DLGN"], "from_config", built)


@pytest.mark.parametrize(
    "fields",
    [
        {"units": 10**9},
        {"units": 10**30},
        {"num_classes": 10**9},
        {"input_shape": [10**9]},
        {"shallow": True, "input_shape": [10**9]},
        {"batch_norm": True},
    ],
)
def test_sizes_are_compared_before_anything_is_built(preset, unbuildable, fields):
    ask_for(preset, **fields)
    refused(lambda: from_preset(preset), CONFIG, "numbers that model.weights.h5 holds")


def test_the_comparison_lets_an_honest_preset_pass(preset, unbuildable):
    refused(lambda: from_preset(preset), "a model was built")


def test_a_hundred_thousand_stages_are_too_many(preset, unbuildable):
    ask_for(preset, skeleton={"stages": [{"kind": "flatten"}] * 100_000})
    refused(lambda: from_preset(preset), CONFIG, "at most 5,000 stages")


@pytest.mark.parametrize("name", ["\x1b[2J", "a\u202eb", "a\nb", "\x9b1m"])
def test_names_of_stages_print(preset, name):
    ask_for(preset, name=name)
    line = refused(lambda: from_preset(preset), CONFIG, "Names must be text")
    assert line.isprintable()


# -- golden.npz ------------------------------------------------------------------

INPUTS, LOGITS = np.zeros((8, 4), "f4"), np.zeros((8, 2), "f4")


def lying(shape):
    """Write arrays whose header says more than there is."""

    def write(path):
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, said in (("inputs", shape), ("logits", (8, 2))):
                header = {"descr": "<f4", "fortran_order": False, "shape": said}
                with archive.open(f"{name}.npy", "w") as file:
                    np.lib.format.write_array_header_1_0(file, header)
                    file.write(bytes(64))

    return write


def zeros(path):
    """Write 4 GB of zeros, honestly, in 4 MB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name in ("inputs", "logits"):
            header = {"descr": "<f4", "fortran_order": False, "shape": (70_000_000,)}
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array_header_1_0(file, header)
                for _ in range(280):
                    file.write(bytes(10**6))


def bare(path):
    with path.open("wb") as file:
        np.save(file, INPUTS)


GOLDENS = {
    "none": lambda path: np.savez(path, inputs=INPUTS[:0], logits=LOGITS[:0]),
    "unequal": lambda path: np.savez(path, inputs=INPUTS[:3], logits=LOGITS),
    "text": lambda path: np.savez(path, inputs=np.array(["a"]), logits=LOGITS),
    "objects": lambda path: np.savez(path, inputs=np.array([{}]), logits=LOGITS),
    "scalar": lambda path: np.savez(path, inputs=np.float32(1), logits=LOGITS),
    "no logits": lambda path: np.savez(path, inputs=INPUTS),
    "bare": bare,
    "4 GB": lying((250_000_000, 4)),
    "238 GiB": lying((10**9, 8, 8, 1)),
    "more than any": lying((2**62, 2**62)),
    "zeros": zeros,
}


@pytest.mark.parametrize("damage", GOLDENS)
def test_a_damaged_golden_file_is_one_line(preset, damage):
    GOLDENS[damage](preset / GOLDEN)
    refused(lambda: read_golden(preset / GOLDEN), str(preset / GOLDEN))


def test_goldens_for_other_inputs_are_refused(preset):
    np.savez(preset / GOLDEN, inputs=np.zeros((8, 3, 3)), logits=LOGITS)
    seal(preset, read_metadata(preset))
    refused(lambda: verify(preset), "differ from the golden ones")


# -- metadata.json and index.json --------------------------------------------------

ODD = [
    ("results", []),
    ("results", {"seeds": 5}),
    ("results", {"mean": "high"}),
    ("results", {"mean": 1e999}),
    ("data", []),
    ("data", {"class_names": 5}),
    ("data", {"class_names": ["a", 1]}),
    ("data", {"usual": {"mean": [1]}}),
    ("data", {"raw_range": [0]}),
    ("recipe", None),
    ("recipe", {"value_input": 1}),
    ("training", {"environment": []}),
    ("parameter_count", None),
    ("parameter_count", True),
    ("name", 5),
    ("description", {}),
    ("sha256", {"config.json": 5}),
]


@pytest.fixture
def shelf(preset, monkeypatch):
    """A zoo of a tiny preset that may be harmed, ahead of the checkout's."""
    monkeypatch.setenv("DLGN_KERAS_ZOO", str(preset.parent))
    return preset


@pytest.mark.parametrize(("field", "value"), ODD)
def test_odd_metadata_are_told_and_spare_the_others(shelf, capsys, field, value):
    path = shelf / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), field: value}))
    line = refused(lambda: check_files(shelf), str(path), f"`{field}")
    with pytest.warns(UserWarning, match=f"Left out: .*`{field}"):
        table = presets()
    assert "dnn_fc_digits" in repr(table)
    assert shelf.name not in table.names
    if (field, value) == ODD[0]:
        assert cli.main(["zoo", "list"]) == 0
        assert line in " ".join(capsys.readouterr().err.split())
        assert cli.main(["zoo", "show", shelf.name]) == 2
        assert cli.main(["zoo", "show", "dnn_fc_digits"]) == 0


def test_metadata_that_would_be_refused_are_not_written(originals, tmp_path):
    net = from_preset(originals["dnn"])
    for wrong in ({"results": []}, {"data": {"name": 3}}, {"made": {1, 2}}):
        words = "`results`" if "results" in wrong else "metadata"
        refused(lambda w=wrong: net.save_to_preset(tmp_path / "a", metadata=w), words)
    assert list(tmp_path.iterdir()) == []


def test_a_preset_that_says_little_is_shown(shelf, capsys):
    seal(shelf, {"format": 1, "recipe": {"epochs": 3}, "data": {"name": "x"}})
    assert cli.main(["zoo", "show", shelf.name]) == 0
    assert cli.main(["zoo", "list"]) == 0


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "null",
        "{",
        '{"presets": 5}',
        '{"presets": [5]}',
        '{"presets": [{"name": 5, "handle": "x"}]}',
        '{"presets": [{"name": "zzz", "handle": 5}]}',
    ],
)
def test_an_odd_index_is_told_and_spares_the_others(shelf, text):
    (shelf.parent / "index.json").write_text(text)
    with pytest.warns(UserWarning, match=r"Left out: .*index\.json"):
        refused(lambda: find("zzz"), "No preset is called 'zzz'")
    assert find(shelf.name) == shelf
    assert "dnn_fc_digits" in presets().names


# -- what is printed ---------------------------------------------------------------

ESCAPE = "\x1b[2J\x9b1m\u202e\r[link=file:///x]click[/link][/red] :boom:"


def test_texts_of_a_preset_move_no_cursor(shelf, capsys):
    metadata = {
        **json.loads((shelf / METADATA).read_text()),
        "description": f"mine {ESCAPE}",
        "licence": ESCAPE,
        "command": ESCAPE,
        "data": {"name": "tiny", "class_names": [ESCAPE, "<b>b</b>"]},
        "recipe": {"skeleton": {"name": ESCAPE}, "regime": ESCAPE},
        "training": {"environment": {"commit": ESCAPE}},
    }
    seal(shelf, metadata)
    assert cli.main(["zoo", "show", shelf.name]) == 0
    shown = capsys.readouterr().out
    assert "[2J" in shown  # seen, not obeyed
    assert all(c.isprintable() for c in shown.replace("\n", ""))
    assert "[/red]" in shown.replace("\n", "")
    net = from_preset(shelf)
    assert all(name.isprintable() for name in net.class_names)
    assert dict(json.loads((shelf / METADATA).read_text()))["licence"] == ESCAPE


@pytest.mark.parametrize("text", [ESCAPE, "\ud800", "a\x00b", "a\u2028b"])
def test_printable_text_prints(text):
    from dlgn_keras.tools.messages import one_line, printable

    assert printable(text).isprintable()
    assert one_line(f"a\n\tb {text}").startswith("a b ")
    assert printable("Ärger, 数字 ±") == "Ärger, 数字 ±"


@pytest.mark.parametrize("name", ["KERAS_HOME", "DLGN_KERAS_ZOO"])
def test_a_home_that_is_nobodys_is_one_line(monkeypatch, home, name):
    monkeypatch.setenv(name, "~no_such_user/x")
    refused(lambda: find("https://127.0.0.1:9/x"), name) if name == "KERAS_HOME" else (
        refused(dk.presets, name)
    )
    refused(lambda: find("~no_such_user/x"), "preset='~no_such_user/x'")


def test_paths_too_long_for_any_disk_are_told(home):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find("/" + "a" * 5000)
    refused(lambda: find("a" * 5000), "No preset is called")
