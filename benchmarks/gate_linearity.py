"""How well a linear map of the pixels predicts the gates of a trained ReLU network.

    python benchmarks/gate_linearity.py [dnn_conv_cifar10 dnn_c4gap_cifar10]

The gates of a DLGN are affine in the image, those of a ReLU network need not be. For
each site of a DNN, a ridge regression on the site's receptive field (at the middle of
the feature map) predicts which units are on. It is fitted on training images; the
penalty is chosen on a fifth of them; the area under the ROC curve of each unit is
measured on test images, which nothing chose. The same with pixels averaged over 2 x 2
and 4 x 4 first. Writes table.md, table.json and figure.png into gate-linearity/.
"""

import argparse
import json
from pathlib import Path

import machine
import numpy as np
from matplotlib.figure import Figure

import dlgn_keras as dk
from dlgn_keras.models.shallow import shallow_skeletons
from dlgn_keras.skeletons.window import Window

HERE = Path(__file__).parent / "gate-linearity"
PRESETS = ("dnn_conv_cifar10", "dnn_c4gap_cifar10")
POOLS = (1, 2, 4)
PENALTIES = 10.0 ** np.arange(-4, 2)  # of the mean diagonal
SELDOM = 0.02  # a unit that is on, or off, in fewer images is left out


def middle_gates(net, x):
    """Return {site: (n, units) gates, 0 or 1} at the middle of each feature map."""
    parts = []
    for start in range(0, len(x), 500):
        gates = net.gates(x[start : start + 500])
        parts.append({site: at_middle(gate) for site, gate in gates.items()})
    return {site: np.concatenate([p[site] for p in parts]) for site in parts[0]}


def at_middle(gate):
    if gate.ndim == 2:
        return gate
    return gate[:, gate.shape[1] // 2, gate.shape[2] // 2]


def receptive_field(z, stage, size):
    """Return the pixels (n, w, w, c) that the middle place of a site depends on."""
    if not hasattr(stage, "window"):
        return z
    length = z.shape[1]
    window = Window(stage.window.size, stage.window.strides, stage.window.padding)
    start = (size // 2) * window.strides - window.pads(length)[0]
    part = slice(max(start, 0), min(start + window.size, length))
    return z[:, part, part]


def pooled(z, by):
    """Average over by x by pixels; what is left over at the end is left out."""
    n, side, _, channels = z.shape
    cut = side // by * by
    blocks = z[:, :cut, :cut].reshape(n, cut // by, by, cut // by, by, channels)
    return blocks.mean(axis=(2, 4))


def scores(x, y, x_test):
    """Return test scores of the ridge whose penalty is best on a fifth of x, y."""
    fit = len(x) * 4 // 5
    held = predictions(x[:fit], y[:fit], x[fit:], PENALTIES)
    best = max(PENALTIES, key=lambda p: auc(held[p], y[fit:]).mean())
    return predictions(x, y, x_test, [best])[best], float(best)


def predictions(x, y, x_test, penalties):
    mean = x.mean(axis=0)
    x, x_test = x - mean, x_test - mean
    values, vectors = np.linalg.eigh(x.T @ x)
    left, right = x_test @ vectors, vectors.T @ (x.T @ (y - y.mean(axis=0)))
    size = values.mean()
    return {p: left @ (right / (values + p * size)[:, None]) for p in penalties}


def auc(score, gate):
    """Return the area under the ROC curve of each unit: columns of scores and gates."""
    ranks = score.argsort(axis=0).argsort(axis=0) + 1.0
    on = gate.sum(axis=0)
    below = (ranks * gate).sum(axis=0) - on * (on + 1) / 2
    return below / (on * (len(gate) - on))


def measure(name, dataset, train, test):
    """Return one row for each site and pooling of a preset."""
    net = dk.from_preset(name)
    stages = {
        site: made.stages[-2 if len(made.stages) > 1 else -1]
        for site, made in shallow_skeletons(net.skeleton, net.input_shape[1:]).items()
    }
    sets = (dataset.x_train[:train], dataset.x_test[:test])
    (z, gates), (z_test, gates_test) = (
        (net.preprocessed(x), middle_gates(net, x)) for x in sets
    )
    rows = []
    for site, shape in net.sites:
        alive = np.abs(gates[site].mean(axis=0) - 0.5) < 0.5 - SELDOM
        alive &= np.abs(gates_test[site].mean(axis=0) - 0.5) < 0.5 - SELDOM
        y, y_test = gates[site][:, alive], gates_test[site][:, alive]
        fields = [receptive_field(part, stages[site], shape[0]) for part in (z, z_test)]
        for by in POOLS:
            if fields[0].shape[1] < 2 * by and by > 1:
                continue
            flat = [pooled(f, by).reshape(len(f), -1) for f in fields]
            found, penalty = scores(flat[0], y, flat[1])
            areas = auc(found, y_test)
            low, half, high = np.quantile(areas, (0.25, 0.5, 0.75))
            rows.append(
                {
                    "preset": name, "site": site, "field": fields[0].shape[1],
                    "pool": by, "pixels": flat[0].shape[1], "units": int(alive.sum()),
                    "median": float(half), "low": float(low), "high": float(high),
                    "penalty": penalty,
                }
            )  # fmt: skip
            print(rows[-1], flush=True)
    return rows


def draw(rows):
    names = list(dict.fromkeys(row["preset"] for row in rows))
    figure = Figure(figsize=(4.2 * len(names), 3.4), layout="constrained")
    for axes, name in zip(
        np.atleast_1d(figure.subplots(1, len(names), sharey=True)), names, strict=True
    ):
        mine = [row for row in rows if row["preset"] == name]
        sites = list(dict.fromkeys(row["site"] for row in mine))
        for by in POOLS:
            line = [row for row in mine if row["pool"] == by]
            at = [sites.index(row["site"]) for row in line]
            label = "pixels" if by == 1 else f"averaged {by} x {by}"
            axes.plot(at, [row["median"] for row in line], "o-", label=label)
            if by == 1:
                bounds = ([row[end] for row in line] for end in ("low", "high"))
                axes.fill_between(at, *bounds, alpha=0.2)
        axes.axhline(0.5, color="gray", linewidth=0.8)
        axes.set_xticks(range(len(sites)), sites, rotation=45, ha="right")
        axes.set_title(name)
    figure.axes[0].set_ylabel("area under the ROC curve, test images")
    figure.axes[0].legend()
    return figure


def write(rows, train, test):
    HERE.mkdir(exist_ok=True)
    made = {"machine": machine.header(), "train": train, "test": test}
    (HERE / "table.json").write_text(json.dumps({**made, "rows": rows}, indent=1))
    head = ("preset", "site", "receptive field", "pixels averaged", "units", "AUC")
    names = " ".join(dict.fromkeys(row["preset"] for row in rows))
    command = f"python benchmarks/gate_linearity.py {names}"
    lines = [
        f"`{command} --train {train} --test {test}`: area under the ROC curve, median",
        "(quartiles) over the units that are neither always on nor always off.",
        "",
        made["machine"],
        "",
    ]
    lines += [f"| {' | '.join(head)} |", f"| {' | '.join('---' for _ in head)} |"]
    for row in rows:
        area = f"{row['median']:.3f} ({row['low']:.3f}-{row['high']:.3f})"
        cells = (row["preset"], row["site"], row["field"], row["pool"], row["units"])
        lines.append(f"| {' | '.join(map(str, cells))} | {area} |")
    (HERE / "table.md").write_text("\n".join(lines) + "\n")
    draw(rows).savefig(HERE / "figure.png", dpi=150)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("presets", nargs="*", default=PRESETS)
    parser.add_argument("--train", type=int, default=20000)
    parser.add_argument("--test", type=int, default=10000)
    parser.add_argument("--data-dir")
    given = parser.parse_args()
    rows = []
    for name in given.presets:
        data = dk.presets()[name].data
        dataset = dk.data.load(data, data_dir=given.data_dir)
        rows += measure(name, dataset, given.train, given.test)
    write(rows, given.train, given.test)


if __name__ == "__main__":
    main()
