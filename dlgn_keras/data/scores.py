"""Losses: what each asks of the labels, and how answers are scored against them.

"crossentropy" compares a logit per class with class numbers; "binary" one logit,
that of the second of two classes; "mse" numbers with numbers.
"""

from typing import Any

import numpy as np

from dlgn_keras.data.checks import check_arrays, check_numbers
from dlgn_keras.data.dataset import Dataset
from dlgn_keras.data.stored import pieces
from dlgn_keras.tools.numbers import log_softmax

# Loss -> the figure in a history.
LOSSES = {"crossentropy": "accuracy", "binary": "accuracy", "mse": "r2"}


def loss_of(net: Any) -> str:
    """Return the loss that a model was trained by, cross-entropy if it knows none."""
    return getattr(net, "about", {}).get("loss", "crossentropy")


def targets_of(loss: str) -> str:
    """Return the `targets` that a data set needs for a loss."""
    return "numbers" if loss == "mse" else "classes"


def check_outputs_fit(net: Any, dataset: Dataset) -> None:
    """Raise a ValueError unless the outputs of a model are those that the data ask for.

    Args:
        net: a model with `num_classes` outputs.
        dataset: what it is to be measured on.
    """
    loss = loss_of(net)
    if dataset.targets != targets_of(loss):
        raise ValueError(
            f"`dataset` must have targets={targets_of(loss)!r}, the model's. "
            f"Received: {dataset.name} with targets={dataset.targets!r}."
        )
    wanted = 2 if loss == "binary" else net.num_classes
    if dataset.num_classes != wanted:
        what = "outputs" if loss == "mse" else "classes"
        raise ValueError(
            f"`dataset` must have the model's {wanted} {what}. "
            f"Received: {dataset.name} with {dataset.num_classes}."
        )


def score(outputs: np.ndarray, labels: np.ndarray, loss: str) -> dict[str, float]:
    """Return accuracy, or R^2 of the loss mse, and the mean loss.

    Args:
        outputs: (n, outputs) of a model.
        labels: (n,) class numbers; (n, outputs) numbers for mse.
        loss: a key of `LOSSES`.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.data.scores import score
        >>> score(np.array([[-2.0], [1.0], [3.0], [4.0]]), np.array([0, 1, 1, 0]),
        ...       "binary")["accuracy"]
        0.75
    """
    if loss == "mse":
        errors = np.square(outputs - labels).mean(axis=0, dtype=float)
        explained = 1 - errors / np.maximum(labels.var(axis=0, dtype=float), 1e-12)
        return {"r2": float(explained.mean()), "loss": float(errors.mean())}
    if loss == "binary":  # the first class' logit is 0
        outputs = np.concatenate([np.zeros_like(outputs), outputs], axis=1)
    losses = -log_softmax(outputs)[np.arange(len(labels)), labels]
    hits = outputs.argmax(axis=1) == labels
    return {"accuracy": float(hits.mean()), "loss": float(losses.mean())}


def evaluate(
    net: Any, x: np.ndarray, y: np.ndarray, batch_size: int = 500
) -> dict[str, float]:
    """Return accuracy and mean loss of a model on raw inputs.

    The loss is that of the recipe that the model was trained by, cross-entropy if it
    was by none; of the loss mse, "r2" stands in place of the accuracy.
    """
    loss = loss_of(net)
    if loss == "mse":
        x, y = check_numbers(x, y, net.num_classes)
    else:
        x, y = check_arrays(x, y, max(2, net.num_classes))
    found = [
        (net.predict(inputs, batch_size=batch_size, verbose=0), labels)
        for inputs, labels in pieces(x, y)
    ]
    outputs, labels = (np.concatenate(part) for part in zip(*found, strict=True))
    return score(outputs, labels, loss)
