"""Are contributions faithful? Ours beside four other attributions, on trained nets."""

from pathlib import Path
from typing import Any

from dlgn_keras import data
from dlgn_keras.experiments.experiment import Call, Experiment
from dlgn_keras.experiments.tables import STYLES, Table, plain, rows_of
from dlgn_keras.interpret.faithfulness import Faithfulness, score_methods
from dlgn_keras.presets import find, from_preset
from dlgn_keras.presets.files import read_metadata
from dlgn_keras.tools.files import write_atomically
from dlgn_keras.training import environment

# The rows are presets. Fully connected nets take no larger image: no grids.
PRESETS = {
    "small": ("dnn_fc_mnist", "dgn_fc_mnist", "dlgn_fc_mnist"),
    "paper": ("dnn_conv_cifar10", "dgn_conv_cifar10", "dlgn_conv_cifar10"),
}
IMAGES = 500
GRIDS = 125
MEASURES = {
    "deletion": "deletion: lower is better",
    "insertion": "insertion: higher is better",
    "localisation": "localisation: higher is better",
}


def run(call: Call) -> Table:
    """Score every method on the same test images of each preset's data set."""
    if call.changes:
        raise ValueError(
            "`changes` must be empty: faithfulness trains nothing. "
            f"Received: changes={call.changes!r}."
        )
    lines: list[dict[str, Any]] = []
    for row in call.rows or PRESETS[call.scale]:
        net, name = from_preset(row), read_metadata(find(row))["data"]["name"]
        call.runs.tell(f"{row} on {name}")
        test = data.load(name, data_dir=call.runs.data_dir)
        test = test.take(num_test=min(IMAGES, len(test.y_test)))
        found = score_methods(net, test.x_test, test.y_test, num_grids=GRIDS)
        lines += [line(row, method, scores) for method, scores in found.items()]
        call.make_table(lines, NOTES).write(call.folder)
    table = call.make_table(lines, NOTES)
    table.facts["environments"] = [environment()]  # of no training run
    call.write(table)
    return table


def line(row: str, method: str, scores: Faithfulness) -> dict[str, Any]:
    """Return one line: each measure's mean and half its 95 % interval."""
    found: dict[str, Any] = {
        "row": row,
        "method": method,
        "images": scores.deletion.number,
    }
    for name in MEASURES:
        interval = getattr(scores, name)
        mean = half = None
        if interval is not None:
            mean = round(interval.mean, 5)
            half = round(interval.high - interval.mean, 5)
        found |= {name: mean, f"{name} ±": half}
    return found


NOTES = (
    "`deletion`: mean probability of the image's class while the pixels that a method "
    "ranks highest are replaced by the network's zero, in 20 steps; `insertion`: while "
    "they come to an image of zeros.",
    f"`localisation`: share of the positive attribution in the right cell of {GRIDS} "
    "grids of four images, 0.25 by chance; blank for nets that take no larger image.",
    "± is half of the 95 % confidence interval of the mean over images (over grids for "
    "localisation). All methods see the same images: the first test images of each "
    "class, equally many, rightly classified or not.",
)


def figure(table: Table, path: Path) -> Path:
    """Draw each measure with its interval, a line of dots per method."""
    from matplotlib.figure import Figure

    shown = [m for m in MEASURES if any(one[m] is not None for one in table.lines)]
    rows = rows_of(table)
    methods = list(dict.fromkeys(one["method"] for one in table.lines))
    size = (1.8 + 3.2 * len(shown), 1.6 + 0.5 * len(methods))
    made = Figure(figsize=size, layout="constrained", dpi=150)
    panels = made.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    for axes, measure in zip(panels, shown, strict=True):
        for k, row in enumerate(rows):
            colour, marker = STYLES[k % len(STYLES)]
            lines = [one for one in table.lines if one["row"] == row]
            lines = [one for one in lines if one[measure] is not None]
            shift = 0.5 * ((k + 0.5) / len(rows) - 0.5)
            axes.errorbar(
                [one[measure] for one in lines],
                [methods.index(one["method"]) + shift for one in lines],
                xerr=[one[f"{measure} ±"] for one in lines],
                label=row if axes is panels[0] else None,
                color=colour,
                marker=marker,
                markersize=5,
                capsize=2,
                linestyle="none",
            )
        axes.set_xlabel(MEASURES[measure])
        axes.set_yticks(range(len(methods)), methods)
        axes.set_ylim(len(methods) - 0.5, -0.5)
        plain(axes)
    made.suptitle(table.title, x=0.01, ha="left", fontsize="medium")
    made.legend(loc="outside lower center", ncols=3, frameon=False)
    write_atomically(path, lambda part: made.savefig(part, format="png"))
    return path


EXPERIMENT = Experiment(
    name="faithfulness",
    title="Deletion, insertion and grid localisation of attributions",
    source="measures of arXiv 1806.07421 (RISE) and of the grid pointing game (CVPR "
    "2021, CoDA-Nets) on this library's presets; no published figures",
    needs={"small": "mnist", "paper": "cifar10"},
    time={"small": "2 minutes", "paper": "an hour"},
    figure=figure,
    run=run,
)
