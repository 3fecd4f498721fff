"""Published attribution methods, to compare with contributions on the same models.

Each returns (n, *input_shape) for raw inputs. The baseline is the raw input that
preprocessing maps to 0.
"""

import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from dlgn_keras.autodiff import vector_jacobian
from dlgn_keras.interpret import grad_cam as cam
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.contributions import Model, explain
from dlgn_keras.interpret.sites import INPUT

Attribution = Callable[[Model, np.ndarray, np.ndarray], np.ndarray]
MOST_SITES = 6


def baseline(net: Model) -> np.ndarray:
    """Return the raw input (*input_shape) that the network sees as all zeros."""
    # Preprocessing is `x * scale + offset`: two probes determine scale and offset.
    probes = np.zeros((2, *net.input_shape[1:]))
    probes[1] = 255
    with warnings.catch_warnings():  # the probes are not images
        warnings.filterwarnings("ignore", message=".*: raw inputs lie in")
        offset, other = net.preprocessed(probes).astype(np.float64)
    scale = (other - offset) / 255
    return (-offset / np.where(scale == 0, 1, scale)).astype("float32")


def input_gradients(
    net: Model, x: Any, target: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Return `d logits[i, target[i]] / d x[i]`, through the gates, float32.

    Args:
        net: any model of this library.
        x: raw inputs (n, *input_shape).
        target: (n,) classes.
        batch_size: number of examples held at a time.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(1, 4), (3,), num_classes=2, seed=0)
        >>> input_gradients(net, np.ones((5, 3)), np.zeros(5, int)).shape
        (5, 3)
    """
    pull: Any = net.view("input_gradients", lambda: vector_jacobian(net))
    hot = np.eye(net.num_classes, dtype="float32")[np.asarray(target, int)]
    return pull(np.asarray(x, "float32"), hot, batch_size=batch_size)[1]


def contributions(
    net: Model,
    x: np.ndarray,
    target: np.ndarray,
    at: str = INPUT,
    mode: str | None = None,
) -> np.ndarray:
    """Return the exact contributions of this library, see `explain`.

    Those at a site are spread over the pixels of each place, their sum unchanged.
    """
    found = explain(net, x, target, at, mode=mode)
    if at == INPUT:
        return found.contributions
    maps = found.contributions.sum(found.channels[1] % 3 + 1)
    return spread(maps, net.input_shape[1:], found.channels[0])


def grad_cam(net: Model, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return Grad-CAM at the last site that is a map, spread over the pixels.

    Where global pooling and one linear layer follow, it is the positive part of the
    exact contributions there, up to a factor.
    Reference: Selvaraju et al., arXiv 1610.02391.
    """
    found = cam.grad_cam(net, x, target)
    return spread(found, net.input_shape[1:], channel_axis(net))


def spread(maps: np.ndarray, shape: tuple[int, ...], axis: int = -1) -> np.ndarray:
    """Return (n, height, width) maps as (n, *shape), each sum spread over its place.

    axis: of the channels in `shape`.
    """
    *places, channels = np.moveaxis(np.empty(shape), axis, -1).shape
    sides = zip(places, maps.shape[1:], strict=True)
    rows = [np.arange(n) * k // n for n, k in sides]
    sizes = [np.bincount(row)[row] for row in rows]
    found = maps[(slice(None), *np.ix_(*rows))] / np.multiply.outer(*sizes)
    found = np.expand_dims(found / channels, axis % 3 + 1)
    return np.broadcast_to(found, (len(maps), *shape)).astype("float32")


def gradient(net: Model, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return `|d logit / d x|`. Reference: Simonyan et al., arXiv 1312.6034."""
    return np.abs(input_gradients(net, x, target))


def input_x_gradient(net: Model, x: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return `(x - baseline) * d logit / d x`.

    Reference: Shrikumar et al., arXiv 1605.01713.
    """
    return (x - baseline(net)) * input_gradients(net, x, target)


def integrated_gradients(
    net: Model, x: np.ndarray, target: np.ndarray, steps: int = 16
) -> np.ndarray:
    """Return `(x - baseline)` times the mean gradient on the line between the two.

    Gradients are taken at the midpoints of `steps` equal segments.
    Reference: Sundararajan et al., arXiv 1703.01365.
    """
    zero = baseline(net)
    total = np.zeros(np.shape(x), np.float64)
    for k in range(steps):
        total += input_gradients(net, zero + (k + 0.5) / steps * (x - zero), target)
    return ((x - zero) * total / steps).astype("float32")


def occlusion(
    net: Model, x: np.ndarray, target: np.ndarray, size: int = 4
) -> np.ndarray:
    """Return the drop of the logit when a square is replaced by the baseline.

    Squares of `size` pixels tile the image; each drop is spread evenly over the
    entries of its square.
    Reference: Zeiler and Fergus, arXiv 1311.2901.
    """
    return occlusions(net, x, np.asarray(target)[:, None], size)[:, 0]


def occlusions(net: Model, x: np.ndarray, targets: np.ndarray, size: int) -> np.ndarray:
    """Return `occlusion` for several classes an image, (n, k) -> (n, k, ...)."""
    predict: Any = net.predict
    zero, rows = baseline(net), np.arange(len(x))[:, None]
    axes, hidden = list(x.shape[1:]), ()
    if len(axes) > 1:
        axis = channel_axis(net) % len(axes)
        del axes[axis]
        hidden = () if axis else (slice(None),)
    whole = predict(x, verbose=0)[rows, targets]
    found = np.zeros((*targets.shape, *x.shape[1:]), "float32")
    for start in np.ndindex(*(-(-n // size) for n in axes)):
        place = (*hidden, *(slice(k * size, (k + 1) * size) for k in start))
        covered = x.copy()
        covered[(slice(None), *place)] = zero[place]
        loss = whole - predict(covered, verbose=0)[rows, targets]
        entries = found[(slice(None), slice(None), *place)]
        shares = loss / entries[0, 0].size
        entries += shares.reshape(*targets.shape, *(1 for _ in x.shape[1:]))
    return found


METHODS: dict[str, Attribution] = {
    "contributions": contributions,
    "gradient": gradient,
    "input x gradient": input_x_gradient,
    "integrated gradients": integrated_gradients,
    "occlusion": occlusion,
}


def methods_for(net: Model) -> dict[str, Attribution]:
    """Return `METHODS`, and for a model of images those at its sites.

    "contributions at SITE" for every site that is a map and that all paths from the
    input cross, six at most, evenly spaced with the last one among them; "Grad-CAM".
    For one of hard gates "soft contributions", exact for other logits than its own.
    """
    sites = cam.map_sites(net)
    few = min(len(sites), MOST_SITES)
    picked = np.linspace(len(sites) / max(few, 1) - 1, len(sites) - 1, few)
    at = [sites[int(k + 0.5)] for k in picked]
    ours = {f"contributions at {s}": partial(contributions, at=s) for s in at}
    if net.switches and net.gate_mode == "hard":
        ours["soft contributions"] = partial(contributions, mode="soft")
    first, *others = METHODS.items()
    return dict([first, *ours.items(), *others]) | (
        {"Grad-CAM": grad_cam} if at else {}
    )
