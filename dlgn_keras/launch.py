"""What the dlgn-keras program prepares before Keras is imported.

Keras reads KERAS_BACKEND once, when it is imported. So the program (`dlgn-keras` or
`python -m dlgn_keras`) reads its `--backend` before it parses anything else, and
keeps TensorFlow's start-up lines off the terminal. Other programs stay as they are.
"""

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


def prepare_program() -> bool:
    """Prepare the imports of Keras if this process runs dlgn-keras; return whether."""
    if not is_command_line(sys.orig_argv):
        return False
    choose_backend(sys.orig_argv, os.environ)
    sys.meta_path.insert(0, _QuietFinder)
    return True


def choose_backend(argv: Sequence[str], environ: MutableMapping[str, str]) -> None:
    """Set KERAS_BACKEND from `--backend NAME` or `--backend=NAME` of the program.

    Without the option and without TensorFlow it becomes JAX or torch, as installed.

    Args:
        argv: the interpreter and its arguments.
        environ: the environment to change.

    Example:
        >>> from dlgn_keras.launch import choose_backend
        >>> environ = {}
        >>> choose_backend(["dlgn-keras", "train", "--backend", "jax"], environ)
        >>> environ["KERAS_BACKEND"]
        'jax'
    """
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


@contextmanager
def _held_back() -> Iterator[None]:
    """Hold back standard error, also of compiled code; show it if an import fails."""
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as lines:
        os.dup2(lines.fileno(), 2)
        try:
            yield
        except BaseException:  # an interruption too; it is raised again
            lines.seek(0)
            os.write(terminal, lines.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)


class _QuietFinder:
    """Finds Keras and TensorFlow as Python does, with a loader that is quiet.

    TensorFlow's lines come from compiled code that ignores Python's settings; under
    JAX and torch they come later, when Keras first asks for TensorFlow.
    """

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Any:
        quiet = name in ("keras", "tensorflow")
        spec = PathFinder.find_spec(name) if quiet else None
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
