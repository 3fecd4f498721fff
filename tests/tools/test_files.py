"""Folders and files appear whole or not at all."""

import pytest

from dlgn_keras.tools.files import read_json, write_text
from dlgn_keras.tools.folders import write_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_when_it_is_whole(tmp_path):
    target = tmp_path / "deep" / "mine"
    with write_folder(target) as part:
        (part / "a").write_text("1")
        assert not target.exists()
    assert names(target) == ["a"]
    assert names(target.parent) == ["mine"]


@pytest.mark.parametrize("older", [True, False])
def test_an_error_leaves_what_was_there(tmp_path, older):
    target = tmp_path / "mine"
    if older:
        target.mkdir()
        (target / "old").write_text("0")
    with pytest.raises(FileNotFoundError), write_folder(target) as part:
        (part / "no folder" / "a").write_text("1")
    assert names(tmp_path) == (["mine"] if older else [])
    assert not older or names(target) == ["old"]


@pytest.mark.parametrize(("replace", "kept"), [(True, "new"), (False, "old")])
def test_an_older_folder_is_replaced_or_kept(tmp_path, replace, kept):
    target = tmp_path / "mine"
    with write_folder(target, replace) as part:
        (part / "new").write_text("1")
        target.mkdir()  # another process was first
        (target / "old").write_text("0")
    assert names(tmp_path) == ["mine"]
    assert names(target) == [kept]


def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with (
        pytest.raises(ValueError, match=r"`folder`.*Received: folder="),
        write_folder(tmp_path / "file" / "mine"),
    ):
        pass


def test_a_damaged_json_file_is_named(tmp_path):
    path = tmp_path / "a.json"
    for text in ("{", "\xff", "[" * 100_000):
        path.write_bytes(text.encode("latin-1"))
        with pytest.raises(ValueError, match=r"a\.json is damaged"):
            read_json(path)
    write_text(path, "[1]")
    assert read_json(path) == [1]
