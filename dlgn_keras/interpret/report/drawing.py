"""Pictures as text: maps as data addresses, paths as SVG."""

import base64
import html
import io

import numpy as np

from dlgn_keras.interpret.plots.diagrams import heights_of, layers_of
from dlgn_keras.interpret.plots.style import AMOUNT, COLOURS, SIGNED, as_picture, limit
from dlgn_keras.interpret.top_paths import TopPaths

COLUMN, MARGIN = 130, 70


def png(rgb: np.ndarray) -> str:
    """Return (height, width, 3 or 4) bytes as a data address."""
    from PIL import Image

    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb)).save(stream, "PNG")
    return "data:image/png;base64," + base64.b64encode(stream.getvalue()).decode()


def picture(image: np.ndarray) -> str:
    """Return an input as a data address."""
    shown = np.nan_to_num(as_picture(image))
    if shown.ndim == 2:
        shown = np.repeat(shown[..., None], 3, axis=-1)
    return png((shown * 255).round().astype(np.uint8))


def signed_map(values: np.ndarray, bound: float | None = None) -> str:
    """Return (height, width) signed values as a data address, white at zero."""
    bound = bound or limit(np.nan_to_num(values))
    return _coloured(0.5 + 0.5 * values / bound, SIGNED)


def amount_map(values: np.ndarray, top: float | None = None) -> str:
    """Return (height, width) amounts from 0 to `top` as a data address."""
    return _coloured(values / (top or limit(np.nan_to_num(values))), AMOUNT)


def _coloured(values: np.ndarray, name: str) -> str:
    from matplotlib import colormaps

    return png(colormaps[name](np.nan_to_num(np.clip(values, 0, 1)), bytes=True))


def path_diagram(top: TopPaths, label: str) -> str:
    """Return the top paths as an SVG picture; hovering a line names its path."""
    layers, heights = layers_of(top), heights_of(top)
    tall = 60 + 26 * max(len(top.paths), 4)
    wide = 2 * MARGIN + COLUMN * (len(layers) - 1)
    largest = max((abs(path.contribution) for path in top.paths), default=1.0)

    def place(name: str, unit: tuple[int, ...]) -> tuple[float, float]:
        x = MARGIN + COLUMN * layers.index(name)
        return x, 20 + (tall - 60) * (1 - heights[name, unit])

    lines, dots = [], []
    for rank, path in reversed(list(enumerate(top.paths, start=1))):
        points = " ".join("{:.1f},{:.1f}".format(*place(*unit)) for unit in path.units)
        positive = path.contribution > 0
        dash = "" if positive else ' stroke-dasharray="7 4"'
        width = 1.5 + 4 * abs(path.contribution) / largest
        told = html.escape(f"path {rank}: {path.contribution:+.4g}")
        lines.append(
            f'<polyline points="{points}" fill="none" tabindex="0" '
            f'stroke="{COLOURS[1] if positive else COLOURS[0]}" '
            f'stroke-width="{width:.1f}"{dash}><title>{told}</title></polyline>'
        )
    for name, unit in heights:
        x, y = place(name, unit)
        index = ",".join(map(str, unit))
        dots.append(
            f'<circle cx="{x}" cy="{y:.1f}" r="4"><title>{html.escape(name)} {index}'
            f'</title></circle><text x="{x}" y="{y - 8:.1f}">{index}</text>'
        )
    names = [
        f'<text class="layer" x="{MARGIN + COLUMN * k}" y="{tall - 10}">'
        f"{html.escape(name)}</text>"
        for k, name in enumerate(layers)
    ]
    return (
        f'<svg role="img" aria-label="{html.escape(label)}" '
        f'viewBox="0 0 {wide} {tall}" width="{wide}" height="{tall}">'
        + "".join(lines + dots + names)
        + "</svg>"
    )
