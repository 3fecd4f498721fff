"""The gates that carry a logit: which they are, their shares and their filters."""

from typing import Any

import numpy as np

from dlgn_keras.interpret.channels import channel_axis, channels_last
from dlgn_keras.interpret.explanation import Explanation, total
from dlgn_keras.interpret.filters import GateFilters, spectrum
from dlgn_keras.interpret.local import AffineUnits, local_filters
from dlgn_keras.interpret.passes import Model
from dlgn_keras.interpret.plots.style import as_map
from dlgn_keras.interpret.report import drawing
from dlgn_keras.interpret.sites import INPUT

A_SITE = 3
Unit = tuple[int, ...]


def largest_units(values: np.ndarray, number: int) -> list[Unit]:
    """Return the indices of the largest values in size, those that are not 0."""
    order = np.argsort(-np.abs(values), axis=None, kind="stable")[:number]
    units = [np.unravel_index(flat, values.shape) for flat in order]
    return [tuple(int(k) for k in unit) for unit in units if values[unit]]


def gate_cards(
    net: Model, x: np.ndarray, i: int, ladder: dict[str, Explanation]
) -> dict[str, Any]:
    """Return filters and spectra of the gates with the largest contributions.

    Args:
        net: the model.
        x: the raw input, without a batch axis.
        i: its number in the explanations.
        ladder: {"input" or site: explanation}; paths may skip the sites.
    """
    kind = "Filter" if net.has_linear_gates else "Local filter"
    groups = []
    for site, found in ladder.items():
        if site == INPUT:
            continue
        values, logit = found.contributions[i], found.logit(i)
        units = largest_units(values, A_SITE)
        top = float(sum(values[unit] for unit in units))
        told = (
            f"{site}: its {values.size:,} gates make "
            f"{total(values[None])[0]:+.3g} of {logit:+.3g}, constants behind it "
            f"{found.bias[i]:+.3g}; the {len(units)} largest gates make {top:+.3g}, "
            f"{_share(top, logit)}."
        )
        skipped = float(np.broadcast_to(found.skipped, found.bias.shape)[i])
        if skipped:
            told = told[:-1] + f"; paths that skip it make {skipped:+.3g}."
        figures = []
        for unit, row in zip(units, _filters(net, x, site, units), strict=True):
            name = f"{site} {','.join(map(str, unit))}"
            value = float(values[unit])
            caption = f"{name}: {value:+.3g}, {_share(value, logit)}"
            alt = f"{kind} of gate {name}: what its pre-activation sums from the input."
            figures += _pictures(row, name, alt, caption)
        groups.append({"told": told, "figures": figures})
    about = (
        "The map from the input to the gate's pre-activation, exact for every input."
        if net.has_linear_gates
        else "In this family the map from the input to a gate changes with the input: "
        "these are local, for this image's linear region only."
    )
    heading = f"{kind}s of the gates with the largest contributions"
    return {"heading": heading, "about": about, "groups": groups}


def _share(value: float, logit: float) -> str:
    return f"{value / logit:.1%} of it" if logit else "of a logit of 0"


def _filters(
    net: Model, x: np.ndarray, site: str, units: list[Unit]
) -> list[np.ndarray]:
    """Return the rows of the units' pre-activations over the input."""
    source, rows, picked = net.source_site(site), dict[Unit, np.ndarray](), []
    axis, shown = channel_axis(net, site), channel_axis(net)
    for unit in units:
        position = unit[1:] if axis == 0 else unit[:-1]
        if position not in rows:
            found: AffineUnits = local_filters(net, x, source, position or None)
            rows[position] = found.rows
        picked.append(channels_last(rows[position][unit[axis]], shown))
    return picked


def _pictures(row: np.ndarray, name: str, alt: str, caption: str) -> list[dict]:
    """Return a filter's picture and that of its frequency response, if it has one."""
    figures = [drawing.still(drawing.signed_map(as_map(row)), alt, caption)]
    if row.ndim == 3:
        filters = GateFilters(row[..., None], np.zeros(1), (1, 1), (0, 0), ())
        magnitude = spectrum(filters).magnitude[..., 0]
        response = drawing.amount_map(np.sqrt((magnitude**2).mean(-1)))
        alt = f"Frequency response of gate {name}."
        figures.append(drawing.still(response, alt, "spectrum"))
    return figures
