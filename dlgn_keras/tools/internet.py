"""Ask within seconds whether a server can be reached."""

import threading


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

    # A name look-up has no timeout and may hang: wait for a thread, not for it.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)
