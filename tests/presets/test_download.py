"""Presets over the network: checked, whole or not at all, and quick to say no."""

import contextlib
import http.server
import socket
import sys
import threading
import time

import forked
import pytest

from dlgn_keras.presets import find, from_preset
from dlgn_keras.presets.download import cache_folder
from dlgn_keras.presets.files import METADATA, sha256
from dlgn_keras.tools import internet


def test_a_preset_comes_once_over_http_and_then_from_the_cache(server, home):
    root, asked = server
    net = from_preset(f"{root}/dlgn_fc_tiny")
    assert net.family == "dlgn"
    fetched = len(asked)
    assert fetched == 4
    from_preset(f"{root}/dlgn_fc_tiny/")
    assert len(asked) == fetched
    assert [p.name for p in cache_folder().iterdir() if p.name.startswith(".")] == []


def test_offline_answers_at_once_and_the_cache_still_serves(server, home, monkeypatch):
    root, asked = server
    from_preset(f"{root}/dlgn_fc_tiny")
    monkeypatch.setenv("DLGN_KERAS_OFFLINE", "1")
    assert from_preset(f"{root}/dlgn_fc_tiny").family == "dlgn"
    before, started = len(asked), time.perf_counter()
    with pytest.raises(FileNotFoundError, match="asks for no network"):
        find(f"{root}/dnn_fc_tiny")
    assert time.perf_counter() - started < 1
    assert len(asked) == before


def test_no_server_is_told_within_seconds_and_leaves_nothing(home):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/dlgn_fc_tiny"
    started = time.perf_counter()
    with pytest.raises(FileNotFoundError, match="cannot be reached"):
        find(address)
    assert time.perf_counter() - started < 8
    assert not cache_folder().exists()


def test_a_preset_the_server_lacks_is_told(server, home):
    with pytest.raises(ValueError, match=r"Cannot fetch .*404"):
        find(f"{server[0]}/no_such_preset")
    assert list(cache_folder().iterdir()) == []


@pytest.mark.parametrize("name", ["config.json", "model.weights.h5", "golden.npz"])
def test_a_file_changed_on_the_server_never_reaches_the_cache(
    name, server, home, originals
):
    path = originals["dgn"] / name
    whole = path.read_bytes()
    try:
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        with pytest.raises(ValueError, match="Cannot fetch"):
            find(f"{server[0]}/dgn_fc_tiny")
    finally:
        path.write_bytes(whole)
    assert list(cache_folder().iterdir()) == []
    assert from_preset(f"{server[0]}/dgn_fc_tiny").family == "dgn"


def test_a_pin_holds_the_metadata_to_a_hash(server, home, originals):
    good = sha256(originals["dnn"] / METADATA)
    assert find(f"{server[0]}/dnn_fc_tiny#sha256={good}").is_dir()
    with pytest.raises(ValueError, match="Cannot fetch"):
        find(f"{server[0]}/dnn_fc_tiny#sha256={'0' * 64}")
    with pytest.raises(ValueError, match="64 hex digits"):
        find(f"{server[0]}/dnn_fc_tiny#sha256=12")


def test_a_cache_that_cannot_be_written_is_told(server, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "file"))
    with pytest.raises(ValueError, match=r"cannot be written.*Set KERAS_HOME"):
        find(f"{server[0]}/dlgn_fc_tiny")


def test_damage_in_the_cache_is_noticed(server, home):
    folder = find(f"{server[0]}/dlgn_fc_tiny")
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="is damaged"):
        from_preset(f"{server[0]}/dlgn_fc_tiny")


FIRST_USE = """
import sys
from dlgn_keras.presets import from_preset
print(from_preset(sys.argv[1]).count_params())
"""


def test_two_processes_may_load_a_preset_for_the_first_time_together(
    server, home, tmp_path
):
    running = [
        forked.start(
            FIRST_USE,
            f"{server[0]}/dlgn_fc_tiny",
            folder=tmp_path / name,
            KERAS_HOME=str(home),
        )
        for name in ("one", "other")
    ]
    codes = [process.wait() for process in running]
    assert codes == [0, 0], [process.errors() for process in running]
    assert len({process.printed() for process in running}) == 1
    assert len(list((home / "dlgn_keras").iterdir())) == 1


@pytest.mark.parametrize(
    "address",
    ["hf://", "hf://one", "hf://a/b/c", "hf://a/../b", "hf://../b", "hf://a/b@"],
)
def test_a_hub_address_of_another_form_is_refused(address, home):
    with pytest.raises(ValueError, match="hf://owner/repository"):
        find(address)


def test_the_hub_without_its_client_says_what_to_install(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ImportError, match="pip install huggingface_hub"):
        find("hf://owner/repository")


# -- servers made to harm ------------------------------------------------------


def stalling(handler):
    time.sleep(5)


def dripping(handler):
    for _ in range(50):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def endless(handler):
    while True:
        handler.wfile.write(b" " * 10**6)


@pytest.mark.parametrize("headers", [True, False])
@pytest.mark.parametrize("harm", [stalling, dripping, endless])
def test_no_server_is_waited_for_without_end(
    harm, headers, home, originals, monkeypatch
):
    """`headers`: whether the answer gets as far as its body, without a length."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_HEAD(self):
            self.send_response(200)
            self.end_headers()

        def do_GET(self):
            if self.path.endswith(METADATA):
                self.send_response(200)
                self.end_headers()
                self.wfile.write((originals["dgn"] / METADATA).read_bytes())
                return
            if headers:
                self.send_response(200)
                self.end_headers()
            else:
                self.wfile.write(b"HTTP/1.0 200 OK\r\nX-Long: ")
            with contextlib.suppress(OSError):
                harm(self)

    monkeypatch.setattr(internet, "SILENCE", 0.5)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, args=(0.05,)).start()
        started = time.perf_counter()
        with pytest.raises(ValueError, match=r"Cannot fetch .*/config\.json"):
            find(f"http://127.0.0.1:{running.server_address[1]}/dgn_fc_tiny")
        assert time.perf_counter() - started < 4
        running.shutdown()
    assert list(cache_folder().iterdir()) == []


def test_a_slow_server_is_waited_for(home, originals, monkeypatch, server, tmp_path):
    """The limits that end the others let an ordinary download pass."""
    monkeypatch.setattr(internet, "SILENCE", 0.5)
    internet.download(f"{server[0]}/dgn_fc_tiny/{METADATA}", tmp_path / "a", 10**5)
    assert (tmp_path / "a").read_bytes() == (originals["dgn"] / METADATA).read_bytes()
    with pytest.raises(ValueError, match="more than 100 bytes"):
        internet.download(f"{server[0]}/dgn_fc_tiny/{METADATA}", tmp_path / "a", 100)


KILLED = """
import os, signal, sys
from dlgn_keras.presets import download
def killed(url, path, largest):
    path.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
download.download = killed
download.fetch(sys.argv[1])
"""


def test_what_a_killed_download_left_is_swept(server, home, tmp_path):
    address = f"{server[0]}/dlgn_fc_tiny"
    process = forked.start(KILLED, address, folder=tmp_path, KERAS_HOME=str(home))
    assert process.wait() == forked.KILLED, process.errors()
    (left,) = cache_folder().iterdir()
    assert (left / METADATA).read_text() == "half"
    folder = find(address)
    assert list(cache_folder().iterdir()) == [folder]
