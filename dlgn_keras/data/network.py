"""Is there a way to a host? An answer within seconds."""

import threading


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Return whether a server answers at `url`, whatever it answers.

    Asks as tensorflow-datasets itself does, through `requests`: the same proxies,
    the same certificates.

    Args:
        url: http or https address.
        timeout: seconds in all.
    """
    import requests

    answers = []

    def ask() -> None:
        try:
            answers.append(requests.head(url, timeout=timeout).status_code)
        except requests.RequestException:
            pass

    # A name look-up knows no timeout and may hang: so wait for a thread, not for it.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return bool(answers)
