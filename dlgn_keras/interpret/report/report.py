"""One self-contained page that takes a model's answers to some images apart."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras.interpret.contributions import Explanation, check_target, explain
from dlgn_keras.interpret.nodes import check_model
from dlgn_keras.interpret.plots.style import as_grid, as_map
from dlgn_keras.interpret.report import drawing
from dlgn_keras.interpret.report.gates import gate_cards, gate_maps
from dlgn_keras.interpret.report.images import LoadedImage, load_image
from dlgn_keras.interpret.report.page import Page, Percent, still, table, text
from dlgn_keras.interpret.top_paths import TopPaths, top_paths
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.messages import check_count

MOST_CLASSES = 10


def report(
    net: GatedModel,
    images: Sequence[Any],
    out: str | os.PathLike,
    twin: GatedModel | None = None,
    class_names: Sequence[str] | None = None,
    target: Any = None,
    num_paths: int = 8,
    name: str | None = None,
) -> Path:
    """Write a page with everything that is exact about a model's answers.

    For each image: the logits, signed contribution maps (the twin's beside), the
    top paths from the input as a diagram, the gates of each layer, and the filters
    and spectra of the gates on those paths. The page loads nothing from a network.

    Args:
        net: the model to explain.
        images: image files, or raw inputs as arrays (*input_shape).
        out: the .html file to write; it appears whole or not at all.
        twin: a model of the same input and classes to stand beside, such as the DNN
            of the same skeleton.
        class_names: one per class.
        target: class to explain, one for all or one per image; None takes the
            predicted class of `net` (the twin is asked about the same one).
        num_paths: how many top paths.
        name: what the page calls the model; its own name if None.

    Returns:
        the path written.

    Raises:
        FileNotFoundError: no such image, or no folder to write into.
        TypeError: `net` or `twin` is no model of this library.
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
    net, out = check_model(net), Path(out)
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
    found = explain(net, x, targets)
    models = {net.family.upper(): (net, found)}
    if twin is not None:
        label = twin.family.upper()
        label = label if label not in models else f"twin {label}"
        models[label] = (twin, explain(twin, x, found.target))
    page = Page(f"{name or net.name}: what its answers are made of", _intro(net, found))
    for i, image in enumerate(loaded):
        given = images[i]
        title = (
            Path(given).name if isinstance(given, str | os.PathLike) else f"input {i}"
        )
        page.add(f'<section id="image-{i}"><h2>{text(title)}</h2>')
        if image.notes:
            page.add(
                f'<p class="quiet">The file was {text("; ".join(image.notes))}.</p>'
            )
        _answers(page, i, models, names)
        _maps(page, i, x[i], models, names)
        top = top_paths(net, x[i], int(found.target[i]), num_paths, include_bias=False)
        _paths(page, i, top, names)
        page.add(*gate_maps(net, x[i]), *gate_cards(net, x[i], top), "</section>")
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        partial.write_text(page.render(), encoding="utf-8")
        os.replace(partial, out)
    finally:
        partial.unlink(missing_ok=True)
    return out


def _check_fits(net: GatedModel, twin: Any, class_names: Any) -> None:
    if twin is not None:
        check_model(twin)
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


def _load(image: Any, net: GatedModel) -> LoadedImage:
    if isinstance(image, str | os.PathLike):
        return load_image(image, net)
    raw, shape = np.asarray(image), tuple(net.input_shape[1:])
    if raw.shape != shape:
        raise ValueError(
            f"`images` must hold files or arrays of shape {shape}. "
            f"Received: an array of shape {raw.shape}."
        )
    return LoadedImage(raw, ())


def _intro(net: GatedModel, found: Explanation) -> list[str]:
    sites = f"{len(net.sites)} gated layers, gates: {net.gate_mode}"
    intro = [
        f"A {net.family.upper()} on the skeleton {net.skeleton.name!r}: {sites}.",
        "Every number here is exact: at the gates of an image the value network is an "
        "affine map, so contributions and bias add up to the logit.",
    ]
    if found.value_input == "ones":
        intro.append(
            "Its value network is fed all ones: the maps show the paths by the place "
            "where they start, and the image acts through the gates alone."
        )
    return intro


def _answers(page: Page, i: int, models: dict, names: list[str]) -> None:
    """Add a table of logits and the sum that each explained logit is."""
    heads, rows = ["class"], [[name] for name in names]
    for label, (_, found) in models.items():
        logits = found.logits[i].astype(float)
        odds = np.exp(logits - logits.max())
        heads += [f"{label} logit", f"{label} probability"]
        for row, logit, part in zip(rows, logits, odds / odds.sum(), strict=True):
            row += [float(logit), Percent(part)]
    rows.sort(key=lambda row: -float(row[1]))
    page.add(
        "<h3>Answer</h3>",
        table(
            f"The {min(MOST_CLASSES, len(rows))} largest logits",
            heads,
            rows[:MOST_CLASSES],
        ),
    )
    for label, (_, found) in models.items():
        target = int(found.target[i])
        total, bias = float(found.contributions[i].sum()), float(found.bias[i])
        logit = float(found.logits[i, target])
        page.numbers[f"{i}/{label}"] = {
            "target": target,
            "logit": logit,
            "contributions": total,
            "bias": bias,
        }
        page.add(
            f"<p>{text(label)}: contributions {total:+.4f} and bias {bias:+.4f} make "
            f"the logit {logit:+.4f} of {text(names[target])}.</p>"
        )


def _maps(page: Page, i: int, image: Any, models: dict, names: list[str]) -> None:
    page.add(
        "<h3>Contributions</h3>",
        '<p class="quiet key"><span style="background:#b2182b"></span> adds to the '
        'logit, <span style="background:#2166ac"></span> takes from it, white is zero; '
        "each map has its own scale. Point at a place, or move with the arrow keys, to "
        "read its value.</p>",
        '<div class="row">',
        still(
            drawing.picture(image), f"input {i} as the model sees it", "input", "large"
        ),
    )
    for label, (_, found) in models.items():
        signed = as_map(found.contributions[i])
        bound = float(np.nanmax(np.abs(signed)))
        row, column = np.unravel_index(np.nanargmax(np.abs(signed)), signed.shape)
        what = names[int(found.target[i])]
        alt = (
            f"Signed contributions of {label} to {what}: the largest is "
            f"{signed[row, column]:+.3g} at row {row}, column {column}."
        )
        caption = f"{label}, {what}: from {-bound:.3g} (blue) to {bound:.3g} (red)"
        source = drawing.signed_map(signed)
        page.add(page.map(f"{i}/{label}", source, as_grid(signed), alt, caption))
    page.add("</div>")


def _paths(page: Page, i: int, top: TopPaths, names: list[str]) -> None:
    what = names[top.target]
    page.numbers[f"{i}/paths"] = [path.contribution for path in top.paths]
    label = f"Diagram of the {len(top.paths)} largest paths to {what}; see the table."
    rows = [
        [
            rank,
            path.contribution,
            path.bundle,
            " → ".join(
                f"{name} {','.join(map(str, unit))}" for name, unit in path.units
            ),
        ]
        for rank, path in enumerate(top.paths, start=1)
    ]
    page.add(
        "<h3>Top paths</h3>",
        f"<p>The {len(top.paths)} largest of all paths from the input carry "
        f"{100 * top.share:.3g} % of the logit and "
        f"{100 * top.magnitude_share:.3g} % of the magnitude of all its paths. Solid "
        "orange adds, dashed blue takes away; a unit is named by its channel, or its "
        "row, column and channel.</p>",
        f'<div class="scroll">{drawing.path_diagram(top, label)}</div>',
        table(
            "A bundle is the sum over all paths with the same weights.",
            ["rank", "contribution", "bundle", "path"],
            rows,
        ),
    )
