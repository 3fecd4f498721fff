"""Tiny presets on disk, and a real web server that hands them out."""

import functools
import http.server
import shutil
import threading

import pytest
import tiny

from dlgn_keras.data import Preprocessing
from dlgn_keras.presets.files import METADATA

PIXELS = Preprocessing(scale=1 / 255, raw_range=(0, 255))


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    """{family: folder} of a tiny preset of each family, never to be written into."""
    root = tmp_path_factory.mktemp("zoo")
    return {
        family: tiny.build(family, "fc", preprocessing=PIXELS, seed=3).save_to_preset(
            root / f"{family}_fc_tiny", metadata={"data": {"name": "tiny"}}
        )
        for family in tiny.FAMILIES
    }


@pytest.fixture
def preset(originals, tmp_path):
    """A copy of the tiny DLGN preset, to damage at will."""
    return shutil.copytree(originals["dlgn"], tmp_path / "zoo" / "dlgn_fc_tiny")


@pytest.fixture
def server(originals):
    """The tiny presets behind http; gives (address of the root, list of requests)."""
    asked = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    root = originals["dlgn"].parent
    assert (originals["dlgn"] / METADATA).is_file()
    handler = functools.partial(Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.05,))
        thread.start()
        yield f"http://127.0.0.1:{running.server_address[1]}", asked
        running.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty cache, and no word of being offline."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "home"))
    for name in ("DLGN_KERAS_OFFLINE", "HF_HUB_OFFLINE", "DLGN_KERAS_ZOO"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "home"
