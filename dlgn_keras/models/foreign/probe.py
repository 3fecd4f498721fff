"""Probe a function of tensors: is it affine, one example at a time?

The class of a layer says little about what it computes. A few random inputs say more:
an affine map takes lines to lines, and no example changes another.
"""

import re
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from dlgn_keras.autodiff import vjp

# Largest relative error of an affine map in these precisions.
TOLERANCES = {"float64": 1e-6, "float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}
LARGE = 1 << 20  # entries of an example above which one line has to do
NOT_AFFINE = "is not affine"
MIXES = "mixes the examples of a batch"
NOT_FINITE = "gives values that are not finite"
NOT_SLOPE = "has a gradient that is not its slope"
WHOLE = "makes whole numbers"

Specs = list[tuple[tuple[int, ...], str]]  # shape without the batch, dtype
Arrays = list[np.ndarray]


def problem(
    function: Callable,
    specs: Specs,
    whole: bool = False,
    fixed: int | None = None,
    precision: str = "float32",
) -> str | None:
    """Return why a function is not affine example by example, or None if it is.

    The function is evaluated twice and its gradient taken once, on points `a, b,
    a + t(b - a)` of lines at three scales: 9 examples, 3 where `whole` is true or an
    input is large. Variables keep their values.

    Args:
        function: tensors (n, *shape), one for each of `specs`, to a tensor or a
            structure of tensors (n, ...).
        specs: shape and dtype of each input.
        whole: whether the function is a whole network. Its values may be far smaller
            than the sums they are made of: errors are measured by these sums.
        fixed: a batch size not to use, since the function may be made for it.
        precision: the lowest one that the function computes in, apart from those of
            its inputs and outputs.
    """
    scales = [0.1, 3.0, 1e3]
    size = max(int(np.prod(shape)) for shape, _ in specs)
    if whole or size > LARGE or any(dtype == "float16" for _, dtype in specs):
        scales = [1.0]
    if fixed == 3 * len(scales):
        scales.append(1.0)
    rng = np.random.default_rng(0)
    steps = rng.uniform(0.3, 0.7, size=len(scales))
    inputs = [_lines(rng, *spec, scales, steps) for spec in specs]

    def stateless(*tensors: Any) -> Any:
        # A scope of its own: a traced value must not stay for the next call.
        with keras.StatelessScope():
            return function(*tensors)

    try:
        found = _problem(stateless, specs, inputs, steps, whole, precision)
    except Exception as error:  # of a layer that may be anyone's
        return f"cannot be called with {3 * len(scales)} examples: {told(error)}"
    if found == MIXES and differ(function, function, specs):
        return "is random"
    return found


def affine_in(function: Callable, specs: Specs, kept: list[int]) -> bool:
    """Return whether a function is affine in some inputs while the others stay.

    The others are the same for all examples; those of whole numbers are 1.
    """
    rng = np.random.default_rng(2)
    fixed = {
        k: _tensor(np.abs(rng.normal(size=shape)) + 0.5, dtype)
        if "float" in dtype
        else ops.ones(shape, dtype)
        for k, (shape, dtype) in enumerate(specs)
        if k not in kept
    }

    def of_some(*values: Any) -> Any:
        count, given = ops.shape(values[0])[0], iter(values)
        return function(
            *(
                ops.repeat(fixed[k][None], count, axis=0) if k in fixed else next(given)
                for k in range(len(specs))
            )
        )

    return problem(of_some, [specs[k] for k in kept]) is None


def keeps_apart(function: Callable, specs: Specs) -> bool:
    """Return whether no example of a batch changes what comes out of another.

    The inputs are above 0, for roots and logarithms.
    """
    rng = np.random.default_rng(3)
    rows = [np.abs(rng.normal(size=(5, *shape))) + 0.1 for shape, _ in specs]
    with keras.StatelessScope():
        one, other = (
            keras.tree.flatten(function(*_tensors(x, specs)))
            for x in (rows, [np.concatenate([x[3:4], x[:1]]) for x in rows])
        )
    for y, z in zip(one, other, strict=True):
        if tuple(y.shape[:1]) != (5,) or tuple(z.shape[:1]) != (2,):
            return False
        y, z = numbers(y), numbers(z)
        size = np.abs(np.nan_to_num(y)).max(axis=1)
        if not _equal(
            np.nan_to_num(y[[3, 0]]), np.nan_to_num(z), 1e-3 * size[[3, 0]] + 1e-30
        ):
            return False
    return True


def differ(one: Callable, other: Callable, specs: Specs) -> bool:
    """Return whether two functions of the same tensors differ on random inputs.

    A random function differs from itself.
    """
    rng = np.random.default_rng(1)
    inputs = [_lines(rng, *spec, [1.0], np.array([0.5])) for spec in specs]
    tensors = _tensors(inputs, specs)
    with keras.StatelessScope():
        outputs = [keras.tree.flatten(f(*tensors)) for f in (one, other)]
    for y, z in zip(*outputs, strict=True):
        if y.shape != z.shape:
            return True
        dtype = keras.backend.standardize_dtype(y.dtype)
        y, z = numbers(y), numbers(z)
        if not _equal(y, z, TOLERANCES.get(dtype, 0) * np.abs(y).max(axis=1)):
            return True
    return False


def _lines(
    rng: Any, shape: tuple[int, ...], dtype: str, scales: list[float], steps: Any
) -> np.ndarray:
    """Return the points `a, b, a + t(b - a)` of each line: (3 * lines, *shape)."""
    rows = []
    for scale, t in zip(scales, steps, strict=True):
        if "float" in dtype:
            a, b = scale * rng.normal(size=(2, *shape))
            rows += [a, b, a + t * (b - a)]
        else:  # even numbers, so that the one half-way is whole too
            a, b = 2 * rng.integers(0, 60, size=(2, *shape))
            rows += [a, b, (a + b) // 2]
    return np.stack(rows)


def _problem(
    function: Callable,
    specs: Specs,
    inputs: Arrays,
    steps: np.ndarray,
    whole: bool,
    precision: str,
) -> str | None:
    count, dtypes = len(inputs[0]), [dtype for _, dtype in specs]
    # Each example is moved by two places, and one with large values is left out.
    outputs = keras.tree.flatten(
        function(*_tensors([_moved(x) for x in inputs], specs))
    )
    made = [keras.backend.standardize_dtype(y.dtype) for y in outputs]
    floats = all("float" in dtype for dtype in dtypes)
    for y, dtype in zip(outputs, made, strict=True):
        if tuple(y.shape[:1]) != (count,):
            return f"{MIXES}: {count} make the shape {tuple(y.shape)}"
        if floats and "float" not in dtype:
            return f"{WHOLE} ({dtype})"
    tolerance = max(TOLERANCES.get(d, 0) for d in [*dtypes, *made, precision])
    values, gradients = _evaluated(function, specs, inputs)
    elsewhere = numbers(_rows(outputs, count))
    if not np.isfinite([values, elsewhere]).all():
        return NOT_FINITE
    scale = np.abs(values).max(axis=1)
    if whole:
        scale = scale + sum(
            np.abs(g * x.reshape(g.shape)).sum(axis=1)
            for g, x in zip(gradients, inputs, strict=True)
        )
    if not _equal(elsewhere, _moved(values), tolerance * _moved(scale)):
        return MIXES
    steps = steps if floats else np.full_like(steps, 0.5)
    line = values[::3] + steps[:, None] * (values[1::3] - values[::3])
    if not _equal(values[2::3], line, tolerance * scale.reshape(-1, 3).max(axis=1)):
        return NOT_AFFINE
    return _slope_problem(values, gradients, inputs, tolerance) if floats else None


def _evaluated(
    function: Callable, specs: Specs, inputs: Arrays
) -> tuple[np.ndarray, Arrays]:
    """Return values (n, entries), and the gradients of what rises along each line.

    A gradient is (n, entries) for each input; whole numbers have none.
    """
    count = len(inputs[0])
    rows = lambda z: _rows(keras.tree.flatten(function(*z)), count)  # noqa: E731
    tensors = _tensors(inputs, specs)
    if not all("float" in dtype for _, dtype in specs):
        gradients = [np.zeros((count, x[0].size)) for x in inputs]
        return numbers(rows(tensors)), gradients
    output, pull = vjp(rows, tensors)
    values = numbers(output)
    with np.errstate(invalid="ignore"):  # of values that are not finite
        rise = np.repeat(values[1::3] - values[::3], 3, axis=0)
    return values, [numbers(g) for g in pull(_tensor(np.sign(rise), "float32"))]


def _slope_problem(
    values: np.ndarray, gradients: Arrays, inputs: Arrays, tolerance: float
) -> str | None:
    """Return whether gradients change along the lines, or are not their slopes."""
    a, b = values[::3], values[1::3]
    rises, sizes = np.abs(b - a).sum(axis=1), (np.abs(a) + np.abs(b)).sum(axis=1)
    slopes = np.zeros_like(rises)
    for g, x in zip(gradients, inputs, strict=True):
        x = x.reshape(len(x), -1)
        product = g[::3] * (x[1::3] - x[::3])
        slopes += product.sum(axis=1)
        sizes += np.abs(product).sum(axis=1)
        largest = np.abs(g).max(axis=1).reshape(-1, 3).max(axis=1)
        if not all(_equal(g[::3], g[k::3], tolerance * largest) for k in (1, 2)):
            return NOT_AFFINE
    if (np.abs(slopes - rises) > tolerance * sizes).any():
        return NOT_SLOPE
    return None


def _tensors(arrays: Arrays, specs: Specs) -> list:
    return [_tensor(x, dtype) for x, (_, dtype) in zip(arrays, specs, strict=True)]


def _rows(outputs: list, count: int) -> Any:
    """Return tensors as one, (n, entries of all)."""
    flat = [ops.reshape(ops.cast(y, "float32"), (count, -1)) for y in outputs]
    return ops.concatenate(flat, axis=1)


def told(error: Exception) -> str:
    """Return the first line of what an error says, without where Keras caught it."""
    lines = re.sub(r"\x1b\[\d*m", "", str(error)).split("\n")
    lines = [x.strip() for x in lines if x.strip() and "encountered when" not in x]
    return lines[0].rstrip(".") if lines else type(error).__name__


def _moved(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:1], rows[-1:], rows[:-2]])


def _equal(a: np.ndarray, b: np.ndarray, tolerance: np.ndarray) -> bool:
    """Return whether no row differs by more than its tolerance."""
    return bool((np.abs(a - b).max(axis=1, initial=0) <= tolerance).all())


def _tensor(array: np.ndarray, dtype: str) -> Any:
    return ops.cast(ops.convert_to_tensor(array.astype("float32")), dtype)


def numbers(tensor: Any) -> np.ndarray:
    """Return a tensor as (n, entries), float64."""
    array = np.asarray(ops.convert_to_numpy(ops.cast(tensor, "float32")), "float64")
    return array.reshape(len(array), -1)
