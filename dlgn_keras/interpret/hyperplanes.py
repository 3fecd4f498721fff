"""Gate hyperplanes of a dense DLGN: distances, margins and gate patterns of data."""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret.nodes import check_model
from dlgn_keras.models import GatedModel, affine_gates
from dlgn_keras.tools.messages import check_count


class Hyperplanes(NamedTuple):
    """Every gate's boundary `normals[i] . z + offsets[i] = 0`, over all sites.

    z is the flattened, preprocessed input.

    normals: (planes, dim) float64. offsets: (planes,) float64.
    sites: (planes,) name of each one's site. units: (planes,) index of its unit.
    """

    normals: np.ndarray
    offsets: np.ndarray
    sites: np.ndarray
    units: np.ndarray


Planes = Hyperplanes | ObliqueTree


class PatternCounts(NamedTuple):
    """Numbers of distinct gate patterns over a set of inputs.

    sites: {site: number of distinct patterns}. total: that of all sites together.
    largest: number of inputs that share the most common joint pattern.
    on: {site: mean share of open gates}.
    """

    sites: dict[str, int]
    total: int
    largest: int
    on: dict[str, float]


def hyperplanes(net: GatedModel) -> Hyperplanes:
    """Return all gate hyperplanes of a DLGN of dense layers.

    `q_l[i] = V_l[i] z + c_l[i]`. With hard gates and a constant value input, all
    discontinuities of the network lie on these L * m hyperplanes.

    Args:
        net: a DLGN of dense layers, shallow or not.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: not a DLGN, or a skeleton with convolutions or pooling.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> hyperplanes(net).normals.shape
        (24, 5)

    Reference: "Deep Networks Learn Features From Local Discontinuities in the
    Label Function" (ICLR 2025), section on the hyperplanes of a DLGN.
    """
    maps = affine_gates(check_model(net))
    return Hyperplanes(
        np.concatenate([affine.matrix.T for affine in maps.values()]),
        np.concatenate([affine.offset for affine in maps.values()]),
        np.concatenate([[site] * len(a.offset) for site, a in maps.items()]),
        np.concatenate([np.arange(len(a.offset)) for a in maps.values()]),
    )


def distances(
    planes: Hyperplanes, with_offset: bool = False, others: Planes | None = None
) -> np.ndarray:
    """Return the distances between hyperplanes, from 0 to sqrt 2.

    `d(u, v) = min(|u/|u| - v/|v||, |u/|u| + v/|v||)`: sign and scale do not count.

    Args:
        planes: the result of `hyperplanes`.
        with_offset: whether u is (normal, offset) instead of the normal alone; then
            parallel hyperplanes differ.
        others: hyperplanes, or a `dk.data.ObliqueTree` (its nodes), to measure the
            distances to; None for `planes` themselves.

    Returns:
        (planes, others) float64.

    Raises:
        ValueError: `others` lie in a space of another dimension.

    Example:
        >>> import numpy as np
        >>> normals, zeros = np.array([[1.0, 0], [-2, 0], [0, 3]]), np.zeros(3)
        >>> distances(Hyperplanes(normals, zeros, zeros, zeros)).round(2)[0].tolist()
        [0.0, 0.0, 1.41]

    Reference: ICLR 2025 (see `hyperplanes`), DLGN-DT.
    """
    if others is not None and others.normals.shape[1] != planes.normals.shape[1]:
        raise ValueError(
            "`others` must lie in the space of `planes`. Received: normals of shapes "
            f"{others.normals.shape} and {planes.normals.shape}."
        )
    u = _directions(planes, with_offset)
    v = u if others is None else _directions(others, with_offset)
    cosines = np.clip(np.abs(u @ v.T), 0, 1)
    found = np.sqrt(2 - 2 * cosines)
    if others is None:
        np.fill_diagonal(found, 0)
    return found


def _directions(planes: Planes, with_offset: bool) -> np.ndarray:
    """Return unit vectors (planes, dim), or (planes, dim + 1) with the offset."""
    u = planes.normals
    if with_offset:
        offsets = planes.biases if isinstance(planes, ObliqueTree) else planes.offsets
        u = np.concatenate([u, offsets[:, None]], axis=1)
    norms = np.linalg.norm(u, axis=1, keepdims=True)
    return u / np.where(norms > 0, norms, 1)


def margins(net: GatedModel, x: Any) -> dict[str, np.ndarray]:
    """Return the signed distance of inputs to every gate's hyperplane.

    `margin = q / |V|`: Euclidean, in units of the preprocessed input; above 0 where
    the gate is open.

    Args:
        net: a DLGN of dense layers.
        x: raw inputs (n, *input_shape).

    Returns:
        {site: (n, units) float64}.

    Raises:
        TypeError, ValueError: as `hyperplanes`, or x of another shape.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> margins(net, np.ones((4, 5)))["dense_3"].shape
        (4, 8)
    """
    maps = affine_gates(check_model(net))
    q = net.pre_activations(x)

    def norm(site: str) -> np.ndarray:
        length = np.linalg.norm(maps[site].matrix, axis=0)
        return np.where(length > 0, length, 1)

    return {site: q[site].astype(np.float64) / norm(site) for site in maps}


def gate_patterns(net: GatedModel, x: Any) -> PatternCounts:
    """Count the distinct on/off patterns of the gates over a set of inputs.

    Args:
        net: a DNN, DGN or DLGN, of any skeleton.
        x: raw inputs (n, *input_shape).

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: x of another shape, or empty.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> gate_patterns(net, np.ones((4, 5))).total
        1
    """
    if not len(np.asarray(x)):
        raise ValueError("`x` must hold an input. Received: x with 0.")
    on = {site: q > 0 for site, q in check_model(net).pre_activations(x).items()}
    packed = {
        site: np.packbits(open_.reshape(len(open_), -1), axis=1)
        for site, open_ in on.items()
    }
    counts = {site: len(_counts(bits)) for site, bits in packed.items()}
    joint = _counts(np.concatenate(list(packed.values()), axis=1))
    shares = {site: float(open_.mean()) for site, open_ in on.items()}
    return PatternCounts(counts, len(joint), int(joint.max()), shares)


def _counts(bits: np.ndarray) -> np.ndarray:
    rows = np.ascontiguousarray(bits)
    return np.unique(rows.view([("", rows.dtype)] * rows.shape[1]), return_counts=True)[
        1
    ]


class HyperplaneRecorder(keras.callbacks.Callback):
    """Record the gate hyperplanes of a DLGN before training and after epochs.

    For `net.fit(..., callbacks=[recorder])`, and for `dk.training.fit`, where a
    round of epochs counts as one.

    Args:
        every: number of epochs between records, at least 1; the first and the last
            state are always recorded.

    Attributes:
        epochs: list of int, number of finished epochs at each record; 0 is before
            training.
        records: list of `Hyperplanes`, one per entry of `epochs`.

    Raises:
        ValueError: `every` is below 1, or the trained model is not a DLGN of dense
            layers.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(1, 4), (2,), num_classes=2)
        >>> net.compile("sgd", "mse")
        >>> recorder = dk.interpret.HyperplaneRecorder(every=2)
        >>> x, y = np.ones((4, 2), "float32"), np.ones((4, 2), "float32")
        >>> _ = net.fit(x, y, epochs=5, verbose=0, callbacks=[recorder])
        >>> recorder.epochs, recorder.records[0].normals.shape
        ([0, 2, 4, 5], (4, 2))
    """

    def __init__(self, every: int = 1) -> None:
        super().__init__()
        self.every = check_count("every", every)
        self.epochs: list[int] = []
        self.records: list[Hyperplanes] = []
        self._done = 0

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self.epochs, self.records, self._done = [], [], 0

    def on_epoch_begin(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        if not self.records:
            self._done = epoch
            self._keep()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._done = epoch + 1
        if self._done % self.every == 0:
            self._keep()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self.epochs and self.epochs[-1] != self._done:
            self._keep()

    def _keep(self) -> None:
        self.epochs.append(self._done)
        self.records.append(hyperplanes(_gated(self.model)))


def _gated(model: Any) -> Any:
    """Return the gated model in training: the model itself, or one inside it."""
    if isinstance(model, GatedModel):
        return model
    layers = getattr(model, "layers", [])
    return next((part for part in layers if isinstance(part, GatedModel)), model)
