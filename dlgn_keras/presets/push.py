"""push: a preset to the Hugging Face hub, or to another folder, whole and checked."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from dlgn_keras.presets.download import (
    OFFLINE,
    fetch,
    hub_address,
    import_hub,
    offline,
)
from dlgn_keras.presets.files import (
    CARD,
    METADATA,
    check_files,
    read_metadata,
    sha256,
)
from dlgn_keras.presets.find import find
from dlgn_keras.presets.verify import verify
from dlgn_keras.tools.files import expanded
from dlgn_keras.tools.folders import recover, write_folder
from dlgn_keras.tools.messages import one_line


class Pushed(NamedTuple):
    """Destination of a pushed preset.

    name: the preset's. address: loads it again, by `from_preset`; on the hub with the
    revision and the sha256 of its metadata. files: how many it has.
    """

    name: str
    address: str
    files: int


def push(
    preset: str | os.PathLike[str],
    to: str | os.PathLike[str],
    *,
    private: bool = False,
) -> Pushed:
    """Copy a preset to a hub repository or to a folder, from where it loads.

    The preset is verified first (every file's sha256, the golden logits), and what
    arrived is read back and hashed again. Nothing but the files that the metadata
    name is sent; on the hub the card is shown as the repository's README.

    Args:
        preset: a name of `dk.presets()` or a folder.
        to: hf://owner/repository, made if there is none yet, or with @branch; or a
            folder, new, empty or an older copy of the same preset.
        private: whether a new repository on the hub is private.

    Returns:
        Pushed, a NamedTuple.

    Raises:
        ValueError: a preset that does not hold, a folder in the way, a hub that
            does not take it.
        FileNotFoundError: no such preset, or a hub asked for while offline.
        ImportError: hf:// without huggingface_hub.

    Example:
        >>> import tempfile
        >>> from dlgn_keras.presets import push
        >>> push("dlgn_fc_digits", tempfile.mkdtemp() + "/mine").name
        'dlgn_fc_digits'
    """
    folder = find(preset)
    target = os.fspath(to)
    if "://" in target:
        repository, revision = hub_address(target, "to")
        if offline():
            names = " or ".join(OFFLINE)
            raise FileNotFoundError(f"{names} asks for no network, `to` for the hub.")
        verify(folder)
        return _to_hub(folder, repository, revision, private)
    place = expanded(target, "to")
    recover(place.parent)
    _check_place(folder, place)
    verify(folder)
    return _to_folder(folder, place)


def _files(folder: Path) -> list[str]:
    return [METADATA, *read_metadata(folder)["sha256"]]


def _name(folder: Path) -> str:
    return str(read_metadata(folder).get("name", folder.name))


def _check_place(folder: Path, place: Path) -> None:
    if place.exists() and place.resolve() == folder.resolve():
        raise ValueError(
            f"`to` must be another folder than the preset's. Received: to={place}."
        )
    if not place.exists() or (place.is_dir() and not any(place.iterdir())):
        return
    same = (place / METADATA).is_file() and _name(place) == _name(folder)
    if not same:
        raise ValueError(
            "`to` must be a new or empty folder, or hold an older copy of "
            f"{_name(folder)!r}. Received: to={str(place)!r}."
        )


def _to_folder(folder: Path, place: Path) -> Pushed:
    with write_folder(place) as part:
        for name in _files(folder):
            shutil.copyfile(folder / name, part / name)
        check_files(part)
    return Pushed(_name(folder), str(place), len(_files(place)))


def _to_hub(
    folder: Path, repository: str, revision: str | None, private: bool
) -> Pushed:
    where = f"hf://{repository}"
    hub = import_hub(where)
    with tempfile.TemporaryDirectory() as scratch:
        sent = Path(scratch)
        for name in _files(folder):
            shutil.copyfile(folder / name, sent / name)
        if (sent / CARD).is_file():
            shutil.copyfile(sent / CARD, sent / "README.md")
        try:
            api = hub.HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repository,
                folder_path=sent,
                revision=revision,
                commit_message=f"Preset {_name(folder)}",
            )
        except Exception as error:  # the client's, its http library's, the disk's
            raise ValueError(f"Cannot push to {where}: {one_line(error)}") from None
    pin = sha256(folder / METADATA)
    address = f"{where}@{commit.oid}#sha256={pin}"
    check_files(fetch(address))
    return Pushed(_name(folder), address, len(_files(folder)))
