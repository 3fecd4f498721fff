"""Experiment 7: the value network's tangent kernel against the path kernel."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dlgn_keras import data, kernels
from dlgn_keras.experiments import tables
from dlgn_keras.experiments.experiment import Call, Experiment, describe
from dlgn_keras.experiments.tables import Table, mean_std
from dlgn_keras.models import DGN
from dlgn_keras.skeletons import Skeleton, parse
from dlgn_keras.tools.messages import check_choice

# Row -> skeleton with its width left open. In a chain of weight layers the
# expected tangent kernel is a number times the path kernel; with skips it is not.
SKELETONS = {
    "fc": "fc:depth=3,width={0}",
    "conv + GAP": "gconv:filters={0}-{0},units={0}-{0}",
    "resnet": "resnet8:widths={0}-{0}-{0},batch_norm=false",
}
CHAINS = ("fc", "conv + GAP")
WIDTHS = {"small": (8, 16, 32, 64), "paper": (32, 64, 128, 256, 512)}
IMAGES = {"small": 10, "paper": 50}


def run(call: Call) -> Table:
    """Compare the kernels of random nets with hard gates, at several widths."""
    rows = call.rows or tuple(SKELETONS)
    for row in rows:
        check_choice("rows", row, SKELETONS)
    if call.changes:
        raise ValueError(
            "`changes` must be empty: ntk-npk trains nothing. "
            f"Received: changes={call.changes!r}."
        )

    images = data.load("digits").take(IMAGES[call.scale])
    lines = []
    for row in rows:
        for width in WIDTHS[call.scale]:
            skeleton = parse(SKELETONS[row].format(width))
            call.runs.tell(describe(skeleton))
            draws = [compare(skeleton, images, seed) for seed in range(call.seeds)]
            lines.append(_line(row, width, skeleton, draws))
            call.make_table(lines, NOTES).write(call.folder)
    table = call.make_table(lines, NOTES)
    call.write(table)
    return table


def compare(skeleton: Skeleton, images: data.Dataset, seed: int) -> tuple[float, float]:
    """Return alignment and relative distance of the two kernels of one random net.

    The distance is that of the tangent kernel to its expectation over the value
    weights, `sum_l prod_{k != l} s_k^2 H` with s_k^2 the variance of layer k.
    """
    net = DGN(
        skeleton,
        images.input_shape,
        images.num_classes,
        gate="hard",
        preprocessing=images.preprocessing,
        seed=seed,
    )
    path_kernel = kernels.npk(net, images.x_train, progress=False)
    tangent = kernels.ntk(net, images.x_train, output=0, progress=False)
    # He's initializer: variance 2 over the number of inputs of a unit.
    affine = net.parameters("value").values()
    variances = [2 / np.prod(layer.kernel.shape[:-1]) for layer in affine]
    product = np.prod(variances)
    expected = sum(product / variance for variance in variances) * path_kernel
    distance = np.linalg.norm(tangent - expected) / np.linalg.norm(expected)
    return kernels.alignment(tangent, path_kernel), float(distance)


def _line(
    row: str, width: int, skeleton: Skeleton, draws: Sequence[tuple[float, float]]
) -> dict[str, Any]:
    alignments, distances = zip(*draws, strict=True)
    if row not in CHAINS:
        distances = ()
    return {
        "row": row,
        "width": width,
        "net": describe(skeleton),
        "seeds": len(draws),
        **mean_std("alignment", alignments),
        **mean_std("distance", distances),
        "3 / sqrt(width)": round(3 / width**0.5, 4),
    }


NOTES = (
    "`alignment`: centred alignment of the value network's numerical tangent kernel "
    "(one logit, hard random gates) with the neural path kernel, 1 where they are "
    "proportional.",
    "`distance`: |K - c H| / |c H| for one draw of the value weights, c = sum over "
    "layers of the product of the other layers' weight variances. The expected K is "
    "c H at any width, one draw scatters by about 3 / sqrt(width). With skips the "
    "expected K is no multiple of H: no distance.",
)


def figure(table: Table, path: Path) -> Path:
    """Draw the alignment over the width, a curve per architecture."""
    what = "alignment of the two kernels"
    return tables.row_curves(table, path, "width", "alignment", what, log=True)


EXPERIMENT = Experiment(
    name="ntk-npk",
    title="Numerical tangent kernel of the value network against the path kernel",
    source="arXiv 2006.10529, Theorem 5.1; arXiv 2110.03403, section 4 (theorems)",
    needs={"small": "nothing (digits)", "paper": "the same"},
    time={"small": "2 minutes", "paper": "one CPU core: an hour a seed"},
    figure=figure,
    run=run,
)
