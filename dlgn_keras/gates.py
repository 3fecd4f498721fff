"""Gate functions: from pre-activations to gates, in `keras.ops` alone.

Keras is imported when a gate is computed: recipes check theirs without it.
A gate says how far a unit is on. With pre-activation `q`:

- hard: `1{q > 0}`, no gradient;
- soft: `sigmoid(beta * q)`, differentiable;
- straight-through: hard forward, the soft gate's gradient backward.

Reference: arXiv 2006.10529, section 2 (hard and soft gates).
"""

from typing import Any

from dlgn_keras.tools.messages import check_choice

MODES = ("hard", "soft", "straight_through")


def hard(pre_activations: Any) -> Any:
    """Return `1{q > 0}` in the dtype of `q`.

    Example:
        >>> from keras import ops
        >>> from dlgn_keras import gates
        >>> ops.convert_to_numpy(gates.hard(ops.array([-1.0, 0.0, 2.0]))).tolist()
        [0.0, 0.0, 1.0]
    """
    from keras import ops

    return ops.cast(pre_activations > 0, pre_activations.dtype)


def soft(pre_activations: Any, beta: float) -> Any:
    """Return `sigmoid(beta * q)`; `beta` is a slope, per unit of pre-activation."""
    import keras
    from keras import ops

    if keras.backend.backend() == "jax" and pre_activations.dtype == "float32":
        # The same function; XLA's own takes CPUs up to twice as long.
        return 0.5 + 0.5 * ops.tanh(0.5 * beta * pre_activations)
    return ops.sigmoid(beta * pre_activations)


def straight_through(pre_activations: Any, beta: float) -> Any:
    """Return the hard gate with the gradient of the soft one."""
    from keras import ops

    smooth = soft(pre_activations, beta)
    return smooth + ops.stop_gradient(hard(pre_activations) - smooth)


def apply(pre_activations: Any, mode: str, beta: float, scale: float = 1.0) -> Any:
    """Return the gates that a mode, a slope and a scale make of pre-activations.

    Args:
        pre_activations: tensor or array of floats, any shape.
        mode: "hard", "soft" or "straight_through".
        beta: slope of the soft gate, per unit of pre-activation, above 0.
        scale: factor on the gate; the code of arXiv 2006.10529 uses 1.1 on
            its soft gates, everybody else 1.
    """
    from keras import ops

    q = ops.convert_to_tensor(pre_activations)
    if mode == "hard":
        gate = hard(q)
    elif mode == "soft":
        gate = soft(q, beta)
    else:
        gate = straight_through(q, beta)
    return gate if scale == 1.0 else scale * gate


def check(mode: str, beta: float, scale: float = 1.0) -> None:
    """Raise a ValueError unless mode, beta and scale describe a gate."""
    check_choice("gate", mode, MODES)
    for name, value in (("beta", beta), ("gate_scale", scale)):
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or not 0 < value < float("inf"):
            raise ValueError(
                f"`{name}` must be a finite number above 0. Received: {name}={value!r}."
            )
