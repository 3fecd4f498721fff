"""The report's page: parts of HTML, each made of the numbers of the API."""

import html
import json
from collections.abc import Iterable, Sequence
from typing import Any

from dlgn_keras.interpret.report.assets import SCRIPT, STYLE

NUMBER = "{:+.4g}"


class Page:
    """Collects sections and the maps that can be read by pointing at them."""

    def __init__(self, title: str, intro: Iterable[str]) -> None:
        self.title = title
        self.parts = [f"<h1>{text(title)}</h1>", *(f"<p>{text(p)}</p>" for p in intro)]
        self.maps: dict[str, list[list[float | None]]] = {}
        self.numbers: dict[str, Any] = {}

    def add(self, *parts: str) -> None:
        self.parts.extend(parts)

    def map(self, key: str, source: str, values: Any, alt: str, caption: str) -> str:
        """Return a figure whose values show when it is pointed at."""
        self.maps[key] = [
            [None if v != v else float(f"{v:.6g}") for v in row] for row in values
        ]
        return (
            f'<figure class="large" data-map="{text(key)}">'
            f'<img class="map" tabindex="0" src="{source}" alt="{text(alt)}">'
            f'<div class="value" aria-live="polite"></div>'
            f"<figcaption>{text(caption)}</figcaption></figure>"
        )

    def render(self) -> str:
        """Return the whole page."""
        data = json.dumps({"maps": self.maps, "numbers": self.numbers}, allow_nan=False)
        # "</script>" in a class name must not end the data.
        data = data.replace("<", "\\u003c")
        return (
            '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f'<link rel="icon" href="data:,"><title>{text(self.title)}</title>'
            f"<style>{STYLE}</style></head><body><main>\n"
            + "\n".join(self.parts)
            + f'\n</main><script type="application/json" id="data">{data}</script>'
            f"<script>{SCRIPT}</script></body></html>\n"
        )


class Percent(float):
    """A share from 0 to 1, shown in per cent."""


def text(value: Any) -> str:
    """Return a value as text that HTML shows as it is."""
    return html.escape(str(value))


def still(source: str, alt: str, caption: str, size: str = "small") -> str:
    """Return a figure without values to read."""
    return (
        f'<figure class="{size}"><img src="{source}" alt="{text(alt)}">'
        f"<figcaption>{text(caption)}</figcaption></figure>"
    )


def table(caption: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Return a table that sorts by any column; floats keep their full value."""
    rows = list(rows)
    head = "".join(
        f'<th scope="col"{_text_class(rows, k)}><button type="button">{text(name)}'
        "</button></th>"
        for k, name in enumerate(heads)
    )
    body = "".join(f"<tr>{''.join(map(_cell, row))}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><caption class="quiet">{text(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _text_class(rows: list, k: int) -> str:
    return ' class="text"' if rows and isinstance(rows[0][k], str) else ""


def _cell(value: Any) -> str:
    if isinstance(value, Percent):
        return f'<td data-value="{float(value)!r}">{value:.2%}</td>'
    if isinstance(value, float):
        return f'<td data-value="{value!r}">{NUMBER.format(value)}</td>'
    if isinstance(value, int):
        return f'<td data-value="{value}">{value}</td>'
    return f'<td class="text">{text(value)}</td>'
