"""Exact affine maps of single units: global in a DLGN, local in a DNN or a DGN."""

from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.autodiff import vector_jacobian
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.passes import Model, check_net
from dlgn_keras.models import KeptModel
from dlgn_keras.tools.messages import check_choice

ROWS_AT_A_TIME = 64


class AffineUnits(NamedTuple):
    """`q[unit] = sum(rows[unit] * z) + offset[unit]` at one position of a site.

    rows: (units, *input_shape) float32, of the preprocessed input z.
    offset: (units,) float32. position: () at a dense site, else one number per axis.
    """

    rows: np.ndarray
    offset: np.ndarray
    position: tuple[int, ...]


def filters_at(
    net: Model, site: str, position: tuple[int, ...] | None = None
) -> AffineUnits:
    """Return the exact maps of all channels of a DLGN's site at one position.

    They hold at every position, borders included; the filters of `gate_filters` hold
    at interior positions only.

    Args:
        net: a DLGN, or a "dlgn" twin of a Keras model.
        site: name of a gated stage, or of a twin's site.
        position: one index per image axis; the centre if None.

    Raises:
        TypeError: `net` is not a model of this library.
        ValueError: a DNN or DGN, an unknown site or a position outside it.

    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (16, 16, 3), num_classes=10)
        >>> filters_at(net, "conv_4", (0, 0)).rows.shape
        (8, 16, 16, 3)

    Reference: arXiv 2110.03403, section 3 (primal linearity).
    """
    if not check_net(net).has_linear_gates:
        raise ValueError(
            "`net` must be a DLGN: a DNN or a DGN has local filters only (see "
            f"local_filters). Received: a {net.family.upper()}."
        )
    return _units(net, None, site, position)


def local_filters(
    net: Model, x: Any, site: str, position: tuple[int, ...] | None = None
) -> AffineUnits:
    """Return the maps of a site's channels in the linear region of one input.

    In a DNN and in the ReLU gating network of a DGN, pre-activations are affine only
    as long as no earlier ReLU switches: the maps hold near x and differ elsewhere.
    They are rows of the gating network's Jacobian. For a DLGN they are `filters_at`.

    Args:
        net: a DNN, DGN or DLGN, or the twin of a Keras model.
        x: one raw input, (*input_shape) or (1, *input_shape).
        site, position: as in `filters_at`.

    Raises:
        TypeError, ValueError: as `filters_at`, and for more than one input.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(3, 8), (5,), num_classes=2)
        >>> local_filters(net, np.ones(5), "dense_3").rows.shape
        (8, 5)

    Reference: arXiv 2006.10529, section 2 (a ReLU network is locally affine).
    """
    z = check_net(net).preprocessed(one_example(net, x))
    return _units(net, None if net.has_linear_gates else z, site, position)


def _units(net: Any, z: np.ndarray | None, site: str, position: Any) -> AffineUnits:
    """Return rows of a site's Jacobian at z; None stands for zero (linear gates)."""
    gating = net.gating_network
    check_choice("site", site, gating.output)
    network = net.view(
        f"gating_network_to_{site}",
        lambda: KeptModel(gating.input, gating.output[site]),
    )
    pull: Any = net.view(f"rows_of_{site}", lambda: vector_jacobian(network))
    axis = channel_axis(net, site) % (len(network.output_shape) - 1)
    sizes = list(network.output_shape[1:])
    units = sizes.pop(axis)
    place = _check_position(position, tuple(sizes), site)
    z = np.zeros((1, *gating.input_shape[1:])) if z is None else z
    z = z.astype("float32")
    rows, offsets = [], []
    for start in range(0, units, ROWS_AT_A_TIME):
        channels = np.arange(start, min(start + ROWS_AT_A_TIME, units))
        cotangents = np.zeros((len(channels), *sizes, units), "float32")
        cotangents[(np.arange(len(channels)), *place, channels)] = 1
        cotangents = np.moveaxis(cotangents, -1, axis + 1)
        repeated = np.broadcast_to(z, (len(channels), *z.shape[1:]))
        q, found = pull(repeated, cotangents, batch_size=ROWS_AT_A_TIME)
        q = np.moveaxis(q, axis + 1, -1)
        total = (found * z).reshape(len(found), -1).sum(1)
        offsets.append(q[(np.arange(len(channels)), *place, channels)] - total)
        rows.append(found)
    return AffineUnits(np.concatenate(rows), np.concatenate(offsets), place)


def _check_position(
    position: Any, sizes: tuple[int, ...], site: str
) -> tuple[int, ...]:
    if position is None:
        return tuple(n // 2 for n in sizes)
    place = tuple(position) if isinstance(position, tuple | list) else (position,)
    whole = all(isinstance(i, int | np.integer) for i in place)
    if not whole or place not in np.ndindex(*sizes):
        raise ValueError(
            f"`position` must lie in the {sizes} positions of {site!r}. "
            f"Received: position={position!r}."
        )
    return tuple(int(i) for i in place)


def one_example(net: Model, x: Any) -> np.ndarray:
    """Return one example as a batch of one; raise a ValueError for other shapes."""
    x, shape = np.asarray(x), tuple(net.input_shape[1:])
    if x.shape == shape:
        x = x[None]
    if x.shape != (1, *shape):
        raise ValueError(
            f"`x` must be one example of shape {shape}. Received: x of shape {x.shape}."
        )
    return x
