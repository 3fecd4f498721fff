"""How much memory there is."""

GIGABYTE = 10**9


def memory_bound(gigabytes: float | None = None) -> int:
    """Return bytes: those of `gigabytes`, by default a quarter of the free memory.

    Raises:
        ValueError: a number that is not at least 0.
    """
    if gigabytes is None:
        import psutil

        return psutil.virtual_memory().available // 4
    if isinstance(gigabytes, bool) or not 0 <= gigabytes < float("inf"):
        raise ValueError(
            "`memory` must be a number of gigabytes, at least 0. "
            f"Received: memory={gigabytes!r}."
        )
    return int(gigabytes * GIGABYTE)
