"""What is summed over the paths: features, values, outputs, kernel, contributions."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from dlgn_keras.paths.stages import Index, Placed, Stage, gate_shapes, place
from dlgn_keras.paths.walk import Path, Weight, enumerate_paths

Key = tuple[Weight, ...]


class Contributions(NamedTuple):
    """Path terms summed by source; their total is the output.

    inputs: array like x, the sum over the paths that start at each entry.
    bias: the sum over the paths that start at biases and offsets.
    """

    inputs: np.ndarray
    bias: float


def npf(
    network: Sequence[Stage],
    x: ArrayLike,
    gates: Sequence[ArrayLike],
    target: int | Index = 0,
    max_paths: int = 10**6,
) -> dict[Key, float]:
    """Neural path features {key: phi_x(key)} of the paths to one output unit.

    phi_x(key) = sum over members of x[source] * gates * pooling factors.

    Args:
        network: sequence of stages; of its weights only the shapes are used.
        x: one example, without the batch axis.
        gates: one real array per site, in order (shapes: see `gate_shapes`).
        target: index of the output unit.
        max_paths: largest number of paths that will be walked.

    Raises:
        TypeError: a stage is of no known kind.
        ValueError: shapes do not fit, or there are more than `max_paths` paths.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense([[5.0, 7.0]]), Gate(), Dense([[1.0], [2.0]])]
        >>> list(npf(network, [3.0], [[1.0, 0.5]]).values())
        [3.0, 1.5]

    Reference: arXiv 2006.10529.
    """
    x, gates = _example(network, x, gates)
    features: dict[Key, float] = {}
    for path in enumerate_paths(network, x.shape, target, max_paths):
        features[path.key] = features.get(path.key, 0.0) + _feature(path, x, gates)
    return features


def npv(
    network: Sequence[Stage],
    input_shape: Sequence[int],
    target: int | Index = 0,
    max_paths: int = 10**6,
) -> dict[Key, float]:
    """Neural path values {key: product of its weights}, with the keys of `npf`.

    Args:
        network: sequence of stages.
        input_shape: shape of one example, without the batch axis.
        target: index of the output unit.
        max_paths: largest number of paths that will be walked.

    Raises:
        TypeError: a stage is of no known kind.
        ValueError: shapes do not fit, or there are more than `max_paths` paths.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense([[5.0, 7.0]]), Gate(), Dense([[1.0], [2.0]])]
        >>> list(npv(network, (1,)).values())
        [5.0, 14.0]

    Reference: arXiv 2006.10529.
    """
    weights = _weights(place(network, input_shape)[0])
    paths = enumerate_paths(network, input_shape, target, max_paths)
    return {path.key: _value(path, weights) for path in paths}


def output(
    network: Sequence[Stage],
    x: ArrayLike,
    gates: Sequence[ArrayLike],
    max_paths: int = 10**6,
) -> np.ndarray:
    """Output y(x) of the network, y_k = sum_key phi_x(key) v(key) over its paths.

    Args:
        network: sequence of stages.
        x, gates, max_paths: as in `npf`; the paths to all output units count.

    Raises:
        TypeError, ValueError: as `npf`.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense([[5.0, 7.0]]), Gate(), Dense([[1.0], [2.0]])]
        >>> output(network, [3.0], [[1.0, 0.5]])
        array([36.])

    Reference: arXiv 2006.10529.
    """
    x, gates = _example(network, x, gates)
    stages, shape = place(network, x.shape)
    weights = _weights(stages)
    y = np.zeros(shape)
    for path in enumerate_paths(network, x.shape, None, max_paths):
        y[path.target] += _feature(path, x, gates) * _value(path, weights)
    return y


def npk(
    network: Sequence[Stage],
    x: ArrayLike,
    y: ArrayLike,
    gates_x: Sequence[ArrayLike],
    gates_y: Sequence[ArrayLike],
    target: int | Index = 0,
    max_paths: int = 10**6,
) -> float:
    """Neural path kernel H(x, y) = <phi_x, phi_y> of the paths to one output unit.

    The paths that start at biases and offsets count as well; for the kernel of the
    input alone leave biases and offsets out of the network.

    Args:
        network: sequence of stages; of its weights only the shapes are used.
        x, y: two examples, without the batch axis.
        gates_x, gates_y: the gates of each, as in `npf`.
        target: index of the output unit.
        max_paths: largest number of paths that will be walked.

    Raises:
        TypeError, ValueError: as `npf`.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense(np.ones((1, 2))), Gate(), Dense(np.ones((2, 1)))]
        >>> npk(network, [3.0], [2.0], [[1.0, 1.0]], [[1.0, 0.0]])
        6.0

    Reference: arXiv 2006.10529.
    """
    phi_x = npf(network, x, gates_x, target, max_paths)
    phi_y = npf(network, y, gates_y, target, max_paths)
    if phi_x.keys() != phi_y.keys():
        raise ValueError(
            "`x` and `y` must have one shape. "
            f"Received: x of shape {np.shape(x)}, y of shape {np.shape(y)}."
        )
    return math.fsum(phi_x[key] * phi_y[key] for key in phi_x)


def contributions(
    network: Sequence[Stage],
    x: ArrayLike,
    gates: Sequence[ArrayLike],
    target: int | Index = 0,
    max_paths: int = 10**6,
) -> Contributions:
    """Terms phi_x(key) v(key) of one output unit, summed by where the paths start.

    At fixed gates y = A x + b (dual linearity): `inputs` is A * x, `bias` is b.

    Args:
        network: sequence of stages.
        x, gates, target, max_paths: as in `npf`.

    Raises:
        TypeError, ValueError: as `npf`.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense([[5.0, 7.0]], [1, 0]), Gate(), Dense([[1.0], [2.0]])]
        >>> contributions(network, [3.0], [[1.0, 0.5]])
        Contributions(inputs=array([36.]), bias=1.0)

    Reference: arXiv 2110.03403.
    """
    inputs, bias = np.zeros(np.shape(x)), 0.0
    for path, term in terms(network, x, gates, target, max_paths):
        if path.source is None:
            bias += term
        else:
            inputs[path.source] += term
    return Contributions(inputs, bias)


def terms(
    network: Sequence[Stage],
    x: ArrayLike,
    gates: Sequence[ArrayLike],
    target: int | Index = 0,
    max_paths: int = 10**6,
) -> Iterator[tuple[Path, float]]:
    """Yield every path to one output unit with its term phi_x v: they sum to y.

    Args:
        network: sequence of stages.
        x, gates, target, max_paths: as in `npf`.

    Raises:
        TypeError, ValueError: as `npf`.

    Example:
        >>> from dlgn_keras.paths import Dense, Gate
        >>> network = [Dense(np.ones((1, 2))), Gate(), Dense([[1.0], [2.0]])]
        >>> {p.gates: term for p, term in terms(network, [3.0], [[1.0, 0.5]])}
        {((0, (0,)),): 3.0, ((0, (1,)),): 3.0}

    Reference: arXiv 2006.10529.
    """
    x, gates = _example(network, x, gates)
    weights = _weights(place(network, x.shape)[0])
    for path in enumerate_paths(network, x.shape, target, max_paths):
        yield path, _feature(path, x, gates) * _value(path, weights)


def _example(
    network: Sequence[Stage], x: ArrayLike, gates: Sequence[ArrayLike]
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Example and gates as float64 arrays, checked against the network."""
    x = np.asarray(x, dtype=np.float64)
    shapes = gate_shapes(network, x.shape)
    arrays = [np.asarray(gate, dtype=np.float64) for gate in gates]
    if len(arrays) != len(shapes):
        raise ValueError(
            f"`gates` must hold one array for each of the {len(shapes)} sites. "
            f"Received: {len(arrays)} arrays."
        )
    for site, (array, shape) in enumerate(zip(arrays, shapes, strict=True)):
        if array.shape != shape:
            raise ValueError(
                f"`gates` must have shape {shape} at site {site}. "
                f"Received: shape {array.shape}."
            )
    return x, arrays


def _weights(stages: Sequence[Placed]) -> dict[tuple[int, str], np.ndarray]:
    """All weight arrays by stage number and name."""
    weights = {}
    for placed in stages:
        for name in ("kernel", "bias", "scale", "offset"):
            array = getattr(placed.stage, name, None)
            if array is not None:
                weights[placed.number, name] = np.asarray(array, dtype=np.float64)
        weights |= _weights(placed.body) | _weights(placed.shortcut)
    return weights


def _feature(path: Path, x: np.ndarray, gates: Sequence[np.ndarray]) -> float:
    """Start of one member times its gates and pooling factors."""
    product = path.factor if path.source is None else path.factor * x[path.source]
    for site, index in path.gates:
        product = product * gates[site][index]
    return float(product)


def _value(path: Path, weights: dict[tuple[int, str], np.ndarray]) -> float:
    """Product of the weights along the path."""
    return math.prod(float(weights[w.stage, w.name][w.index]) for w in path.key)
