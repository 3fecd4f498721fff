"""Callbacks of a run: evaluate, save and show after every round of epochs."""

import csv
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.tools.files import write_atomically
from dlgn_keras.training import checkpoint
from dlgn_keras.training.batches import IndexChunks, Part, as_evaluated


class Epochs(keras.callbacks.Callback):
    """Start every round, evaluate it, extend the history and save a checkpoint.

    A round is the recipe's `evaluate_every` epochs; Keras counts it as one.

    Args:
        chunks: the batches to train on.
        parts: parts of the data set to evaluate, by name: {"test": ..., ...}.
        history: rows of the rounds already done; grows in place.
        folder: where checkpoint.npz and log.csv go; None keeps nothing.
        meta: facts for the checkpoint.
        score: name of the metric that evaluations record.
    """

    def __init__(
        self,
        chunks: IndexChunks,
        parts: dict[str, Part],
        history: list[dict[str, float]],
        folder: Path | None,
        meta: dict[str, Any],
        score: str = "accuracy",
    ) -> None:
        super().__init__()
        self.chunks = chunks
        self.parts = {name: as_evaluated(part) for name, part in parts.items()}
        self.history = history
        self.folder = folder
        self.meta = meta
        self.score = score

    def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
        self.chunks.start_at(epoch * self.chunks.epochs)
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        figures = {name: float(value) for name, value in (logs or {}).items()}
        trained = time.perf_counter() - self.started
        bad_step = int(figures.pop("bad_step", -1))
        if bad_step >= 0 or not np.isfinite(figures["loss"]):
            raise FloatingPointError(self._divergence(epoch, bad_step))
        with averaged_weights(self.model):
            measured = {
                f"{part}_{self.score}": self._measured(epoch, part)
                for part in self.parts
            }
        done = (epoch + 1) * self.chunks.epochs
        row = {"epoch": done, **figures, "seconds": round(trained, 4), **measured}
        row["total_seconds"] = round(time.perf_counter() - self.started, 4)
        self.history.append(row)
        if logs is not None:
            logs.update(measured)  # for the callbacks that follow
        if self.folder is not None:
            meta = {**self.meta, "epoch": done, "history": self.history}
            checkpoint.save(self.folder / "checkpoint.npz", self.model, meta)
            write_atomically(self.folder / "log.csv", self._write_log)

    def _measured(self, epoch: int, name: str) -> float:
        figures = self.model.evaluate(**self.parts[name], verbose=0, return_dict=True)
        if figures["bad_step"] >= 0:  # the round's last step spoilt the weights
            raise FloatingPointError(self._divergence(epoch, self.chunks.steps - 1))
        return round(float(figures[self.score]), 6)

    def _divergence(self, epoch: int, bad_step: int) -> str:
        epochs = self.chunks.epochs
        where = f"by epoch {(epoch + 1) * epochs}"
        if bad_step >= 0:
            step = epoch * self.chunks.steps + bad_step
            where = f"in epoch {step // self.chunks.epoch_steps + 1}"
            where = f"at step {step + 1} ({where})"
        kept = "no checkpoint was written"
        if self.folder is not None and self.history:
            kept = (
                f"the last good checkpoint is {self.folder / 'checkpoint.npz'}, "
                f"after epoch {self.history[-1]['epoch']}"
            )
        return f"Training diverged: logits or loss were not finite {where}; {kept}."

    def _write_log(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(self.history[0]))
            writer.writeheader()
            writer.writerows(self.history)


@contextmanager
def averaged_weights(trainer: keras.Model) -> Iterator[None]:
    """Give a model the moving averages of its weights for a while, if there are any.

    Keras gives it them for good when `fit` ends; `SwapEMAWeights` would change the
    last bits of the weights each time.
    """
    if not trainer.optimizer.use_ema:
        yield
        return
    variables = trainer.trainable_variables
    kept = _copies(variables)
    trainer.optimizer.finalize_variable_values(variables)
    # JAX gives both variables one buffer, which an evaluation may use up.
    _assign(variables, _copies(variables))
    try:
        yield
    finally:
        _assign(variables, kept)


def _copies(variables: list) -> list[np.ndarray]:
    return [np.array(ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables: list, values: list[np.ndarray]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


class Progress(keras.callbacks.Callback):
    """Show epoch, examples, loss and test accuracy on one line during a run.

    Where there is no terminal, a line is printed every tenth of the epochs, and once
    a minute within an epoch that takes longer.

    Args:
        label: name of the run.
        epochs: number of epochs of the run.
        history: the rows that `Epochs` fills; `Epochs` must come first.
        chunks: the batches to train on.
        score: name of the metric that evaluations record.
    """

    async_safe = True  # Keras need not wait for a chunk to show that it is under way

    def __init__(
        self,
        label: str,
        epochs: int,
        history: list[dict],
        chunks: IndexChunks,
        score: str = "accuracy",
    ) -> None:
        super().__init__()
        self.score = score
        self.chunks = chunks
        self.figures = ""
        self.said = time.monotonic()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self.label = label
        self.epochs = epochs
        self.history = history
        self.console = Console(stderr=True)
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("epoch {task.fields[epoch]}/{task.total:.0f}"),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
        )

    def on_train_begin(self, logs: dict | None = None) -> None:
        done = self.history[-1]["epoch"] if self.history else 0
        self.task = self.bar.add_task(
            self.label,
            total=self.epochs,
            completed=done,
            epoch=done,
            figures="compiling",
        )
        if self.console.is_terminal:
            self.bar.start()

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        """Show the examples of the epoch so far; Keras' batch is a chunk."""
        chunks, number = self.chunks, len(self.chunks.labels)
        steps = min((batch + 1) * chunks.chunk, chunks.steps)
        epochs, within = divmod(steps, chunks.epoch_steps)
        if not within:
            return
        done = (self.history[-1]["epoch"] if self.history else 0) + epochs
        seen = min(within * chunks.batch_size, number)
        figures = f"{seen:,}/{number:,} examples  {self.figures}".rstrip()
        share = within / chunks.epoch_steps
        self.bar.update(
            self.task, completed=done + share, epoch=done + 1, figures=figures
        )
        if time.monotonic() - self.said > 60:
            self._say(done + 1, figures)

    def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
        row = self.history[-1]
        self.figures = f"loss {row['loss']:.4f}  test {row[f'test_{self.score}']:.4f}"
        done = row["epoch"]
        self.bar.update(self.task, completed=done, epoch=done, figures=self.figures)
        tenth = max(1, self.epochs // 10)
        before = self.history[-2]["epoch"] if len(self.history) > 1 else 0
        if done // tenth > before // tenth:
            self._say(done, self.figures)

    def _say(self, epoch: int, figures: str) -> None:
        """Print a line where there is no terminal for the bar."""
        self.said = time.monotonic()
        if not self.console.is_terminal:
            line = f"{self.label}: epoch {epoch}/{self.epochs}  {figures}"
            self.console.print(line, highlight=False)

    def on_train_end(self, logs: dict | None = None) -> None:
        self.stop()

    def stop(self) -> None:
        """Leave the terminal as it was; also called when training fails."""
        if self.console.is_terminal:
            self.bar.stop()
