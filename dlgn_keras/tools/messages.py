"""Wording and checks shared by every error message: what was expected, what came."""

import difflib
from collections.abc import Iterable
from typing import Any


def closest(name: Any, known: Iterable[str]) -> str:
    """Return " Did you mean 'x'?" for the nearest known name, or nothing."""
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.4)
    return f" Did you mean {close[0]!r}?" if close else ""


def printable(text: str) -> str:
    r"""Return text with unprintable characters replaced by their escape codes.

    White space becomes a space, as each has a width and a direction of its own.

    Example:
        >>> printable("gone \x1b[2J\nnext")
        'gone \\x1b[2J next'
    """
    return "".join(
        c if c.isprintable() else " " if c.isspace() else ascii(c)[1:-1] for c in text
    )


def one_line(error: Any) -> str:
    """Return the text of an error, or of anything, as one line that prints."""
    return " ".join(printable(str(error)).split())


def check_choice(argument: str, value: Any, known: Iterable[str]) -> None:
    """Raise a ValueError unless `value` is one of the known names."""
    known = list(known)
    if value not in known:
        raise ValueError(
            f"`{argument}` must be one of {', '.join(known)}. "
            f"Received: {argument}={value!r}.{closest(value, known)}"
        )


def check_count(argument: str, value: Any) -> int:
    """Return `value` if it is a whole number of at least 1, else raise ValueError."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(
            f"`{argument}` must be a whole number of at least 1. "
            f"Received: {argument}={value!r}."
        )
    return value
