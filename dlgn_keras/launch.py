"""The command line's choice of backend, made before Keras is imported.

Keras reads KERAS_BACKEND once, when it is imported, and importing this package
imports Keras. So when the program is `dlgn-keras` (or `python -m dlgn_keras`),
its `--backend` must be known first. Nothing happens in any other program.
"""

import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from importlib.abc import Loader
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any


def is_command_line(argv: Sequence[str]) -> bool:
    """Return whether these interpreter arguments run the dlgn-keras program."""
    if "-m" in argv[1:]:
        after = argv.index("-m", 1) + 1
        return argv[after : after + 1] == ["dlgn_keras"]
    return any(Path(part).stem == "dlgn-keras" for part in argv[:2])


def choose_backend(
    argv: Sequence[str] | None = None, environ: MutableMapping[str, str] | None = None
) -> None:
    """Set KERAS_BACKEND from `--backend NAME` or `--backend=NAME` of the program.

    Args:
        argv: interpreter and its arguments; this process' own if None.
        environ: where to set it; this process' own if None.

    Example:
        >>> from dlgn_keras.launch import choose_backend
        >>> environ = {}
        >>> choose_backend(
        ...     ["python", "/bin/dlgn-keras", "train", "--backend", "jax"], environ)
        >>> environ["KERAS_BACKEND"]
        'jax'
    """
    argv = list(sys.orig_argv if argv is None else argv)
    environ = os.environ if environ is None else environ
    if not is_command_line(argv):
        return
    environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "KERAS_BACKEND" not in environ and not _is_installed("tensorflow"):
        installed = [name for name in ("jax", "torch") if _is_installed(name)]
        if installed:
            environ["KERAS_BACKEND"] = installed[0]
    for part, following in zip(argv, [*argv[1:], ""], strict=True):
        if part == "--backend" and following:
            environ["KERAS_BACKEND"] = following
        elif part.startswith("--backend="):
            environ["KERAS_BACKEND"] = part.partition("=")[2]


def _is_installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def import_keras_quietly() -> None:
    """In the dlgn-keras program, keep TensorFlow's start-up lines off the terminal.

    They come from compiled code that ignores Python's settings, and under JAX and
    torch later, when Keras first asks for TensorFlow. What was held back is shown
    if the import fails.
    """
    if not is_command_line(sys.orig_argv):
        return
    with _held_back():
        importlib.import_module("keras")
    sys.meta_path.insert(0, _TensorFlowFinder)


@contextmanager
def _held_back() -> Iterator[None]:
    """Keep standard error to ourselves, also from compiled code."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)
        try:
            yield
        except BaseException:  # an interruption too; it goes on
            lines.seek(0)
            os.write(terminal, lines.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class _TensorFlowFinder:
    """Finds TensorFlow where Python would, with a loader that holds its lines back."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        spec = PathFinder.find_spec(name) if name == "tensorflow" else None
        if spec is not None and spec.loader is not None:
            spec.loader = _QuietLoader(spec.loader)
        return spec


class _QuietLoader(Loader):
    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: Any) -> None:
        module.__loader__ = module.__spec__.loader = self._loader
        with _held_back():
            self._loader.exec_module(module)
