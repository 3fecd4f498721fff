"""Colours of every picture: safe for the colour-blind, distinct in grey print.

Signed values are red above zero, white at zero and blue below. Amounts run in cividis.
"""

import itertools
from collections.abc import Iterable

SIGNED = "RdBu_r"
AMOUNT = "cividis"
# Okabe and Ito's palette, ordered so that neighbours differ.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#999999"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
MARKERS = ("o", "D", "s", "^", "v", "*", "x")
# One colour and one marker a family, in every picture.
FAMILIES = {"dnn": (BLACK, "s"), "dgn": (YELLOW, "^"), "dlgn": (BLUE, "o")}


def family_styles(labels: Iterable[str]) -> dict[str, tuple[str, str]]:
    """Return {label: (colour, marker)}: a family's own, or the next that are free.

    Example:
        >>> family_styles(["dlgn", "mine"])
        {'dlgn': ('#0072B2', 'o'), 'mine': ('#D55E00', 'D')}
    """
    taken = {colour for colour, _ in FAMILIES.values()}
    pairs = zip(COLOURS, MARKERS, strict=True)
    free = itertools.cycle([pair for pair in pairs if pair[0] not in taken])
    return {label: FAMILIES.get(label) or next(free) for label in labels}
