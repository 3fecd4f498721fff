"""Which outputs are taken apart: a class or an entry of a map, and a second one."""

from typing import Any

import numpy as np
from keras import ops

# In place of a class: the largest logit, nothing, and the largest other logit.
PREDICTED, NOTHING, NEXT = -1, -2, -3


def check_target(
    target: Any, number: int, num_classes: int, name: str = "target"
) -> np.ndarray | None:
    """Return the class of every example as int64, or None for "the predicted one"."""
    if target is None:
        return None
    classes = np.asarray(target)
    if classes.shape not in ((), (number,)) or classes.dtype.kind not in "iu":
        raise ValueError(
            f"`{name}` must be None, a class, or one class per example "
            f"({number}). Received: {name}={target!r}."
        )
    if classes.size and not (0 <= classes.min() and classes.max() < num_classes):
        raise ValueError(
            f"`{name}` must be a class from 0 to {num_classes - 1}. "
            f"Received: {name}={target!r}."
        )
    return np.broadcast_to(classes, (number,)).astype("int64")


def flat_target(
    target: Any, number: int, shape: tuple, name: str = "target"
) -> np.ndarray | None:
    """Return what to explain as places in flattened outputs, None for the largest."""
    if len(shape) == 1 or target is None:
        return check_target(target, number, shape[0], name)
    entries = np.asarray(target)
    whole = entries.dtype.kind in "iu"
    if entries.shape not in ((len(shape),), (number, len(shape))) or not (
        whole and (entries >= 0).all() and (entries < shape).all()
    ):
        raise ValueError(
            f"`{name}` must be None or an entry of the outputs of shape {shape}, such "
            f"as {(0,) * len(shape)}, or one per example ({number}). "
            f"Received: {name}={target!r}."
        )
    flat = np.ravel_multi_index(tuple(np.moveaxis(entries, -1, 0)), shape)
    return np.broadcast_to(flat, (number,)).astype("int64")


def chosen_outputs(
    target: Any, against: Any, number: int, shape: tuple
) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat places of both for every example, int32; see `one_hot`."""
    first = flat_target(target, number, shape)
    if against is not None and np.prod(shape) < 2:
        raise ValueError(
            "`against` needs a model of two outputs or more. "
            f"Received: against={against!r} for one output."
        )
    if isinstance(against, str) and against == "next":
        second: Any = np.full(number, NEXT)
    else:
        second = flat_target(against, number, shape, "against")
    if second is None:
        second = np.full(number, NOTHING)
    if first is None:
        first = np.full(number, PREDICTED)
    if (first == second).any():
        raise ValueError(
            "`against` must be another class than the target. "
            f"Received: against={against!r} and target={target!r}."
        )
    return first.astype("int32"), second.astype("int32")


def one_hot(logits: Any, target: Any, against: Any) -> tuple[Any, Any, Any]:
    """Return both classes, -1 for none, and rows: 1 at the target, -1 at the other."""
    number = logits.shape[-1]
    best = ops.cast(ops.argmax(logits, axis=1), "int32")
    target = ops.where(target == PREDICTED, best, target)
    hot = ops.one_hot(target, number, dtype="float32")
    others = ops.where(hot > 0, -float("inf"), logits)
    second = ops.cast(ops.argmax(others, axis=1), "int32")
    against = ops.where(against == NEXT, second, ops.maximum(against, -1))
    return target, against, hot - ops.one_hot(against, number, dtype="float32")
