"""Requests with a time limit, to servers that may be down, silent or slow."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path

SILENCE = 20.0  # seconds without a byte
SLOWEST = 1000.0  # bytes per second, on average beyond the first SILENCE
PIECE = 8192


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Return whether a server answers at `url`, with whatever answer.

    Uses `requests`, as tensorflow-datasets does: the same proxies and certificates.

    Args:
        url: http or https address.
        timeout: seconds to wait in all.
    """
    import requests

    answers = []

    def ask() -> None:
        try:
            answers.append(requests.head(url, timeout=timeout).status_code)
        except requests.RequestException:
            pass

    # A name look-up has no timeout and may hang: run it in a thread.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)


@dataclass
class _Progress:
    bytes: int = 0
    error: Exception | None = None
    given_up: bool = False


def download(url: str, path: Path, largest: int) -> None:
    """Download `url` into a file.

    Args:
        url: http or https address.
        path: the file.
        largest: maximum number of bytes to accept, whatever the server announces.

    Raises:
        ValueError: more bytes.
        OSError: another answer than the file, no connection, silence of 20 seconds,
            less than 1 kB/s; the disk's errors.
    """
    done = _Progress()
    arguments = (url, path, largest, done)
    # Headers and name look-ups may take for ever: run them in a thread.
    thread = threading.Thread(target=_fetch, args=arguments, daemon=True)
    thread.start()
    start = heard = time.monotonic()
    count = 0
    try:
        while thread.is_alive():
            thread.join(min(SILENCE, 1.0))
            now = time.monotonic()
            if done.bytes > count:
                count, heard = done.bytes, now
            late = now - heard > SILENCE or now - start > SILENCE + count / SLOWEST
            if late and thread.is_alive():
                raise TimeoutError(f"{count:,} bytes in {now - start:.0f} seconds")
    finally:
        done.given_up = True
    if done.error is not None:
        raise done.error


def _fetch(url: str, path: Path, largest: int, done: _Progress) -> None:
    import requests

    plain = {"Accept-Encoding": "identity"}
    try:
        with (
            requests.get(url, stream=True, timeout=SILENCE, headers=plain) as answer,
            path.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(PIECE):
                done.bytes += len(piece)
                if done.given_up:
                    return
                if done.bytes > largest:
                    raise ValueError(f"more than {largest:,} bytes")
                file.write(piece)
    except Exception as error:
        done.error = error
