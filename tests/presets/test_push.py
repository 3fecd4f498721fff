"""push: a preset to a folder and, the network alone faked, to the hub."""

import json
import shutil
import subprocess
import sys
import types

import numpy as np
import pytest

from dlgn_keras import cli
from dlgn_keras.presets import find, from_preset, push
from dlgn_keras.presets.files import METADATA, check_files, read_metadata, seal, sha256

CARD = "# Tiny\n"


@pytest.fixture
def carded(preset):
    """A tiny preset with a card, and a file that is no part of it."""
    (preset / "CARD.md").write_text(CARD)
    seal(preset, {**read_metadata(preset), "name": "dlgn_fc_tiny"})
    (preset / "notes.txt").write_text("mine alone")
    return preset


def listed(folder):
    return sorted(path.name for path in folder.iterdir())


FILES = ["CARD.md", "config.json", "golden.npz", METADATA, "model.weights.h5"]


def test_a_preset_in_a_folder_of_its_own_is_the_same_preset(carded, tmp_path):
    pushed = push(carded, tmp_path / "shelf" / "copy")
    copy = tmp_path / "shelf" / "copy"
    assert pushed == ("dlgn_fc_tiny", str(copy), 5)
    assert listed(copy) == FILES
    assert listed(copy.parent) == ["copy"]
    check_files(copy)
    for ours, theirs in zip(
        from_preset(carded).get_weights(),
        from_preset(pushed.address).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_an_older_copy_is_replaced_and_nothing_else(carded, originals, tmp_path):
    place = tmp_path / "copy"
    push(carded, place)
    (carded / "CARD.md").write_text("# Newer\n")
    seal(carded, read_metadata(carded))
    push(carded, place)
    assert (place / "CARD.md").read_text() == "# Newer\n"
    for other in (originals["dgn"], carded.parent):
        before = listed(other)
        with pytest.raises(ValueError, match="`to` must be a new or empty folder"):
            push(carded, other)
        assert listed(other) == before
    with pytest.raises(ValueError, match="another folder than the preset's"):
        push(carded, carded)


@pytest.mark.parametrize("damage", ["bytes", "logits"])
def test_a_preset_that_does_not_hold_goes_nowhere(damage, carded, originals, tmp_path):
    if damage == "bytes":
        (carded / "config.json").write_text("{}")
    else:  # every hash right, the logits another model's
        shutil.copyfile(originals["dgn"] / "golden.npz", carded / "golden.npz")
        seal(carded, read_metadata(carded))
    with pytest.raises(ValueError, match=r"is damaged|differ from the golden ones"):
        push(carded, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


class Hub:
    """The hub's client over a folder: what it is sent is what it hands out."""

    def __init__(self, root):
        self.root, self.asked, self.harm = root, [], None

    def create_repo(self, repo_id, *, private, exist_ok):
        self.asked.append(("create", repo_id, private, exist_ok))

    def model_info(self, repo_id, *, revision, files_metadata, timeout):
        assert files_metadata
        folder = self.root / repo_id.replace("/", "--") / revision
        sizes = {path.name: path.stat().st_size for path in folder.iterdir()}
        if self.harm == "large":
            sizes["model.weights.h5"] = 10**12
        files = [types.SimpleNamespace(rfilename=k, size=v) for k, v in sizes.items()]
        return types.SimpleNamespace(siblings=files)

    def upload_folder(self, *, repo_id, folder_path, revision, commit_message):
        self.asked.append(("upload", repo_id, revision, commit_message))
        if self.harm == "refused":
            raise OSError("401 Client Error:\nlog in first")
        commit = self.root / repo_id.replace("/", "--") / "c0ffee"
        shutil.copytree(folder_path, commit)
        if self.harm == "damaged":
            (commit / "config.json").write_text("{}")
        return types.SimpleNamespace(oid="c0ffee")

    def snapshot_download(self, repo_id, *, revision, allow_patterns, local_files_only):
        assert not local_files_only
        self.asked.append(("fetch", repo_id, revision))
        return self.root / repo_id.replace("/", "--") / revision


@pytest.fixture
def hub(tmp_path, monkeypatch, home):
    hub = Hub(tmp_path / "hub")
    errors = types.SimpleNamespace(
        HfHubHTTPError=OSError, LocalEntryNotFoundError=FileNotFoundError
    )
    client = types.ModuleType("huggingface_hub")
    vars(client).update(
        HfApi=lambda: hub, snapshot_download=hub.snapshot_download, errors=errors
    )
    monkeypatch.setitem(sys.modules, "huggingface_hub", client)
    monkeypatch.setitem(sys.modules, "huggingface_hub.errors", errors)
    return hub


def test_on_the_hub_it_is_whole_pinned_and_shows_its_card(hub, carded):
    pushed = push(carded, "hf://me/tiny", private=True)
    assert hub.asked == [
        ("create", "me/tiny", True, True),
        ("upload", "me/tiny", None, "Preset dlgn_fc_tiny"),
        ("fetch", "me/tiny", "c0ffee"),
    ]
    there = hub.root / "me--tiny" / "c0ffee"
    assert listed(there) == sorted([*FILES, "README.md"])
    assert (there / "README.md").read_text() == CARD
    digest = sha256(carded / METADATA)
    assert pushed.address == f"hf://me/tiny@c0ffee#sha256={digest}"
    assert from_preset(pushed.address).family == "dlgn"


def test_what_arrives_damaged_or_not_at_all_is_told(hub, carded, monkeypatch):
    hub.harm = "damaged"
    with pytest.raises(ValueError, match="is damaged"):
        push(carded, "hf://me/tiny")
    hub.harm, fetched = "large", hub.asked.count(("fetch", "me/big", "c0ffee"))
    with pytest.raises(ValueError, match=r"hf://me/big: model.weights.h5 must have at"):
        push(carded, "hf://me/big")
    assert hub.asked.count(("fetch", "me/big", "c0ffee")) == fetched
    hub.harm = "refused"
    with pytest.raises(ValueError, match="Cannot push to hf://me/tiny: 401 Client Err"):
        push(carded, "hf://me/tiny@draft")
    assert hub.asked[-1] == ("upload", "me/tiny", "draft", "Preset dlgn_fc_tiny")
    number = len(hub.asked)
    with pytest.raises(ValueError, match="`to` must be hf://owner/repository"):
        push(carded, "hf://me")
    monkeypatch.setenv("DLGN_KERAS_OFFLINE", "1")
    with pytest.raises(FileNotFoundError, match="asks for no network"):
        push(carded, "hf://me/tiny")
    assert len(hub.asked) == number
    monkeypatch.delenv("DLGN_KERAS_OFFLINE")
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        push(carded, "hf://me/tiny")


def test_the_command_pushes_and_tells_where(carded, tmp_path, capsys):
    arguments = ["zoo", "push", str(carded), "--to", str(tmp_path / "a")]
    assert cli.main(arguments) == 0
    assert f'dk.from_preset("{tmp_path / "a"}")' in capsys.readouterr().out
    assert cli.main([*arguments[:-1], str(tmp_path / "b"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["address"] == str(tmp_path / "b")
    assert from_preset(find(told["address"])).family == "dlgn"
    for wrong, message in (
        (["zoo", "push", str(carded)], "arguments are required: "),
        (["zoo", "push", "--to", "x"], "arguments are required: "),
        (["zoo", "push", "no_such_preset", "--to", "x"], "No preset is called"),
        ([*arguments[:-1], "s3://bucket"], "`to` must be hf://owner/repository"),
    ):
        assert cli.main(wrong) == 2
        found = capsys.readouterr().err
        assert message in found
        assert found.count("\n") == 1


def test_the_real_client_has_the_functions_that_are_faked():
    """In a process of its own: importing it here would outlive the test."""
    source = (
        "import inspect, huggingface_hub as h\n"
        "up = inspect.signature(h.HfApi.upload_folder).parameters\n"
        "assert {'repo_id', 'folder_path', 'revision', 'commit_message'} <= set(up)\n"
        "make = inspect.signature(h.HfApi.create_repo).parameters\n"
        "assert {'repo_id', 'private', 'exist_ok'} <= set(make)\n"
        "info = inspect.signature(h.HfApi.model_info).parameters\n"
        "assert {'revision', 'files_metadata', 'timeout'} <= set(info)\n"
        "assert hasattr(h.CommitInfo, 'oid') or 'oid' in h.CommitInfo.__annotations__\n"
        "from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError\n"
        "assert issubclass(HfHubHTTPError, OSError)\n"
    )
    subprocess.run([sys.executable, "-c", source], check=True, timeout=120)
