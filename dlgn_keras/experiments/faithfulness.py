"""Are contributions faithful? At each site, beside other attributions, on our zoo."""

from pathlib import Path
from typing import Any, NamedTuple

from dlgn_keras import data
from dlgn_keras.experiments.experiment import Call, Experiment
from dlgn_keras.experiments.runs import digest
from dlgn_keras.experiments.tables import Table, intervals
from dlgn_keras.experiments.verdicts import columns, verdicts
from dlgn_keras.interpret.attributions import methods_for
from dlgn_keras.interpret.faithfulness import Faithfulness, each_score
from dlgn_keras.presets import find, from_preset
from dlgn_keras.presets.files import read_metadata, sha256
from dlgn_keras.tools.files import make_folder, read_json, write_json
from dlgn_keras.training import environment

# The rows are presets.
SMALL = ("dnn_fc_mnist", "dgn_fc_mnist", "dlgn_fc_mnist")
CONV = ("dnn_conv_cifar10", "dgn_conv_cifar10", "dlgn_conv_cifar10")
DEEP = (
    *("dnn_c4gap_cifar10", "dgn_c4gap_cifar10", "dlgn_c4gap_cifar10"),
    *("dnn_resnet110_cifar10", "dlgn_resnet110_cifar10"),
)
PRESETS = {"small": (*CONV, *SMALL), "paper": (*CONV, *DEEP)}


class Size(NamedTuple):
    """How much is measured.

    images: for deletion and insertion. steps: of these curves.
    pool: test images that grids are drawn from. grids: {side: number}.
    """

    images: int
    steps: int
    pool: int
    grids: dict[int, int]


SIZES = {
    "small": Size(40, 10, 400, {2: 24, 3: 6}),
    "paper": Size(500, 20, 10000, {2: 250, 3: 250}),
}
MEASURES = {
    "deletion": "deletion: lower is better",
    "insertion": "insertion: higher is better",
    "2x2": "grids of 2x2: higher is better",
    "3x3": "grids of 3x3: higher is better",
}


def run(call: Call) -> Table:
    """Score every method on the same test images of each preset's data set."""
    if call.changes:
        raise ValueError(
            "`changes` must be empty: faithfulness trains nothing. "
            f"Received: changes={call.changes!r}."
        )
    size, lines = SIZES[call.scale], list[dict[str, Any]]()
    table = call.make_table(lines, NOTES)
    for row in call.rows or PRESETS[call.scale]:
        lines += score(call, row, size)
        table = call.make_table(lines, (*NOTES, *verdicts(lines, list(MEASURES))))
        table.facts["environments"] = [environment()]  # of no training run
        table.write(call.folder)
    call.write(table)
    return table


def score(call: Call, row: str, size: Size) -> list[dict[str, Any]]:
    """Return the lines of one preset; each is kept and not measured again."""
    folder = find(row)
    known = digest([sha256(folder / "model.weights.h5"), size])
    path = make_folder(call.runs.out / "runs") / f"faithfulness-{row}-{known}.json"
    kept: dict[str, Any] = read_json(path) if path.is_file() else {}
    net, name = from_preset(row), read_metadata(folder)["data"]["name"]
    call.runs.tell(f"{row} on {name}")
    whole = data.load(name, data_dir=call.runs.data_dir)
    test = whole.take(num_test=min(size.images, len(whole.y_test)))
    pool = whole.take(num_test=min(size.pool, len(whole.y_test)))
    methods = methods_for(net)
    missing = {k: method for k, method in methods.items() if k not in kept}
    pool_of = pool.x_test, pool.y_test
    given = test.x_test, test.y_test, missing, size.steps, size.grids
    for method, scores in each_score(net, *given, pool=pool_of):
        kept[method] = line(row, method, scores)
        write_json(path, kept)
        call.runs.tell(f"  {method}")
    return [kept[method] for method in methods]


def line(row: str, method: str, scores: Faithfulness) -> dict[str, Any]:
    """Return one line: each measure's mean and half its 95 % interval."""
    found: dict[str, Any] = {"row": row, "method": method}
    found |= columns("deletion", scores.deletion)
    found |= columns("insertion", scores.insertion)
    for side in (2, 3):
        found |= columns(f"{side}x{side}", scores.localisation.get(side))
    return found


NOTES = (
    "`deletion`: mean probability of the image's class while the pixels that a method "
    "ranks highest are replaced by the network's zero; `insertion`: while they come to "
    "an image of zeros.",
    "`2x2`, `3x3`: the grid pointing game by the protocol of B-cos networks: in grids "
    "of test images of different classes that the network classifies rightly, the "
    "most confident first, the share of a class's positive attribution in its cell; by "
    "chance 0.25 and 0.111. Blank for nets that flatten and so take no larger image "
    "(all `fc` nets here). At small scale 24 and 6 grids of 400 test images, at "
    "paper scale 250 of 10,000; networks see grids of their own.",
    "`contributions at SITE`: exact sums too, of the paths through each gate, spread "
    "over the pixels of its place. `soft contributions`: at soft gates in place of the "
    "hard ones; they sum to other logits than the network's, and no verdict counts "
    "them. Where global pooling and a linear layer follow the "
    "last site, Grad-CAM is the positive part of ours there, up to a factor: that tie "
    "is no finding. Integrated gradients take 16 steps; occlusion squares of 4 pixels, "
    "of 8 in grids.",
    "± is half of the 95 % confidence interval of the mean over images, or grids. All "
    "methods see the same images: for deletion and insertion the first test images of "
    "each class, equally many, rightly classified or not.",
    "`win` and `lose` below: the intervals do not overlap; each side is the best of "
    "its several methods.",
)


def figure(table: Table, path: Path) -> Path:
    """Draw each measure with its interval, a panel a measure."""
    shown = [m for m in MEASURES if any(one[m] is not None for one in table.lines)]
    panels = [(MEASURES[m], m, table.lines) for m in shown]
    return intervals(table, path, panels, "row")


EXPERIMENT = Experiment(
    name="faithfulness",
    title="Deletion, insertion and the grid pointing game for attributions",
    source="measures of arXiv 1806.07421 (RISE) and of the grid pointing game (CVPR "
    "2021, CoDA-Nets; CVPR 2022, B-cos) on this library's presets; no published "
    "figures",
    needs={"small": "mnist and cifar10", "paper": "cifar10"},
    time={"small": "20 minutes", "paper": "days on two cores; an accelerator helps"},
    figure=figure,
    run=run,
)
