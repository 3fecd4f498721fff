"""study: how the kernels of some models classify, and how they differ."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlgn_keras.kernels.examples import check_examples
from dlgn_keras.kernels.gram import npk
from dlgn_keras.kernels.measures import alignment, effective_rank, spectrum
from dlgn_keras.tools.messages import check_count

SHOWN_EIGENVALUES = 100
# Okabe and Ito's colours, with a mark and a kind of line each for grey print.
STYLES = (
    ("#0072B2", "o", "-"),
    ("#D55E00", "D", "--"),
    ("#000000", "x", ":"),
    ("#009E73", "s", "-."),
    ("#CC79A7", "^", "-"),
    ("#E69F00", "v", "--"),
    ("#56B4E9", "*", "-"),
)


def study(
    nets: Any,
    train: tuple[Any, Any],
    test: tuple[Any, Any],
    *,
    solver: str = "ridge",
    alpha: float = 1e-3,
    num_features: int = 2048,
    gram_size: int = 200,
    seed: int = 0,
    progress: bool | None = None,
) -> dict[str, Any]:
    """Return what the gates of models are worth, as data ready for json.

    Every model's own test accuracy stands beside that of a ridge or SVM on its
    neural path kernel, of the same on an untrained twin of the first model
    (random gates), and of a ridge on the raw inputs. The kernels of some test
    examples are compared by alignment, effective rank and spectrum.

    Args:
        nets: a trained DNN, DGN or DLGN, or {name: model}, all of one input shape.
        train: raw inputs (n, *input_shape) and labels 0..classes-1 (n,).
        test: the same, for the accuracies and the kernels compared.
        solver: "ridge", "svm" or "features", as in `NPKClassifier`.
        alpha: ridge penalty, in units of the mean diagonal.
        num_features: columns of the path features.
        gram_size: test examples whose kernels are compared.
        seed: integer for the random gates and the path features.
        progress: as in `npk`.

    Returns:
        {"settings": ..., "accuracy": [{"model", "classifier", "accuracy",
        "seconds"}], "kernels": {name: {"effective_rank", "label_alignment",
        "spectrum"}}, "alignment": {name: {name: float}}}.

    Raises:
        ValueError: inputs or labels that do not fit a model.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> rng = np.random.default_rng(0)
        >>> data = rng.normal(size=(30, 6)), np.arange(30) % 2
        >>> net = dk.DNN(dk.skeletons.fc(2, 16), (6,), num_classes=2)
        >>> sorted(dk.kernels.study(net, data, data)["kernels"])
        ['dnn', 'random gates']
    """
    from sklearn.linear_model import Ridge

    from dlgn_keras.kernels.classifier import NPKClassifier

    named = dict(nets) if isinstance(nets, Mapping) else {nets.family: nets}
    first = next(iter(named.values()))
    x, y = _labelled(first, "train", train)
    x_test, y_test = _labelled(first, "test", test)
    check_count("gram_size", gram_size)
    rows: list[dict[str, Any]] = []

    def note(model: str, classifier: str, start: float, right: np.ndarray) -> None:
        rows.append(
            {
                "model": model,
                "classifier": classifier,
                "accuracy": float(np.mean(right)),
                "seconds": round(time.perf_counter() - start, 3),
            }
        )

    def flat(inputs: np.ndarray) -> np.ndarray:
        return first.value_inputs(inputs).reshape(len(inputs), -1)

    start = time.perf_counter()
    targets = 2.0 * np.eye(first.num_classes)[y] - 1
    values = flat(x) if first.value_input == "input" else x.reshape(len(x), -1)
    others = x_test.reshape(len(x_test), -1)
    others = flat(x_test) if first.value_input == "input" else others
    linear = Ridge(alpha * float(np.mean(np.sum(values**2, axis=1))))
    scores = linear.fit(values, targets).predict(others)
    note("raw inputs", "ridge", start, scores.argmax(1) == y_test)

    every = {**named, "random gates": _untrained(first, seed)}
    kernels: dict[str, dict[str, Any]] = {}
    grams: dict[str, np.ndarray] = {}
    some = slice(0, gram_size)
    same_label = (y_test[some, None] == y_test[None, some]).astype(float)
    for name, net in every.items():
        if net is not every["random gates"]:
            start = time.perf_counter()
            logits = net.predict(x_test, verbose=0)
            note(name, "the network itself", start, logits.argmax(1) == y_test)
        start = time.perf_counter()
        options = {"num_features": num_features, "seed": seed, "progress": progress}
        learner = NPKClassifier(net, solver, alpha, **options).fit(x, y)
        note(name, f"npk {solver}", start, learner.predict(x_test) == y_test)
        grams[name] = np.array(npk(net, x_test[some], progress=progress))
        kernels[name] = {
            "effective_rank": effective_rank(grams[name]),
            "label_alignment": alignment(grams[name], same_label),
            "spectrum": spectrum(grams[name])[:SHOWN_EIGENVALUES].tolist(),
        }
    return {
        "settings": {
            "train": len(x),
            "test": len(x_test),
            "solver": solver,
            "alpha": alpha,
            "num_features": num_features if solver == "features" else None,
            "gram_size": len(y_test[some]),
            "seed": seed,
        },
        "accuracy": rows,
        "kernels": kernels,
        "alignment": {
            a: {b: alignment(grams[a], grams[b]) for b in grams} for a in grams
        },
    }


def _labelled(net: Any, name: str, pair: Any) -> tuple[np.ndarray, np.ndarray]:
    x, y = pair
    x, y = check_examples(net, name, x), np.asarray(y)
    whole = y.dtype.kind in "iu" and y.shape == x.shape[:1]
    if not whole or y.min() < 0 or y.max() >= net.num_classes:
        raise ValueError(
            f"`{name}` must hold {len(x)} labels from 0 to {net.num_classes - 1}. "
            f"Received: labels of shape {y.shape} and dtype {y.dtype}."
        )
    return x, y


def _untrained(net: Any, seed: int) -> Any:
    """Return a model of the same kind with fresh weights."""
    return type(net).from_config({**net.get_config(), "seed": seed, "name": "random"})


def draw_study(found: dict[str, Any], path: Any) -> None:
    """Draw the result of `study`: accuracies, spectra and alignments, to a file.

    Args:
        found: what `study` returned.
        path: name of the picture to write; its ending says the format.

    Example:
        >>> import tempfile, numpy as np, dlgn_keras as dk
        >>> data = np.random.default_rng(0).normal(size=(9, 4)), np.arange(9) % 2
        >>> net = dk.DNN(dk.skeletons.fc(1, 8), (4,), num_classes=2)
        >>> found = dk.kernels.study(net, data, data)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     dk.kernels.draw_study(found, f"{folder}/a.png")
    """
    from matplotlib.figure import Figure

    height = 3.2 + 0.25 * len(found["kernels"])
    figure = Figure(figsize=(16, height), layout="constrained", dpi=120)
    dots, curves, table = figure.subplots(1, 3, width_ratios=(1.1, 1, 1.1))
    _draw_accuracies(dots, found["accuracy"])
    _draw_spectra(curves, found["kernels"])
    names = list(found["alignment"])
    values = [[found["alignment"][a][b] for b in names] for a in names]
    table.imshow(values, vmin=0, vmax=1, cmap="Blues")
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            color = "white" if value > 0.6 else "black"
            table.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
    table.set_xticks(range(len(names)), names, rotation=30, ha="right")
    table.set_yticks(range(len(names)), names)
    table.set_title("centred alignment of kernels", loc="left")
    figure.savefig(path)


def _draw_accuracies(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Draw a line per model, a mark per classifier, each with its number."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = list(dict.fromkeys(row["classifier"] for row in rows))
    for kind in kinds:
        colour, marker = STYLES[kinds.index(kind) % len(STYLES)][:2]
        some = [row for row in rows if row["classifier"] == kind]
        heights = [models.index(row["model"]) for row in some]
        values = [100 * row["accuracy"] for row in some]
        axes.plot(values, heights, marker, color=colour, label=kind, markersize=7)
        above = kinds.index(kind) % 2 == 0
        for value, at in zip(values, heights, strict=True):
            offset = (0, 7 if above else -13)
            how = {"ha": "center", "color": colour, "fontsize": "small"}
            axes.annotate(
                f"{value:.1f}", (value, at), offset, textcoords="offset points", **how
            )
    axes.set_yticks(range(len(models)), models)
    axes.set_ylim(len(models) - 0.4, -0.6)
    axes.margins(x=0.1)
    axes.set_xlabel("test accuracy, %")
    axes.set_title("what the gates are worth", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="best")


def _draw_spectra(axes: Any, kernels: dict[str, dict[str, Any]]) -> None:
    for k, (name, kernel) in enumerate(kernels.items()):
        shares = np.maximum(kernel["spectrum"], 1e-16)
        label = f"{name}: effective rank {kernel['effective_rank']:.1f}"
        colour, _, line = STYLES[k % len(STYLES)]
        places = np.arange(1, len(shares) + 1)
        axes.loglog(places, shares, line, color=colour, label=label)
    axes.set_xlabel("eigenvalue, largest first")
    axes.set_ylabel("share of the trace")
    axes.set_title("spectra of the kernels", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="upper right")
