"""Run the tests once per backend, each in a process of its own.

    python tests/matrix.py [--backends tensorflow,jax,torch] [--at-once 2] [pytest ...]

Everything else goes to pytest. Ends with a verdict and each run's closing lines;
the exit code is 1 if any run failed.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
BACKENDS = ("tensorflow", "jax", "torch")
CLOSING_LINES = 12
PRINTING = threading.Lock()
# What has no backend in it, or starts every backend itself: once is enough, in runs of
# their own.
ONCE = (
    "data",
    "experiments",
    "interpret/test_faithfulness.py",
    "interpret/test_plots.py",
    "interpret/test_report.py",
    "interpret/test_top_paths.py",
    "kernels/test_classifier.py",
    "kernels/test_measures.py",
    "kernels/test_spread.py",
    "kernels/test_tiles.py",
    "models/test_quantized.py",
    "paths",
    "presets/test_command.py",
    "presets/test_download.py",
    "presets/test_find.py",
    "presets/test_push.py",
    "skeletons",
    "test_backends.py",
    "test_cli.py",
    "test_imports.py",
    "test_wheel.py",
    "trees",
    "training/test_classifier.py",
    "tuning",
    "zoo/test_build.py",
    "zoo/test_cards.py",
)
DOCS = ("test_docs.py", "test_doctests.py", "test_notebooks.py")
ONCE_ON = ("jax", "torch", "tensorflow")  # the first of these there is


class Run(NamedTuple):
    """One run's outcome: pytest's exit code, its last lines, wall seconds."""

    name: str
    code: int
    closing: list[str]
    seconds: float


def say(line):
    with PRINTING:
        print(line, flush=True)


def jobs(backends, arguments):
    """(name, backend, pytest's arguments) of each run; as given, if paths are given."""
    if any((ROOT / part.partition("::")[0]).exists() for part in arguments):
        return [(backend, backend, arguments) for backend in backends]
    ignored = [f"--ignore=tests/{name}" for name in (*ONCE, *DOCS)]
    once_on = next(backend for backend in ONCE_ON if backend in backends)
    by_backend = [(b, b, [*ignored, *arguments]) for b in backends]
    once, docs = [
        (name, once_on, [*(f"tests/{part}" for part in parts), *arguments])
        for name, parts in (("once", ONCE), ("docs", DOCS))
    ]
    # The short ones last, so that no core is left alone with a long one.
    return [*by_backend[:2], once, *by_backend[2:], docs]


def run(name, backend, arguments, threads):
    """Run pytest under one backend, its lines shown as they come."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONUNBUFFERED": "1",
    }
    if threads:  # runs side by side share the cores
        environment["OMP_NUM_THREADS"] = str(threads)
    start = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    closing = deque(maxlen=CLOSING_LINES)
    for line in process.stdout or ():
        say(f"[{name}] {line.rstrip()}")
        closing.append(line.rstrip())
    return Run(name, process.wait(), list(closing), time.monotonic() - start)


def closing_lines(lines):
    """The last lines that matter: failures by name, and pytest's count."""
    marks = ("FAILED", "ERROR")
    return [line for line in lines[:-1] if line.startswith(marks)] + lines[-1:]


def main(argv):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    installed = [b for b in BACKENDS if importlib.util.find_spec(b)]
    parser.add_argument("--backends", default=",".join(installed))
    parser.add_argument("--at-once", type=int, default=min(2, os.cpu_count() or 1))
    options, arguments = parser.parse_known_args(argv)
    backends = options.backends.split(",")
    unknown = sorted(set(backends) - set(installed))
    if unknown or options.at_once < 1:
        parser.error(
            f"--backends must be among the installed {', '.join(installed)} and "
            f"--at-once at least 1. Received: {options.backends}, {options.at_once}."
        )
    cores = os.cpu_count() or 1
    threads = max(1, cores // options.at_once) if options.at_once > 1 else 0

    with ThreadPoolExecutor(options.at_once) as pool:
        started = [pool.submit(run, *job, threads) for job in jobs(backends, arguments)]
        runs = [future.result() for future in started]
    failed = [done.name for done in runs if done.code]
    verdict = f"failed on {', '.join(failed)}" if failed else "passed on every backend"
    say(f"\nmatrix: {verdict} ({', '.join(backends)})")
    for done in runs:
        say(f"\n== {done.name}: {done.seconds:.0f} s")
        for line in closing_lines(done.closing):
            say(line)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
