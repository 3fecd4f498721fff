"""The precision that a recipe computes in: a Keras dtype policy, or "auto"."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from dlgn_keras.training.devices import device_name


def dtype_policy(precision: str) -> str:
    """Return the Keras dtype policy of a precision on this machine.

    "auto" is mixed_bfloat16 on an accelerator, where it is faster, and float32 on a
    CPU, where most compute it slower.

    Example:
        >>> from dlgn_keras.training.precision import dtype_policy
        >>> dtype_policy("mixed_float16")
        'mixed_float16'
    """
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if on_accelerator() else "float32"


def on_accelerator() -> bool:
    """Return whether the backend computes on something else than a CPU."""
    return "cpu" not in device_name().lower()


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Build and train under a precision's dtype policy, and put the old one back."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
