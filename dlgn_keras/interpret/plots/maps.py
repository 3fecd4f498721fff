"""Pictures of maps: contributions, gates, filters and their spectra."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dlgn_keras.interpret.channels import channels_last
from dlgn_keras.interpret.explanation import Explanation
from dlgn_keras.interpret.filters import GateFilters, Spectrum
from dlgn_keras.interpret.plots.style import (
    as_grid,
    as_map,
    as_picture,
    bare,
    figure,
    limit,
)
from dlgn_keras.tools.messages import check_count
from dlgn_keras.tools.palette import AMOUNT, SIGNED


def plot_contributions(
    x: Any,
    explanations: Explanation | Mapping[str, Explanation],
    class_names: Sequence[str] | None = None,
) -> Any:
    """Draw inputs beside their signed contribution maps, one row per example.

    Channels are summed. Each map has its own colour scale; its title gives the logit
    and the bias. A map at a site is stretched over the picture, its cells as they are.

    Args:
        x: inputs (n, *input_shape).
        explanations: an explanation of these inputs, or {name: explanation} to draw
            several side by side, such as `net.explain(x).ladder()`.
        class_names: names for the classes.

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(1, 4), (8, 8, 1), num_classes=2)
        >>> x = np.ones((2, 8, 8, 1))
        >>> figure = dk.interpret.plots.plot_contributions(x, net.explain(x))
        >>> figure.axes[0].get_title()
        'input 0'
    """
    if isinstance(explanations, Explanation):
        explanations = {"contributions": explanations}
    if not all(isinstance(e.contributions, np.ndarray) for e in explanations.values()):
        raise ValueError(
            "`explanations` must be of one input: take one of several by "
            "found._replace(contributions=found.contributions[name]). "
            "Received: several inputs."
        )
    x = np.asarray(x)
    axis = next(iter(explanations.values())).channels[0]
    made, axes = figure(len(x), 1 + len(explanations), (2.9, 2.7))
    for i, image in enumerate(x):
        shown = as_picture(channels_last(image, axis))
        axes[i, 0].imshow(shown, cmap="gray", vmin=0, vmax=1)
        bare(axes[i, 0], f"input {i}")
        for column, (name, found) in enumerate(explanations.items(), start=1):
            signed = as_map(found.places(i))
            label = found.label(i, class_names)
            by_start = found.at == "input" and found.value_input == "ones"
            kind = " (paths by start)" if by_start else ""
            bound = limit(np.nan_to_num(signed))
            picture = axes[i, column].imshow(
                signed, cmap=SIGNED, vmin=-bound, vmax=bound
            )
            made.colorbar(picture, ax=axes[i, column], fraction=0.046)
            numbers = f"logit {found.logit(i):.2f}, bias {found.bias[i]:.2f}"
            title = f"{name}{kind}: {label}\n{numbers}"
            title += f"\nat {found.gates}" if found.gates else ""
            bare(axes[i, column], title)
    return made


def plot_gates(gates: Mapping[str, np.ndarray], index: int = 0) -> Any:
    """Draw the gates of one example: at each position the mean over channels.

    Dense sites are shown unit by unit. 0 is closed, 1 is open.

    Args:
        gates: the result of `net.gates(x)`.
        index: index of the example.

    Returns:
        matplotlib Figure.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> figure = dk.interpret.plots.plot_gates({"dense_1": np.eye(4)})
        >>> figure.axes[0].get_title()
        'dense_1: 25% open'
    """
    columns = min(len(gates), 5)
    rows = -(-len(gates) // columns)
    made, axes = figure(rows, columns, (2.2, 2.3))
    picture = None
    for k, (site, values) in enumerate(gates.items()):
        one = as_grid(values[index].astype(float))
        shown = one.mean(-1) if one.ndim == 3 else one
        place = axes[k // columns, k % columns]
        picture = place.imshow(shown, cmap=AMOUNT, vmin=0, vmax=1)
        bare(place, f"{site}: {values[index].mean():.0%} open")
    for place in axes.ravel()[len(gates) :]:
        place.set_axis_off()
    if picture is not None:
        made.colorbar(picture, ax=axes, fraction=0.03, label="mean gate")
    return made


def plot_filters(filters: GateFilters, units: Sequence[int] | int = 8) -> Any:
    """Draw filters of a site in input space, red above zero, blue below.

    Args:
        filters: the result of `gate_filters`, over images or flat vectors.
        units: indices of channels, or the number of channels with the largest norms.

    Returns:
        matplotlib Figure; one row per input channel if there are up to three.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(4), (8, 8, 1), num_classes=2)
        >>> found = dk.interpret.gate_filters(net, "conv_2")
        >>> len(dk.interpret.plots.plot_filters(found, units=3).axes)
        3
    """
    units = _chosen(np.abs(filters.kernel), units)
    kernels = [as_grid(filters.kernel[..., unit]) for unit in units]
    layers = kernels[0].shape[-1] if kernels[0].ndim == 3 else 1
    split = layers if layers <= 3 else 1
    columns = len(units)
    made, axes = figure(split, columns, (1.5, 1.7))
    for column, (unit, kernel) in enumerate(zip(units, kernels, strict=True)):
        bound = limit(np.nan_to_num(kernel))
        for row in range(split):
            part = kernel[..., row] if split > 1 else as_map(kernel)
            place = axes[row, column]
            place.imshow(part, cmap=SIGNED, vmin=-bound, vmax=bound)
            title = f"unit {unit}\n±{bound:.2g}" if row == 0 else ""
            bare(place, title)
            if column == 0 and split > 1:
                place.set_ylabel(f"channel {row}")
    return made


def plot_spectrum(spectrum: Spectrum, units: Sequence[int] | int = 8) -> Any:
    """Draw the frequency response of filters, root mean square over input channels.

    Args:
        spectrum: the result of `spectrum`, with two image axes.
        units: indices of channels, or the number of channels with the largest norms.

    Returns:
        matplotlib Figure, zero frequency in the middle, brighter is stronger.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(4), (8, 8, 1), num_classes=2)
        >>> found = dk.interpret.spectrum(net, "conv_2", size=8)
        >>> dk.interpret.plots.plot_spectrum(found, units=[3]).axes[0].get_title()
        'unit 3'
    """
    units = _chosen(spectrum.magnitude, units)
    columns = min(len(units), 4)
    rows = -(-len(units) // columns)
    made, axes = figure(rows, columns, (2.3, 2.2))
    extent = (-0.5, 0.5, 0.5, -0.5)
    for place in axes.ravel()[len(units) :]:
        place.set_axis_off()
    for k, (place, unit) in enumerate(zip(axes.ravel(), units, strict=False)):
        response = np.sqrt((spectrum.magnitude[..., unit] ** 2).mean(-1))
        picture = place.imshow(response, cmap=AMOUNT, vmin=0, extent=extent)
        place.set_title(f"unit {unit}", fontsize=10)
        place.set_xticks([-0.5, 0, 0.5])
        place.set_yticks([-0.5, 0, 0.5])
        made.colorbar(picture, ax=place, fraction=0.046)
        if k // columns == rows - 1 or k + columns >= len(units):
            place.set_xlabel("cycles / pixel")
    return made


def _chosen(magnitudes: np.ndarray, units: Sequence[int] | int) -> list[int]:
    """Return unit numbers as given, or the strongest `units` of them."""
    if not isinstance(units, int):
        return [int(unit) for unit in units]
    norms = np.sqrt((magnitudes**2).sum(axis=tuple(range(magnitudes.ndim - 1))))
    order = np.argsort(-norms, kind="stable")
    return [int(unit) for unit in order[: check_count("units", units)]]
