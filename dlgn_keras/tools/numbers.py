"""Numbers that several rooms compute, draw or print: softmax, seeds, percentages."""

import random
import statistics
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

# What a score in a history is called in tables, where it is written in per cent.
FIGURES = {"accuracy": "accuracy", "r2": "R^2"}


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax over the last axis.

    Example:
        >>> import numpy as np
        >>> softmax(np.array([[0.0, 0.0]])).tolist()
        [[0.5, 0.5]]
    """
    odds = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return odds / odds.sum(axis=-1, keepdims=True)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Return 1 / (1 + exp(-logits)), without overflow."""
    return 0.5 + 0.5 * np.tanh(logits / 2)


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Return the logarithm of the softmax over the last axis.

    Example:
        >>> import numpy as np
        >>> log_softmax(np.array([[0.0, 1e4]])).tolist()
        [[-10000.0, 0.0]]
    """
    shifted = logits - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def deviation(values: Sequence[float]) -> float | None:
    """Return the sample standard deviation, or None for a single value."""
    return statistics.stdev(values) if len(values) > 1 else None


def percent(mean: float | None, spread: float | None = None, digits: int = 2) -> str:
    """Return a share as a percentage, with its deviation if there is one.

    Example:
        >>> percent(0.9712, 0.0034), percent(0.5), percent(None)
        ('97.12 ± 0.34', '50.00', '')
    """
    if mean is None:
        return ""
    text = f"{100 * mean:.{digits}f}"
    return text if spread is None else f"{text} ± {100 * spread:.{digits}f}"


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed Python's global generator in the `with` block, then restore its state.

    Keras draws from it the seeds of layers and initializers that have none.

    Example:
        >>> import random
        >>> with seeded(3):
        ...     first = random.random()
        >>> with seeded(3):
        ...     again = random.random()
        >>> first == again
        True
    """
    before = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(before)
