"""Programs in forks of one process that has imported the package, and done no more.

A process of its own imports Keras and its backend for 5 to 15 seconds before its first
line. The server of these forks computes nothing: a fork of JAX's threads would hang.
"""

import multiprocessing
import os
import sys

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["dlgn_keras"])
KILLED = -9


class Program:
    """A program's process, and what it printed once it has ended."""

    def __init__(self, source, arguments, folder, environ):
        folder.mkdir(parents=True, exist_ok=True)
        self.out, self.err = folder / "stdout", folder / "stderr"
        files = os.fspath(self.out), os.fspath(self.err)
        arguments = [str(argument) for argument in arguments]
        process = CONTEXT.Process(target=_run, args=(source, arguments, files, environ))
        process.start()
        self.process = process

    def poll(self):
        return self.process.exitcode

    def kill(self):
        self.process.kill()

    def wait(self, timeout=300):
        """The exit code: negative, a signal's number, if one ended it."""
        self.process.join(timeout)
        if self.process.exitcode is None:
            self.kill()
            raise TimeoutError(f"still at work after {timeout} s: {self.errors()}")
        return self.process.exitcode

    def printed(self):
        return self.out.read_text()

    def errors(self):
        return self.err.read_text() if self.err.exists() else ""


def start(source, *arguments, folder, **environ):
    """Start a Python source; what it prints goes to files in `folder`."""
    return Program(source, arguments, folder, environ)


def _run(source, arguments, files, environ):
    for number, path in enumerate(files, start=1):
        with open(path, "w") as file:
            os.dup2(file.fileno(), number)
    os.environ.update(environ)
    sys.argv = ["-c", *arguments]
    exec(compile(source, "<program>", "exec"), {"__name__": "__main__"})
