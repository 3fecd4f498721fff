"""Where a name leads: a folder, a zoo, an address, in this order."""

import json
import shutil

import pytest

from dlgn_keras.presets import find, from_preset, presets, zoo_folders


@pytest.fixture
def zoo(originals, monkeypatch):
    """The tiny presets as the only zoo that DLGN_KERAS_ZOO names."""
    folder = originals["dlgn"].parent
    monkeypatch.setenv("DLGN_KERAS_ZOO", str(folder))
    return folder


def test_a_name_is_looked_up_in_the_zoo_of_the_environment(zoo):
    assert find("dlgn_fc_tiny") == zoo / "dlgn_fc_tiny"


def test_a_path_wins_over_a_name(zoo, originals, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copytree(originals["dnn"], tmp_path / "dlgn_fc_tiny")
    assert find("dlgn_fc_tiny").resolve() == tmp_path / "dlgn_fc_tiny"
    assert from_preset("dlgn_fc_tiny").family == "dnn"
    shutil.rmtree(tmp_path / "dlgn_fc_tiny")
    assert from_preset("dlgn_fc_tiny").family == "dlgn"


def test_an_empty_folder_of_the_name_does_not_hide_the_zoo(zoo, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dlgn_fc_tiny").mkdir()
    assert find("dlgn_fc_tiny") == zoo / "dlgn_fc_tiny"


def test_the_first_zoo_wins(zoo, originals, tmp_path, monkeypatch):
    shutil.copytree(originals["dnn"], tmp_path / "first" / "dlgn_fc_tiny")
    monkeypatch.setenv("DLGN_KERAS_ZOO", f"{tmp_path / 'first'}:{zoo}")
    assert find("dlgn_fc_tiny") == tmp_path / "first" / "dlgn_fc_tiny"
    assert find("dgn_fc_tiny") == zoo / "dgn_fc_tiny"
    assert zoo_folders()[:2] == [tmp_path / "first", zoo]


def test_the_zoo_of_the_folder_one_stands_in_is_found(originals, tmp_path, monkeypatch):
    monkeypatch.delenv("DLGN_KERAS_ZOO", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copytree(originals["dlgn"], tmp_path / "zoo" / "odd_fc_tiny")
    (tmp_path / "zoo" / "index.json").write_text('{"presets": []}')
    assert find("odd_fc_tiny") == tmp_path / "zoo" / "odd_fc_tiny"


@pytest.mark.parametrize(
    "name", ["..", ".", "", "DLGN", "a b", "a;b", "a\0b", "ä", "-x", "a\\..\\b", "a.b"]
)
def test_a_name_can_lead_nowhere_but_into_a_zoo(zoo, name):
    with pytest.raises((ValueError, FileNotFoundError), match="preset"):
        from_preset(name)


@pytest.mark.parametrize("path", ["dlgn_fc_tiny/../../x", "/no/such", "./x", "a/\0"])
def test_a_path_that_is_not_there_is_told_as_such(zoo, path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        find(path)


def test_a_folder_that_is_no_preset_is_told_as_such(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"where no metadata\.json is"):
        from_preset(tmp_path)


def test_an_unknown_name_is_answered_with_the_closest(zoo):
    with pytest.raises(ValueError, match="Did you mean 'dlgn_fc_tiny'"):
        find("dlgn_fc_tyni")


@pytest.mark.parametrize(
    "address", ["ftp://host/x", "file:///etc", "http://", "://", "s3://bucket/x"]
)
def test_an_address_of_another_kind_is_refused(address):
    with pytest.raises(ValueError, match="must be https://"):
        find(address)


def test_the_index_says_where_to_fetch_what_is_not_here(
    server, home, tmp_path, monkeypatch
):
    root, asked = server
    row = {"name": "dgn_fc_far", "handle": f"{root}/dgn_fc_tiny"}
    (tmp_path / "index.json").write_text(json.dumps({"presets": [row]}))
    monkeypatch.setenv("DLGN_KERAS_ZOO", str(tmp_path))
    assert from_preset("dgn_fc_far").family == "dgn"
    assert "/dgn_fc_tiny/config.json" in asked


def test_the_table_lists_every_preset_and_picks_rows(zoo):
    table = presets()
    tiny = [name for name in table.names if name.endswith("_tiny")]
    assert tiny == ["dgn_fc_tiny", "dlgn_fc_tiny", "dnn_fc_tiny"]
    assert presets(family="dnn", data="tiny").names == ("dnn_fc_tiny",)
    assert (
        table["dlgn_fc_tiny"].parameters == from_preset("dlgn_fc_tiny").count_params()
    )
    assert len(table[:2]) == 2
    assert table[0].name == table.names[0]
    lines = repr(table).splitlines()
    assert len(lines) == len(table) + 1
    assert len({len(line) for line in lines}) == 1


def test_the_table_says_what_is_wrong_with_a_question(zoo):
    with pytest.raises(ValueError, match="Did you mean 'family'"):
        presets(familly="dnn")
    with pytest.raises(KeyError, match="Did you mean 'dlgn_fc_tiny'"):
        presets()["dlgn_fc_tin"]
