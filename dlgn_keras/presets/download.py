"""Download presets: over http, or from the Hugging Face hub by its own client.

No file may be larger than its limit, and no server stays silent for long. A download
fills a folder of its own, every file is compared with the sha256 in the
metadata, and the folder is then renamed into the cache: every folder in the cache is
whole, however many processes download at once.
"""

import os
import re
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dlgn_keras.presets.files import (
    KNOWN,
    LIMITS,
    METADATA,
    check_files,
    read_metadata,
)
from dlgn_keras.presets.files import sha256 as file_sha256
from dlgn_keras.tools.files import keras_home
from dlgn_keras.tools.folders import recover, write_folder
from dlgn_keras.tools.internet import SILENCE, download, reachable
from dlgn_keras.tools.messages import one_line, printable

HUB = re.compile(r"hf://([\w-][\w.-]*/[\w-][\w.-]*)(?:@([\w-][\w./-]*))?")
PIN = re.compile(r"sha256=([0-9a-f]{64})")
OFFLINE = ("DLGN_KERAS_OFFLINE", "HF_HUB_OFFLINE")


def cache_folder() -> Path:
    """Return where downloads go: `dlgn_keras` in KERAS_HOME, default ~/.keras."""
    return keras_home() / "dlgn_keras"


def offline() -> bool:
    """Return whether the environment forbids network access."""
    values = [os.environ.get(name, "").lower() for name in OFFLINE]
    return any(value not in ("", "0", "false", "no") for value in values)


def fetch(address: str) -> Path:
    """Return the folder of the preset at an address, from the cache if it is there.

    Args:
        address: https://.../folder or hf://owner/repository[@revision], and
            #sha256=<64 hex digits> after it to pin the metadata.json.

    Raises:
        ValueError: an address of another form, damaged files, a cache folder that
            cannot be written.
        FileNotFoundError: not in the cache, and no network.
    """
    plain, _, fragment = address.partition("#")
    pin = PIN.fullmatch(fragment)
    if fragment and not pin:
        raise ValueError(
            "An address' fragment must be sha256= and 64 hex digits. "
            f"Received: {address!r}."
        )
    parts = urlsplit(plain)
    if parts.scheme == "hf":
        folder = _from_hub(plain)
    elif parts.scheme in ("http", "https") and parts.hostname:
        folder = _from_url(plain.rstrip("/"), pin and pin[1])
    else:
        raise ValueError(
            "`preset` must be https://..., http://... or hf://owner/repository. "
            f"Received: preset={address!r}."
        )
    if pin and file_sha256(folder / METADATA) != pin[1]:
        raise ValueError(f"{folder / METADATA} is not the one {address!r} asks for.")
    return folder


def _from_url(url: str, pin: str | None) -> Path:
    name = re.sub(r"[^a-z0-9_]", "_", urlsplit(url).path.rpartition("/")[2].lower())
    key = sha256(f"{url}#{pin}".encode()).hexdigest()[:16]
    folder = cache_folder() / f"{name[:64]}-{key}"
    recover(folder.parent)
    if folder.is_dir():
        return folder
    _check_network(url)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(
            f"The cache {folder.parent} cannot be written: {error.strerror}. "
            "Set KERAS_HOME to a folder that can."
        ) from None
    with write_folder(folder, replace=False) as part:
        _get(f"{url}/{METADATA}", part, pin)
        for file, digest in read_metadata(part)["sha256"].items():
            _get(f"{url}/{file}", part, digest)
        check_files(part)
    return folder


def _check_network(address: str) -> None:
    missing = f"The preset {address!r} is not in the cache {cache_folder()}, and "
    if offline():
        names = " or ".join(OFFLINE)
        raise FileNotFoundError(f"{missing}{names} asks for no network.")
    if not reachable(address):
        raise FileNotFoundError(f"{missing}its server cannot be reached.")


def _get(url: str, folder: Path, digest: str | None) -> None:
    """Download one file into a folder and compare its sha256."""
    path = folder / url.rpartition("/")[2]
    try:
        download(url, path, LIMITS[path.name])
    except Exception as error:  # the http library's, the disk's
        raise ValueError(one_line(f"Cannot fetch {url}: {error}")) from None
    found = file_sha256(path)
    if digest and found != digest:
        raise ValueError(
            f"Cannot fetch {printable(url)}: its sha256 is {found}, not {digest}."
        )


def import_hub(address: str) -> Any:
    """Return the module huggingface_hub, or say how to install it."""
    try:
        import huggingface_hub
        import huggingface_hub.errors
    except ModuleNotFoundError:
        raise ImportError(
            f"{address!r} needs huggingface_hub: `pip install huggingface_hub`."
        ) from None
    return huggingface_hub


def hub_address(address: str, argument: str = "preset") -> tuple[str, str | None]:
    """Return (owner/repository, revision or None) of hf://owner/repository@revision."""
    match = HUB.fullmatch(address)
    if match is None or ".." in address:
        raise ValueError(
            f"`{argument}` must be hf://owner/repository, or with @revision. "
            f"Received: {argument}={address!r}."
        )
    return match[1], match[2]


def _from_hub(address: str) -> Path:
    repository, revision = hub_address(address)
    hub = import_hub(address)
    try:
        if not offline():
            _check_sizes(hub, repository, revision)
        return Path(
            hub.snapshot_download(
                repository,
                revision=revision,
                allow_patterns=[METADATA, *KNOWN],
                local_files_only=offline(),
            )
        )
    except ValueError:
        raise
    except Exception as error:  # the client's, its http library's, the disk's
        raise FileNotFoundError(
            f"Cannot fetch {address!r}: {one_line(error)}"
        ) from None


def _check_sizes(hub: Any, repository: str, revision: str | None) -> None:
    """Refuse files that are too large before any is fetched."""
    try:
        files = hub.HfApi().model_info(
            repository, revision=revision, files_metadata=True, timeout=SILENCE
        )
    except Exception:  # without a network the client's own cache may serve
        return
    for file in files.siblings:
        limit = LIMITS.get(file.rfilename)
        if limit is not None and (file.size or 0) > limit:
            raise ValueError(
                f"hf://{repository}: {file.rfilename} must have at most {limit:,} "
                f"bytes. Received: {file.size:,}."
            )
