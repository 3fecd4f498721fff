"""The grid pointing game: does an attribution find each image in a grid of images?

The protocol of B-cos networks: grids of the most confidently and rightly classified
images, each of another class; for each class, the share of its positive attribution
that lies in the cell of its image.
"""

from typing import Any

import numpy as np

from dlgn_keras.interpret.attributions import Attribution, occlusion, occlusions
from dlgn_keras.interpret.passes import Model
from dlgn_keras.models import GatedModel, predict_arrays
from dlgn_keras.skeletons import Flatten, walk

CONFIDENT = 0.5
OCCLUDED = 8  # pixels of the side of a square; 4 would take four times the passes


def takes_larger(net: Model) -> bool:
    """Return whether a network on a skeleton pools over all positions of an image."""
    if not isinstance(net, GatedModel) or len(net.input_shape) != 4:
        return False
    return not any(isinstance(stage, Flatten) for stage in walk(net.skeleton.stages))


def grid_model(net: GatedModel, side: int = 2) -> GatedModel:
    """Return the same network for images of `side` times the height and width.

    Raises:
        ValueError: the network flattens positions, or does not take images.
    """
    shape = tuple(net.input_shape[1:])
    if not takes_larger(net):
        raise ValueError(
            "`net` must pool over all positions to take larger images. "
            f"Received: {net.name!r} for inputs of shape {shape}."
        )
    config = net.get_config()
    config["input_shape"] = (side * shape[0], side * shape[1], shape[2])
    larger = type(net).from_config(config)
    larger.set_weights(net.get_weights())
    return larger


def confident(net: Model, x: Any, y: Any) -> dict[int, list[int]]:
    """Return {class: images of it}, rightly classified, the most confident first.

    Confident are those of a probability above 0.5.
    """
    shares = net.probabilities(predict_arrays(net, np.asarray(x), batch_size=256))
    y, best = np.asarray(y), shares.argmax(1)
    share = np.where(best == y, shares.max(1), 0.0)
    order = np.argsort(-share, kind="stable")
    order = order[share[order] > CONFIDENT]
    return {int(c): [int(i) for i in order if y[i] == c] for c in np.unique(y)}


def grids(
    images: dict[int, list[int]], side: int, number: int, seed: int = 0
) -> np.ndarray:
    """Draw (number, side^2) images: classes at random, of each the next one in order.

    No image comes twice, so there may be fewer grids.

    Args:
        images: {class: indices}, see `confident`. side: cells in a row.
        number: the most to draw. seed: seed of the classes.

    Raises:
        ValueError: too few classes for a single grid.
    """
    rng, cells, drawn = np.random.default_rng(seed), side * side, []
    left = {c: iter(found) for c, found in images.items()}
    ahead = {c: next(rest, None) for c, rest in left.items()}
    while len(drawn) < number:
        classes = [c for c, image in ahead.items() if image is not None]
        if len(classes) < cells:
            break
        chosen = rng.choice(classes, cells, replace=False)
        drawn.append([ahead[int(c)] for c in chosen])
        ahead |= {int(c): next(left[int(c)], None) for c in chosen}
    if number and not drawn:
        raise ValueError(
            f"`images` must hold {cells} classes with images. "
            f"Received: {sum(map(bool, images.values()))}."
        )
    return np.array(drawn, int).reshape(-1, cells)


def mosaics(x: np.ndarray, indices: np.ndarray) -> np.ndarray:
    """Return images (grids, side height, side width, channels), row by row."""
    number, side = len(indices), round(indices.shape[1] ** 0.5)
    cells = x[indices].reshape(number, side, side, *x.shape[1:])
    size = (side * x.shape[1], side * x.shape[2], x.shape[3])
    return cells.transpose(0, 1, 3, 2, 4, 5).reshape(number, *size)


def grid_pointing(
    larger: GatedModel, x: Any, y: Any, indices: np.ndarray, method: Attribution
) -> np.ndarray:
    """Return the share of positive attribution that falls into the right cell.

    Args:
        larger: the result of `grid_model` for this side.
        x, y: raw images and classes. indices: (grids, side^2), see `grids`.
        method: function (net, x, target) -> attributions.

    Returns:
        (grids, side^2), 0 to 1; by chance 1 / side^2. Nothing positive counts as 0.

    Reference: Böhle et al., "Convolutional Dynamic Alignment Networks", CVPR 2021;
    "B-cos Networks", CVPR 2022.
    """
    x, targets = np.asarray(x, "float32"), np.asarray(y, int)[indices]
    height, width = x.shape[1:3]
    side, images = round(indices.shape[1] ** 0.5), mosaics(x, indices)
    if method is occlusion:
        maps = occlusions(larger, images, targets, OCCLUDED)
    else:
        maps = np.stack([method(larger, images, t) for t in targets.T], axis=1)
    positive = np.maximum(maps.sum(-1), 0)
    cells = positive.reshape(*targets.shape, side, height, side, width).sum((3, 5))
    total = np.maximum(cells.sum((2, 3)), np.finfo("float32").tiny)
    return np.einsum("gkk->gk", cells.reshape(*targets.shape, -1)) / total
