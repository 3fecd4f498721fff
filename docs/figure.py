"""Draw the pictures of the front page and of the guide.

    python docs/figure.py

explanation.png is what the README's Python code draws. answer.png takes apart one
answer of the preset `dlgn_fc_mnist`, on the first test image that the preset carries.
"""

import os
import re
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from matplotlib.figure import Figure

import dlgn_keras as dk

HERE = Path(__file__).resolve().parent
PRESET = "dlgn_fc_mnist"


def draw() -> Figure:
    """Return the figure of one answer."""
    net = dk.DLGN.from_preset(PRESET)
    golden = np.load(dk.presets()[PRESET].folder / "golden.npz")
    image = golden["inputs"][:1]
    z = net.preprocessing.apply(image)[0, ..., 0]
    order = np.argsort(-net.predict(image, verbose=0)[0])
    found = net.explain(np.repeat(image, 2, axis=0), target=order[:2])

    figure = Figure(figsize=(9, 2.75), layout="constrained", dpi=110)
    axes = figure.subplots(1, 4)
    axes[0].imshow(image[0, ..., 0], cmap="gray")
    axes[0].set_title("a picture\n", fontsize=9)

    pre_activations = net.pre_activations(image)
    layers = (1, len(net.sites))
    for place, layer in zip(axes[1:3], layers, strict=True):
        site = net.sites[layer - 1].name
        unit = pre_activations[site][0].argmax()
        filters = dk.interpret.gate_filters(net, site)
        parts = filters.kernel[..., 0, unit] * z
        _signed(place, parts)
        total = parts.sum() + filters.offset[unit]
        place.set_title(
            f"a gate of layer {layer}:\npixels sum to {total:,.1f} > 0: open",
            fontsize=9,
        )

    first, second = order[:2]
    _signed(axes[3], (found.contributions[0] - found.contributions[1])[..., 0])
    logits = found.logits[0]
    axes[3].set_title(
        f"{first} rather than {second}:\n"
        f"logits {logits[first]:.1f} - {logits[second]:.1f}",
        fontsize=9,
    )
    for place in axes:
        place.set_xticks([])
        place.set_yticks([])
    return figure


def _signed(place: Any, values: np.ndarray) -> None:
    bound = np.abs(values).max()
    place.imshow(values, cmap="RdBu_r", vmin=-bound, vmax=bound)


if __name__ == "__main__":
    draw().savefig(HERE / "answer.png")
    code = re.search(r"```python\n(.*?)```", (HERE / "../README.md").read_text(), re.S)
    os.chdir(HERE)
    exec(code[1])
