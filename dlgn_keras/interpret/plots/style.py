"""Figures, and arrays shown as images: shared by all pictures."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def figure(rows: int, columns: int, cell: tuple[float, float]) -> tuple[Any, Any]:
    """Return a matplotlib Figure and its (rows, columns) axes, `cell` inches each.

    The figure has no window and is not part of pyplot's state: save it with
    `figure.savefig(path)`; notebooks display it.
    """
    from matplotlib.figure import Figure

    class Shown(Figure):
        """A figure that notebooks display without pyplot."""

        def _repr_png_(self) -> bytes:
            png = io.BytesIO()
            self.savefig(png, format="png")
            return png.getvalue()

    made = Shown(
        figsize=(max(columns * cell[0], 4.0), rows * cell[1] + 0.4),
        layout="constrained",
    )
    return made, made.subplots(rows, columns, squeeze=False)


def save_animation(
    made: Any,
    show: Callable[[int], list[Any]],
    frames: int,
    path: str | Path,
    frames_per_second: int,
) -> Path:
    """Write a figure as a GIF; `show(k)` draws frame k and returns what it drew."""
    from matplotlib.animation import FuncAnimation, PillowWriter

    moving = FuncAnimation(made, lambda k, *_: show(k), frames=frames)
    moving.save(path, writer=PillowWriter(fps=frames_per_second))
    return Path(path)


def limit(values: np.ndarray) -> float:
    """Return a symmetric colour limit that is not zero."""
    return float(np.abs(values).max(initial=0.0)) or 1.0


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return an input as (height, width) or (height, width, 3) from 0 to 1.

    A vector is wrapped into a near-square of rows, padded with NaN. If there are not
    three channels, the result is their mean.
    """
    picture = as_grid(np.asarray(image, np.float64))
    if picture.ndim == 3:
        picture = picture if picture.shape[-1] == 3 else picture.mean(-1)
    low, high = np.nanmin(picture), np.nanmax(picture)
    return (picture - low) / (high - low or 1.0)


def as_map(values: np.ndarray) -> np.ndarray:
    """Return signed values as (height, width), summed over channels."""
    grid = as_grid(np.asarray(values, np.float64))
    return grid.sum(-1) if grid.ndim == 3 else grid


def as_grid(values: np.ndarray) -> np.ndarray:
    """Return a vector as rows, a sequence as (steps, channels), an image as it is."""
    if values.ndim == 1:
        width = math.ceil(math.sqrt(len(values)))
        height = math.ceil(len(values) / width)
        grid = np.full(height * width, np.nan)
        grid[: len(values)] = values
        return grid.reshape(height, width)
    return values


def bare(axes: Any, title: str = "") -> None:
    """Remove the ticks and set a title."""
    axes.set_xticks([])
    axes.set_yticks([])
    if title:
        axes.set_title(title, fontsize=10)
