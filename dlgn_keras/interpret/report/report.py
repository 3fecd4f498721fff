"""The report: one self-contained HTML page that explains a model's answers."""

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.interpret.channels import channel_axis, channels_last
from dlgn_keras.interpret.contributions import TOLERANCE, explain
from dlgn_keras.interpret.explanation import Explanation
from dlgn_keras.interpret.passes import Model, check_net
from dlgn_keras.interpret.plots.style import as_grid, as_map
from dlgn_keras.interpret.report import drawing
from dlgn_keras.interpret.report.gates import gate_cards
from dlgn_keras.interpret.report.images import LoadedImage, load_image
from dlgn_keras.interpret.report.lead import lead
from dlgn_keras.interpret.sites import INPUT, check_at, unit_sites
from dlgn_keras.interpret.targets import check_target
from dlgn_keras.interpret.top_paths import TopPaths, top_paths
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.files import write_text
from dlgn_keras.tools.messages import check_count

MOST_CLASSES = 10
MOST_LAYERS = 6


def report(
    net: Model,
    images: Sequence[Any] | np.ndarray,
    out: str | os.PathLike,
    twin: Model | None = None,
    class_names: Sequence[str] | None = None,
    target: Any = None,
    num_paths: int = 8,
    name: str | None = None,
    at: str = INPUT,
    against: Any = None,
    mode: str | None = None,
    beta: float | None = None,
) -> Path:
    """Write a page that explains a model's answers to images; every number is exact.

    For each image the page says the answer in a sentence. It shows the logits, signed
    contribution maps (next to those of the twin), from the pixels to the last site,
    the gates with the largest contributions with their filters and spectra, the gates
    of each layer, and, folded, a diagram of the top paths from the input. A twin of a
    Keras model has no skeleton and thus no paths. The page loads nothing from the
    internet.

    Args:
        net: the model to explain: a DNN, DGN or DLGN, or a twin that `dk.disentangle`
            made.
        images: image files, or raw inputs as arrays (*input_shape).
        out: the .html file, written atomically.
        twin: a model of the same input and classes to compare with, such as the DNN
            of the same skeleton.
        class_names: one per class.
        target: class to explain, one for all or one per image; None takes the
            predicted class of `net`. The twin explains the same class.
        num_paths: number of top paths.
        name: the model's name on the page; its own name if None.
        at: where the large maps are taken, as in `explain`. A twin that has no such
            site shows its pixels.
        against: class whose logit is subtracted, or "next", as in `explain`.
        mode, beta: gates of the value network, as in `explain`. A twin without gates
            that switch keeps its own.

    Returns:
        the path written.

    Raises:
        FileNotFoundError: no such image, or no folder to write into.
        TypeError: `net` or `twin` is not a model of this library.
        ValueError: no images, an image that cannot be read, a twin or names that do
            not fit.

    Example:
        >>> import tempfile, numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(2), (6, 6, 1), num_classes=2, seed=0)
        >>> folder = tempfile.TemporaryDirectory()
        >>> report(net, [np.ones((6, 6, 1))], folder.name + "/page.html").name
        'page.html'
        >>> folder.cleanup()
    """
    net, out = check_net(net), Path(out)
    check_count("num_paths", num_paths)
    _check_fits(net, twin, class_names)
    if not len(images):
        raise ValueError("`images` must hold an image. Received: images=[].")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"No folder {str(out.parent)!r} to write into.")
    loaded = [_load(image, net) for image in images]
    x = np.stack([image.raw for image in loaded])
    names = [str(name) for name in class_names or range(net.num_classes)]
    targets = check_target(target, len(x), net.num_classes)
    gates = {"mode": mode, "beta": beta}
    found = explain(net, x, targets, check_at(net, at), against, **gates)
    unlike, ladders = net.cautions(x), {net.family.upper(): found.ladder()}
    answers = {net.family.upper(): found}
    if twin is not None:
        label = twin.family.upper()
        label = label if label not in answers else f"twin {label}"
        has = found.at in dict(twin.sites)
        at = found.at if has else INPUT
        both = gates if twin.switches else {}
        answers[label] = explain(twin, x, found.target, at, found.against, **both)
        ladders[label] = answers[label].ladder()
    nets = [net] if twin is None else [net, twin]
    shares = [
        model.probabilities(answer.own_logits.astype(float))
        for model, answer in zip(nets, answers.values(), strict=True)
    ]
    data: dict[str, Any] = {"maps": {}, "numbers": {}}
    sections: list[dict[str, Any]] = []
    starts = ladders[net.family.upper()][INPUT].bias_maps()
    cuts = _cuts(net, x, found, ladders[net.family.upper()])
    for i, (given, image) in enumerate(zip(images, loaded, strict=True)):
        file = isinstance(given, str | os.PathLike)
        top, own = None, ladders[net.family.upper()]
        if isinstance(net, GatedModel):
            what = int(found.target[i])
            top = top_paths(net, x[i], what, num_paths, include_bias=False, **gates)
            data["numbers"][f"{i}/paths"] = [path.contribution for path in top.paths]
        sections.append(
            {
                "title": Path(given).name if file else f"input {i}",
                "lead": lead(i, own, names),
                "notes": image.notes,
                "caution": unlike[i],
                "answers": _answers(i, answers, shares, names),
                "sums": _sums(i, answers, names, data),
                "input": drawing.still(
                    drawing.picture(channels_last(x[i], found.channels[0])),
                    f"input {i} as the model sees it",
                    "input",
                ),
                "maps": _maps(i, answers, names, data),
                "paths": top and _paths(top, names),
                "gates": _gates(net, x[i], found),
                "ladders": _ladders(i, ladders, names),
                "bias": _bias(i, net, starts, data),
                "cards": gate_cards(net, x[i], i, cuts),
            }
        )
    title = f"{name or net.name}: what its answers are made of"
    page = render(title=title, intro=_intro(net, found), images=sections, data=data)
    write_text(out, page)
    return out


def render(**context: Any) -> str:
    """Return the page: `page.html` filled in, all text escaped."""
    from jinja2 import Environment, StrictUndefined

    template = resources.files("dlgn_keras.interpret.report").joinpath("page.html")
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    return environment.from_string(template.read_text("utf-8")).render(context)


def _cuts(
    net: Model, x: np.ndarray, found: Explanation, ladder: dict[str, Explanation]
) -> dict[str, Explanation]:
    """Return explanations at sites, to read the largest gates of: those of a ladder.

    Where paths skip every site, as in networks of residual blocks without a gate after
    their additions, those at the first, middle and last one.
    """
    sites = unit_sites(net)
    if len(ladder) > 1 or not sites:
        return ladder
    picked = dict.fromkeys(sites[k] for k in (0, len(sites) // 2, -1))
    given = found.target, found.against
    gates = {"mode": found.mode, "beta": found.beta}
    return {at: explain(net, x, given[0], at, given[1], **gates) for at in picked}


def _check_fits(net: Model, twin: Any, class_names: Any) -> None:
    if not isinstance(net.input_shape, tuple):
        raise ValueError(
            "`net` must take one input; `explain` takes several. "
            f"Received: {net.name!r} with {len(net.input_shape)}."
        )
    if len(net.output_shape) != 2:
        raise ValueError(
            "`net` must end in one vector of logits; `explain` takes a map. "
            f"Received: {net.name!r} with outputs of shape {net.output_shape[1:]}."
        )
    if twin is not None:
        check_net(twin)
        for name in ("input_shape", "num_classes"):
            ours, theirs = getattr(net, name), getattr(twin, name)
            if ours != theirs:
                raise ValueError(
                    f"`twin` must have the {name} of the model, {ours}. "
                    f"Received: twin with {theirs}."
                )
    if class_names is not None and len(class_names) != net.num_classes:
        raise ValueError(
            f"`class_names` must hold {net.num_classes} names. "
            f"Received: {len(class_names)}."
        )


def _load(image: Any, net: Model) -> LoadedImage:
    if isinstance(image, str | os.PathLike):
        return load_image(image, net)
    raw, shape = np.asarray(image), tuple(net.input_shape[1:])
    if raw.shape != shape:
        raise ValueError(
            f"`images` must hold files or arrays of shape {shape}. "
            f"Received: an array of shape {raw.shape}."
        )
    return LoadedImage(raw, ())


def _intro(net: Model, found: Explanation) -> list[str]:
    sites = f"{len(net.sites)} gated layers, gates: {net.gate_mode}"
    kind = f"A {net.family.upper()}"
    if isinstance(net, GatedModel):
        kind += f" on the skeleton {net.skeleton.name!r}"
    else:
        kind += " made of a Keras model"
    intro = [
        f"{kind}: {sites}.",
        "Every number here is exact but for rounding: at the gates of an image the "
        "value network is an affine map, so contributions and bias add up to the "
        "logit. A residual is what rounding leaves where much cancels.",
    ]
    if found.gates:
        intro.append(
            f"Explained is the value network at {found.gates}, of the model's own "
            "pre-activations: contributions and bias add up to its logit, not to the "
            "model's own, which the first table lists."
        )
    if found.value_input == "ones":
        intro.append(
            "Its value network is fed all ones: the maps show the paths by the place "
            "where they start, and the image acts through the gates alone."
        )
    return intro


def _answers(
    i: int, answers: dict[str, Explanation], shares: list, names: list[str]
) -> tuple:
    """Return caption, heads and rows of the table of the largest logits."""
    heads, rows = ["class"], [[_cell(name)] for name in names]
    for (label, found), share_of in zip(answers.items(), shares, strict=True):
        logits = found.own_logits[i].astype(float)
        numbers = bool(np.isnan(share_of[i]).all())  # no classes
        heads += [f"{label} output"] if numbers else [f"{label} logit"]
        heads += [] if numbers else [f"{label} probability"]
        for row, logit, share in zip(rows, logits, share_of[i], strict=True):
            row.append(_cell(float(logit)))
            row += [] if numbers else [_cell(float(share), f"{share:.2%}")]
    rows.sort(key=lambda row: -row[1]["value"])
    rows = rows[:MOST_CLASSES]
    caption = "The answer" if len(rows) == 1 else f"The {len(rows)} largest outputs"
    return caption, heads, rows


def _sums(i: int, answers: dict, names: list[str], data: dict) -> list[dict]:
    """Return the terms that sum to each explained logit."""
    found = []
    for label, answer in answers.items():
        residual = float(answer.residual[i])
        numbers = {
            "target": int(answer.target[i]),
            "logit": answer.logit(i),
            "at": answer.at,
            "gates": answer.gates,
            "contributions": float(answer.contributions[i].sum(dtype="float64")),
            "bias": float(answer.bias[i]),
            "skipped": float(answer.skipped[i]),
            "residual": None if residual != residual else residual,
        }
        data["numbers"][f"{i}/{label}"] = numbers
        missed = bool(answer.missed()[i] > TOLERANCE)
        about = {"label": label, "name": answer.label(i, names), "missed": missed}
        found.append({**numbers, **about})
    return found


def _maps(i: int, answers: dict, names: list[str], data: dict) -> list[dict]:
    """Return the contribution maps; the page shows their values on hover."""
    maps = []
    for label, found in answers.items():
        signed = as_map(found.places(i))
        key = f"{i}/{label}"
        data["maps"][key] = [
            [None if v != v else float(f"{v:.6g}") for v in row] for row in signed
        ]
        maps.append({**_map(i, label, found, names), "key": key})
    return maps


def _map(i: int, label: str, found: Explanation, names: list[str]) -> dict[str, str]:
    """Return one signed map with its caption."""
    signed = as_map(found.places(i))
    bound = float(np.nanmax(np.abs(signed)))
    row, column = np.unravel_index(np.nanargmax(np.abs(signed)), signed.shape)
    what = found.label(i, names)
    where = "" if found.at == INPUT else f" at {found.at}"
    alt = (
        f"Signed contributions of {label}{where} to {what}: the largest is "
        f"{signed[row, column]:+.3g} at row {row}, column {column}."
    )
    what += f" at {found.gates}" if found.gates else ""
    caption = f"{label}{where}, {what}: from {-bound:.3g} (blue) to {bound:.3g} (red)"
    return drawing.still(drawing.signed_map(signed), alt, caption)


def _ladders(i: int, ladders: dict, names: list[str]) -> list[list[dict[str, str]]]:
    """Return a row of maps for each model, from the pixels to the last site."""
    rows = []
    for label, ladder in ladders.items():
        row = []
        for at, found in ladder.items():
            made = float(found.contributions[i].sum(dtype="float64"))
            caption = f"{label}, {'pixels' if at == INPUT else at}: {made:+.3g}"
            caption += f" and constants {found.bias[i]:+.3g}; absolute values sum to "
            caption += f"{found.cancelling()[i]:.3g} times the largest logit"
            row.append({**_map(i, label, found, names), "caption": caption})
        rows.append(row)
    return rows


def _bias(i: int, net: Model, starts: dict, data: dict) -> dict[str, Any]:
    """Return the maps of what the shifts of the layers add, the largest ones."""
    sums = {k: float(v[i].sum(dtype="float64")) for k, v in starts.items()}
    data["numbers"][f"{i}/bias"] = sums
    figures = []
    for name in sorted(sums, key=lambda k: -abs(sums[k]))[:MOST_LAYERS]:
        alt = f"What the shifts of {name} add, by the place where they do."
        values = channels_last(starts[name][i], channel_axis(net, name))
        source = drawing.signed_map(as_map(values))
        figures.append(drawing.still(source, alt, f"{name}: {sums[name]:+.3g}"))
    return {"total": sum(sums.values()), "layers": len(sums), "figures": figures}


def _paths(top: TopPaths, names: list[str]) -> dict[str, Any]:
    what = names[top.target]
    label = f"Diagram of the {len(top.paths)} largest paths to {what}; see the table."
    rows = []
    for rank, path in enumerate(top.paths, start=1):
        units = " → ".join(f"{site} {','.join(map(str, u))}" for site, u in path.units)
        numbers = [_cell(path.contribution), _cell(path.bundle)]
        rows.append([_cell(rank, str(rank)), *numbers, _cell(units)])
    return {
        "number": len(top.paths),
        "share": f"{100 * top.share:.3g}",
        "magnitude_share": f"{100 * top.magnitude_share:.3g}",
        "diagram": drawing.path_diagram(top, label),
        "rows": rows,
    }


def _gates(net: Model, x: np.ndarray, found: Explanation) -> list[dict[str, str]]:
    """Return one small picture per site: the mean gate at each position."""
    figures, gates = [], net.gates(x[None], found.mode, beta=found.beta)
    made = net.gating_network.output
    for site, shape in net.sites:
        if site not in made or tuple(made[site].shape[1:]) != tuple(shape):
            continue  # what a max pooling selects
        values = channels_last(gates[site][0].astype(float), channel_axis(net, site))
        grid = as_grid(values)
        shown = grid.mean(-1) if grid.ndim == 3 else grid
        share = float(gates[site].mean())
        alt = f"Gates of {site}: {share:.0%} open on average."
        source = drawing.amount_map(shown, 1.0)
        figures.append(drawing.still(source, alt, f"{site}: {share:.0%} open"))
    return figures


def _cell(value: str | float, text: str | None = None) -> dict[str, Any]:
    """Return a cell of a table; numbers sort by their full value."""
    if isinstance(value, str):
        return {"value": None, "text": value}
    return {"value": value, "text": text or f"{value:+.4g}"}
