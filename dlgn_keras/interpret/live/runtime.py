"""onnxruntime-web, packed by npm, checked by its hash, put into one script."""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

NAME, VERSION = "onnxruntime-web", "1.22.0"
SHA256 = "e293551f9d36d003e293d0f2937fee7b3dfdcef76d71d1449b55e2d4157c7aea"
PARTS = ("ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")


def runtime_script(package: Any = None) -> tuple[str, str]:
    """Return one script with all of onnxruntime-web, and what it is and its licence.

    Args:
        package: the npm package as a file; None lets npm fetch it.

    Raises:
        ValueError: a file with another hash.
        OSError: no npm, or no package fetched.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = _fetched(folder) if package is None else Path(package)
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != SHA256:
            raise ValueError(
                f"`runtime` must be the npm package {NAME} {VERSION}, of SHA-256 "
                f"{SHA256[:12]}... Received: {path.name} of {found[:12]}..."
            )
        with tarfile.open(path) as packed:
            library, glue, wasm = (
                _member(packed, f"package/dist/{part}") for part in PARTS
            )
            about = json.loads(_member(packed, "package/package.json"))
    # Pages opened from the disk may not fetch files: all is in the script.
    texts = {"glue": glue, "wasm": wasm}
    held = {k: base64.b64encode(v).decode() for k, v in texts.items()}
    script = f"{library.decode()}\nconst RUNTIME = {json.dumps(held)};\n"
    notice = (
        f"runtime.js holds {NAME} {about['version']}, licence {about['license']}, "
        f"(c) Microsoft Corporation, as published on npm:\n"
        f"{', '.join(PARTS)}; SHA-256 of the package {SHA256}.\n"
    )
    return script, notice


def _fetched(folder: str) -> Path:
    npm = shutil.which("npm")
    if npm is None:
        raise OSError(
            f"The page needs npm to fetch {NAME} {VERSION}, or --runtime FILE with "
            "the package that `npm pack` writes."
        )
    command = [npm, "pack", f"{NAME}@{VERSION}", "--silent"]
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )
    found = list(Path(folder).glob("*.tgz"))
    if done.returncode or not found:
        lines = done.stderr.strip().splitlines() or ["no file"]
        raise OSError(f"npm could not fetch {NAME} {VERSION}: {lines[0][:120]}.")
    return found[0]


def _member(packed: tarfile.TarFile, name: str) -> bytes:
    file = packed.extractfile(name)
    if file is None:
        raise ValueError(f"The npm package has no {name}.")
    return file.read()
