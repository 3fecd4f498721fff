"""reachable: yes to any answer, no to silence, and never a long wait."""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from dlgn_keras.tools.internet import reachable


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def serve(status):
    """Run a web server that answers everything with one status; return its address."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self):
            self.send_response(status)
            self.end_headers()

        do_HEAD = do_CONNECT = answer

        def log_message(self, format, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    return server, f"http://127.0.0.1:{server.server_port}"


@pytest.fixture
def silent():
    """Return the address of a socket that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("status", [200, 404, 500])
def test_any_answer_will_do(status):
    server, address = serve(status)
    assert reachable(address)
    server.shutdown()
    server.server_close()
    assert not reachable(address)  # the same address, nobody there


def test_a_host_without_a_name_is_not_reachable():
    assert not reachable("https://no-such-host.invalid")


def test_a_silent_host_is_given_up_in_time(silent):
    start = time.monotonic()
    assert not reachable(silent, timeout=0.3)
    assert time.monotonic() - start < 2


def test_a_proxy_that_refuses_makes_the_host_unreachable(monkeypatch):
    server, address = serve(403)
    monkeypatch.setenv("HTTPS_PROXY", address)
    assert not reachable("https://example.org")
    server.shutdown()
    server.server_close()
