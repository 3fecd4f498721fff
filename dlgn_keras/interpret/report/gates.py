"""The report's gates: how far each layer is open, and what the gates look for."""

import numpy as np

from dlgn_keras.interpret.filters import GateFilters, spectrum
from dlgn_keras.interpret.local import AffineUnits, local_filters
from dlgn_keras.interpret.plots.style import as_grid, as_map
from dlgn_keras.interpret.report import drawing
from dlgn_keras.interpret.report.page import still, text
from dlgn_keras.interpret.top_paths import TopPaths
from dlgn_keras.models import GatedModel

MOST_CARDS = 12


def gate_maps(net: GatedModel, x: np.ndarray) -> list[str]:
    """Return one small picture per site: the mean gate at each position."""
    figures = []
    for site, gates in net.gates(x[None]).items():
        grid = as_grid(gates[0].astype(float))
        shown = grid.mean(-1) if grid.ndim == 3 else grid
        share = float(gates[0].mean())
        alt = f"Gates of {site}: {share:.0%} open on average."
        source = drawing.amount_map(shown, 1.0)
        figures.append(still(source, alt, f"{site}: {share:.0%} open"))
    return [
        "<h3>Gates</h3>",
        '<p class="quiet">Yellow is open, dark blue closed: the mean over channels at '
        "each position, or a dense layer's units one by one.</p>",
        f'<div class="row">{"".join(figures)}</div>',
    ]


def gate_cards(net: GatedModel, x: np.ndarray, top: TopPaths) -> list[str]:
    """Return filter and spectrum of the gates on the top paths."""
    linear = net.has_linear_gates
    rows: dict[tuple, AffineUnits] = {}
    figures = []
    for site, unit in gates_on(net, top)[:MOST_CARDS]:
        made_at, place = net.source_site(site), unit[:-1]
        key = (made_at, place)
        if key not in rows:
            rows[key] = local_filters(net, x, made_at, place or None)
        row = rows[key].rows[unit[-1]]
        name = f"{site} {','.join(map(str, unit))}"
        kind = "Filter" if linear else "Local filter"
        alt = f"{kind} of gate {name}: what its pre-activation sums from the input."
        figures.append(still(drawing.signed_map(as_map(row)), alt, name))
        if row.ndim == 3:
            figures.append(_spectrum(row, name))
    if not figures:
        return []
    about = (
        "The map from the input to the gate's pre-activation, exact for every input."
        if linear
        else "In this family the map from the input to a gate changes with the input: "
        "these are local, for this image's linear region only."
    )
    kinds = "Filters" if linear else "Local filters"
    return [
        f"<h3>{kinds} of the gates on these paths</h3>",
        f'<p class="quiet">{text(about)} Beside each its frequency response, zero '
        "frequency in the middle.</p>",
        f'<div class="row">{"".join(figures)}</div>',
    ]


def gates_on(net: GatedModel, top: TopPaths) -> list[tuple[str, tuple[int, ...]]]:
    """Return the gates that the paths run through, those of larger paths first."""
    sites = {site.name for site in net.sites}
    met = [unit for path in top.paths for unit in path.units if unit[0] in sites]
    return list(dict.fromkeys(met))


def _spectrum(row: np.ndarray, name: str) -> str:
    none = ((0, 1),) * 2
    filters = GateFilters(row[..., None], np.zeros(1), (1, 1), (0, 0), none)
    magnitude = spectrum(filters).magnitude[..., 0]
    response = np.sqrt((magnitude**2).mean(-1))
    alt = f"Frequency response of gate {name}."
    return still(drawing.amount_map(response), alt, "spectrum")
