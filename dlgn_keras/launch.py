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
from collections.abc import MutableMapping, Sequence
from pathlib import Path


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

    They come from compiled code that ignores Python's settings. Whatever was
    held back is shown if the import fails.
    """
    if not is_command_line(sys.orig_argv):
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            importlib.import_module("keras")
        except BaseException:  # an interruption too; it goes on
            held_back.seek(0)
            os.write(terminal, held_back.read())
            raise
        finally:
            os.dup2(terminal, 2)
            os.close(terminal)
