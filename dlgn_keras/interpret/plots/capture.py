"""A moving picture of gating vectors that grow towards the nodes of a tree."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.interpret.plots.style import figure, save_animation
from dlgn_keras.tools.palette import BLUE, ORANGE


def animate_capture(
    norms: np.ndarray,
    cosines: np.ndarray,
    path: str | Path,
    epochs: Sequence[int],
    thresholds: tuple[float, float],
    frames_per_second: int = 6,
) -> Path:
    """Write a GIF of norms and largest |cosines| of gating vectors during training.

    Args:
        norms, cosines: (frames, vectors).
        path: file to write, ending in ".gif".
        epochs: (frames,) the epoch to write above each frame.
        thresholds: norm and cosine beyond which a vector is orange.
        frames_per_second: frame rate of the GIF.

    Returns:
        The path.
    """
    made, axes = figure(1, 1, (5.0, 4.0))
    place = axes[0, 0]
    dots = place.scatter(norms[0], cosines[0], s=18)
    place.axvline(thresholds[0], color="0.6", linewidth=0.8, linestyle="--")
    place.axhline(thresholds[1], color="0.6", linewidth=0.8, linestyle="--")
    place.set_xlim(0, 1.05 * max(norms.max(), thresholds[0]))
    place.set_ylim(0, 1.02)
    place.set_xlabel("norm of the gating vector")
    place.set_ylabel("largest |cosine| to a normal of the tree")

    def show(k: int) -> list[Any]:
        dots.set_offsets(np.stack([norms[k], cosines[k]], axis=1))
        held = (norms[k] > thresholds[0]) & (cosines[k] > thresholds[1])
        dots.set_color([ORANGE if one else BLUE for one in held])
        place.set_title(f"epoch {epochs[k]}", fontsize=10)
        return [dots]

    return save_animation(made, show, len(norms), path, frames_per_second)
