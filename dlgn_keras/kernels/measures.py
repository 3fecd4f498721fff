"""Measures of Grams, and a study that compares the kernels of several models."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from dlgn_keras.kernels.gram import npk
from dlgn_keras.kernels.plan import on_skeleton
from dlgn_keras.kernels.tiles import check_examples
from dlgn_keras.tools.messages import check_count
from dlgn_keras.tools.palette import AMOUNT, COLOURS, MARKERS

SHOWN_EIGENVALUES = 100
LINES = ("-", "--", ":", "-.")


def check_gram(name: str, gram: Any) -> np.ndarray:
    """Return a Gram as a float64 array; raise a ValueError if it is not one."""
    gram = np.asarray(gram, np.float64)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1] or not gram.size:
        raise ValueError(
            f"`{name}` must be a square matrix. Received: {name} of shape {gram.shape}."
        )
    if not np.isfinite(gram).all():
        raise ValueError(f"`{name}` must be finite. Received: NaN or infinite entries.")
    return gram


def alignment(first: Any, second: Any, centered: bool = True) -> float:
    """Return the alignment `<A, B>_F / (|A|_F |B|_F)` of two Grams, in [-1, 1].

    Args:
        first, second: Grams (n, n) of the same examples.
        centered: whether to centre the features first.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> round(dk.kernels.alignment(np.eye(4), 3 * np.eye(4)), 6)
        1.0

    Reference: Cortes et al., JMLR 2012 (centred kernel alignment).
    """
    a, b = check_gram("first", first), check_gram("second", second)
    if a.shape != b.shape:
        raise ValueError(
            "`first` and `second` must be Grams of the same examples. "
            f"Received: shapes {a.shape} and {b.shape}."
        )
    if centered:
        a, b = _centre(a), _centre(b)
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    if norms == 0:
        raise ValueError("`first` and `second` must not be constant.")
    return float(np.sum(a / np.linalg.norm(a) * (b / np.linalg.norm(b))))


def _centre(gram: np.ndarray) -> np.ndarray:
    rows = gram.mean(0, keepdims=True)
    return gram - rows - gram.mean(1, keepdims=True) + rows.mean()


def eigenvalues(gram: Any) -> np.ndarray:
    """Return the eigenvalues divided by their sum, largest first.

    Args:
        gram: Gram (n, n), symmetric.

    Returns:
        array (n,), float64.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> dk.kernels.eigenvalues(np.diag([1.0, 3.0])).tolist()
        [0.75, 0.25]
    """
    gram = check_gram("gram", gram)
    return np.linalg.eigvalsh(gram / _trace(gram))[::-1]


def effective_rank(gram: Any) -> float:
    """Return the effective rank `(tr H)^2 / tr(H^2)`; k equal eigenvalues give k.

    Args:
        gram: Gram (n, n), symmetric.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> round(dk.kernels.effective_rank(np.eye(5)), 6)
        5.0
    """
    gram = check_gram("gram", gram)
    return float(1 / np.sum((gram / _trace(gram)) ** 2))


def nu(gram: Any, labels: Any, ridge: float = 0.0) -> float:
    """Return `nu = y^T (H / tr H)^-1 y`: small if the kernel fits the labels.

    Args:
        gram: Gram (n, n).
        labels: (n,) of two values, which become -1 and +1.
        ridge: added to the diagonal of `H / tr H`; 0 is the published measure.

    Raises:
        ValueError: labels of another length or not of two values, or a Gram that is
            not positive definite.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> dk.kernels.nu(np.eye(4), [0, 1, 1, 0])
        16.0

    Reference: arXiv 2006.10529, section 6 (kernel alignment over training).
    """
    gram = check_gram("gram", gram)
    labels = np.asarray(labels)
    values = np.unique(labels)
    if labels.shape != gram.shape[:1] or len(values) != 2:
        raise ValueError(
            f"`labels` must be {len(gram)} entries of two values. Received: shape "
            f"{labels.shape} with {len(values)} values."
        )
    signs = np.where(labels == values[1], 1.0, -1.0)
    matrix = gram / _trace(gram) + ridge * np.eye(len(gram))
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        raise ValueError(
            "`gram` must be positive definite; give a small `ridge` (such as 1e-10). "
            f"Received: a Gram of rank {np.linalg.matrix_rank(matrix)} of {len(gram)}."
        ) from None
    return float(signs @ np.linalg.solve(matrix, signs))


def _trace(gram: np.ndarray) -> float:
    trace = float(np.trace(gram))
    if trace <= 0:
        raise ValueError(f"`gram` must have a positive trace. Received: {trace:.3g}.")
    return trace


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
    """Compare trained gates, untrained gates and raw inputs; return data for JSON.

    Test accuracy is measured for every model, for a ridge or SVM classifier on its
    neural path kernel, for the same classifier on an untrained copy of the first model
    (random gates), and for a ridge on the raw inputs. Alignment, effective rank and
    eigenvalues compare the kernels of the first `gram_size` test examples.

    Args:
        nets: a trained DNN, DGN or DLGN, a twin whose graph is a skeleton, or
            {name: model}, all of one input shape.
        train: raw inputs (n, *input_shape) and labels 0..classes-1 (n,).
        test: the same, for the accuracies and the kernels compared.
        solver: "ridge", "svm" or "features", as in `NPKClassifier`.
        alpha: ridge penalty, in units of the mean diagonal.
        num_features: columns of the path features.
        gram_size: number of test examples whose kernels are compared.
        seed: integer for the random gates and the path features.
        progress: as in `npk`.

    Returns:
        {"settings": ..., "accuracy": [{"model", "classifier", "accuracy",
        "seconds"}], "kernels": {name: {"effective_rank", "label_alignment",
        "eigenvalues"}}, "alignment": {name: {name: float}}}.

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
    named = {name: on_skeleton(net) for name, net in named.items()}
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
            "eigenvalues": eigenvalues(grams[name])[:SHOWN_EIGENVALUES].tolist(),
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
    """Draw the result of `study` to a file: accuracies, spectra and alignments.

    Args:
        found: the result of `study`.
        path: file to write; its suffix sets the format.

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
    table.imshow(values, vmin=0, vmax=1, cmap=AMOUNT)
    for i, row in enumerate(values):
        for j, value in enumerate(row):
            color = "black" if value > 0.5 else "white"
            table.text(j, i, f"{value:.2f}", ha="center", va="center", color=color)
    table.set_xticks(range(len(names)), names, rotation=30, ha="right")
    table.set_yticks(range(len(names)), names)
    table.set_title("centred alignment of kernels", loc="left")
    figure.savefig(path)


def _draw_accuracies(axes: Any, rows: list[dict[str, Any]]) -> None:
    """Draw a row per model with a labelled marker per classifier."""
    models = list(dict.fromkeys(row["model"] for row in rows))
    kinds = list(dict.fromkeys(row["classifier"] for row in rows))
    for kind in kinds:
        k = kinds.index(kind)
        colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
        some = [row for row in rows if row["classifier"] == kind]
        heights = [models.index(row["model"]) for row in some]
        values = [100 * row["accuracy"] for row in some]
        axes.plot(values, heights, marker, color=colour, label=kind, markersize=7)
        above = k % 2 == 0
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
    axes.set_title("models and their kernels", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="small", loc="best")


def _draw_spectra(axes: Any, kernels: dict[str, dict[str, Any]]) -> None:
    for k, (name, kernel) in enumerate(kernels.items()):
        shares = np.maximum(kernel["eigenvalues"], 1e-16)
        label = f"{name}: effective rank {kernel['effective_rank']:.1f}"
        colour, line = COLOURS[k % len(COLOURS)], LINES[k % len(LINES)]
        places = np.arange(1, len(shares) + 1)
        axes.loglog(places, shares, line, color=colour, label=label)
    axes.set_xlabel("eigenvalue, largest first")
    axes.set_ylabel("share of the trace")
    axes.set_title("spectra of the kernels", loc="left")
    axes.grid(alpha=0.3)
    axes.legend(fontsize="x-small", loc="upper right")
