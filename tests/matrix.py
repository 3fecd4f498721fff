"""Run the tests once per backend, each in a process of its own.

    python tests/matrix.py [--backends tensorflow,jax,torch] [--at-once 2] [pytest ...]

Everything else goes to pytest. Several backends share out the cases of the tests that
are theirs; `--backends jax` runs them all on JAX. Ends with a verdict and each run's
closing lines; the exit code is 1 if any run failed.
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import tempfile
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
KEEP_EVERY_PROGRAM = {
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
THREADS = ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
# What is per backend: layers, models, contributions, gradients, features, training.
# Each backend runs every test of these, and its part of every test's cases; a test
# marked `once` runs on the last one.
EVERY = (
    "interpret/test_contributions.py",
    "kernels/test_features.py",
    "kernels/test_ntk.py",
    "layers",
    "models/test_disentangle.py",
    "models/test_families.py",
    "models/test_keras_ways.py",
    "models/test_stage_fields.py",
    "models/test_theory.py",
    "presets/test_load.py",
    "test_gates.py",
    "training/test_augmentation.py",
    "training/test_build.py",
    "training/test_captured.py",
    "training/test_devices.py",
    "training/test_fit.py",
    "training/test_many.py",
    "training/test_optimizers.py",
    "training/test_resume.py",
    "training/test_trainer.py",
    "training/test_tricks.py",
)
# What only some backends can do, or what was made for one: {backend: files}.
ALONE = {
    "tensorflow": (
        "models/test_export.py",
        "models/test_kept.py",
        "models/test_onnx.py",
    ),
    "jax": (
        "estimators",  # one of its claims holds for JAX's draws alone
        "kernels/test_spread.py",
        "models/test_jit_off.py",
        "models/test_kept.py",
        "models/test_onnx_on_jax.py",
        "training/test_cuda.py",
    ),
    "torch": ("models/test_kept.py", "models/test_onnx.py"),
}
# Of the cases, by how soon a backend is done with one: JAX compiles eager calls too.
SHARES = {"tensorflow": 1, "jax": 1, "torch": 4}
# Whole runs, which promise equal bits on JAX, and documents, which train for longer.
ONCE = (
    "experiments",
    "test_cli.py",
    "test_docs.py",
    "test_notebooks.py",
    "test_readme.py",
)
# These run on the first backend there is, and all the rest on one without compiling.
ONCE_ON = ("jax", "tensorflow", "torch")
REST_ON = ("torch", "tensorflow", "jax")


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
    """(name, backend, pytest's arguments) of each run, the longest first.

    As given, if paths are given. A test's cases are shared out among the backends; a
    backend that runs by itself takes them all.
    """
    if any((ROOT / part.partition("::")[0]).exists() for part in arguments):
        return [(backend, backend, arguments) for backend in backends]
    parts, start, whole = [], 0, sum(SHARES[backend] for backend in backends)
    for backend in backends:
        end = start + SHARES[backend]
        own = under_tests(ALONE.get(backend, ()))
        part = f"--part={start / whole:.3f}-{end / whole:.3f}"
        undivided = f"--undivided={','.join(own)}"
        files = [*under_tests(EVERY), *own]
        parts.append((backend, backend, [*files, part, undivided, *arguments]))
        start = end
    alone = {name for names in ALONE.values() for name in names}
    elsewhere = [f"--ignore={path}" for path in under_tests((*EVERY, *alone, *ONCE))]
    rest_on, once_on = (
        next(backend for backend in order if backend in backends)
        for order in (REST_ON, ONCE_ON)
    )
    rest = ("rest", rest_on, [*elsewhere, *arguments])
    runs = ("runs", once_on, [*under_tests(ONCE), *arguments])
    return [rest, runs, *parts[::-1]]


def under_tests(names):
    return [f"tests/{name}" for name in names]


def run(name, backend, arguments, shared):
    """Run pytest under one backend, its lines shown as they come."""
    environment = {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "PYTHONUNBUFFERED": "1",
        **shared,
    }
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

    with tempfile.TemporaryDirectory(prefix="compiled-") as programs:
        shared = {"JAX_COMPILATION_CACHE_DIR": programs, **KEEP_EVERY_PROGRAM}
        if threads:  # runs side by side share the cores
            shared |= dict.fromkeys(THREADS, str(threads))
        with ThreadPoolExecutor(options.at_once) as pool:
            started = [
                pool.submit(run, *job, shared) for job in jobs(backends, arguments)
            ]
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
