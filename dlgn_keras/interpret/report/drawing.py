"""Pictures for the page: maps as data URLs, paths as coordinates."""

import base64
import io
from typing import Any

import numpy as np

from dlgn_keras.interpret.plots.diagrams import heights_of, layers_of
from dlgn_keras.interpret.plots.style import as_picture, limit
from dlgn_keras.interpret.top_paths import TopPaths
from dlgn_keras.tools.palette import AMOUNT, BLUE, ORANGE, SIGNED

COLUMN, MARGIN = 130, 70


def png(rgb: np.ndarray) -> str:
    """Return (height, width, 3 or 4) bytes as the data URL of a PNG."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def still(source: str, alt: str, caption: str) -> dict[str, str]:
    """Return a picture with its words, as the page takes it."""
    return {"source": source, "alt": alt, "caption": caption}


def picture(image: np.ndarray) -> str:
    """Return an input as a data URL."""
    shown = np.nan_to_num(as_picture(image))
    if shown.ndim == 2:
        shown = np.repeat(shown[..., None], 3, axis=-1)
    return png((shown * 255).round().astype(np.uint8))


def signed_map(values: np.ndarray, bound: float | None = None) -> str:
    """Return (height, width) signed values as a data URL, white at zero."""
    bound = bound or limit(np.nan_to_num(values))
    return _coloured(0.5 + 0.5 * values / bound, SIGNED)


def amount_map(values: np.ndarray, top: float | None = None) -> str:
    """Return (height, width) amounts from 0 to `top` as a data URL."""
    return _coloured(values / (top or limit(np.nan_to_num(values))), AMOUNT)


def _coloured(values: np.ndarray, name: str) -> str:
    from matplotlib import colormaps

    return png(colormaps[name](np.nan_to_num(np.clip(values, 0, 1)), bytes=True))


def path_diagram(top: TopPaths, label: str) -> dict[str, Any]:
    """Return the lines, dots and layers of a picture of top paths."""
    layers, heights = layers_of(top), heights_of(top)
    tall = 60 + 26 * max(len(top.paths), 4)
    largest = max((abs(path.contribution) for path in top.paths), default=1.0)

    def place(name: str, unit: tuple[int, ...]) -> tuple[float, float]:
        x = MARGIN + COLUMN * layers.index(name)
        return x, round(20 + (tall - 60) * (1 - heights[name, unit]), 1)

    lines = [
        {
            "points": " ".join("{},{}".format(*place(*unit)) for unit in path.units),
            "colour": ORANGE if path.contribution > 0 else BLUE,
            "dashed": path.contribution <= 0,
            "width": round(1.5 + 4 * abs(path.contribution) / largest, 1),
            "title": f"path {rank}: {path.contribution:+.4g}",
        }
        for rank, path in enumerate(top.paths, start=1)
    ]
    dots = []
    for name, unit in heights:
        (x, y), index = place(name, unit), ",".join(map(str, unit))
        title = f"{name} {index}"
        dots.append({"x": x, "y": y, "above": y - 8, "index": index, "title": title})
    return {
        "label": label,
        "wide": 2 * MARGIN + COLUMN * (len(layers) - 1),
        "tall": tall,
        "lines": lines[::-1],
        "dots": dots,
        "layers": [(name, MARGIN + COLUMN * k) for k, name in enumerate(layers)],
    }
