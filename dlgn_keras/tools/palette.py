"""Colours of every picture: safe for the colour-blind, distinct in grey print.

Signed values are red above zero, white at zero and blue below. Amounts run in cividis.
"""

SIGNED = "RdBu_r"
AMOUNT = "cividis"
# Okabe and Ito's palette, ordered so that neighbours differ.
BLUE, ORANGE, GREEN, PINK = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
YELLOW, SKY, BLACK, GREY = "#E69F00", "#56B4E9", "#000000", "#999999"
COLOURS = (BLUE, ORANGE, GREEN, PINK, YELLOW, SKY, BLACK)
MARKERS = ("o", "D", "s", "^", "v", "*", "x")
# One colour and one marker a family, in every picture.
FAMILY_COLOURS = {"dnn": BLACK, "dgn": YELLOW, "dlgn": BLUE}
FAMILY_MARKERS = {"dnn": "s", "dgn": "^", "dlgn": "o"}
