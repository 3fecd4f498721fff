"""What a benchmark's table must tell beside its figures: machine and versions."""

import os
import platform
import statistics
from collections.abc import Sequence

from dlgn_keras.training import environment


def header() -> str:
    """Return one line: processor, cores, load, versions."""
    facts = environment()
    versions = [f"{name} {facts[name]}" for name in ("keras", facts["backend"])]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
    busy = f"load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    return (
        f"{facts['processor']}, {cores or os.cpu_count()} cores, {busy}; "
        f"{facts['device']}; Python {platform.python_version()}, "
        f"{', '.join(versions)}, dlgn_keras {facts.get('commit', '')}"
    )


def spread(values: Sequence[float], digits: int = 2) -> str:
    """Return the median and the quartiles around it, "2.05 (2.01-2.10)"."""
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.{digits}f} ({low:.{digits}f}-{high:.{digits}f})"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a markdown table."""
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows:
        print("| " + " | ".join(row) + " |")
