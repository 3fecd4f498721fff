"""Images that are generated with the truth: which pixels carry the class."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dlgn_keras.data.dataset import Dataset, stratified_indices
from dlgn_keras.tools.messages import check_choice, check_count

SIDE, DEVIATION, TEST_SHARE = 8, 0.5, 0.2
T = np.array([[1.0, 0], [1, 1], [1, 0]])
L = np.array([[1.0, 0], [1, 0], [1, 1]])
PLACES = ((1, 1), (4, 5))
# Scenario -> the signal's share in white noise, as published for 8 x 8 pixels.
SCENARIOS = {
    "linear": 0.18,
    "multiplicative": 0.7,
    "translated": 0.65,
    "xor": 0.35,
}


class GroundTruth(NamedTuple):
    """A data set and the pixels that carry the classes of its test images.

    dataset: train and test parts. masks: (n, height, width) bool, of the test images.
    """

    dataset: Dataset
    masks: np.ndarray


def xai_tris(scenario: str, num: int = 10_000, seed: int = 0) -> GroundTruth:
    """Return 8 x 8 images of two classes told apart by tetrominoes in white noise.

    | scenario | class 0 | class 1 |
    | --- | --- | --- |
    | linear | a T at one place is added | an L at another |
    | multiplicative | the T damps the noise | the L does |
    | translated | a T anywhere, turned | an L |
    | xor | T and L of the same sign are added | of opposite signs |

    The truth is the pixels of the tetromino where it moves, and else those of both:
    the absence of one is evidence too.

    Args:
        scenario: of the table.
        num: number of images, a fifth of them to test.
        seed: seed of the noise and the places.

    Raises:
        ValueError: an unknown scenario.

    Example:
        >>> from dlgn_keras import data
        >>> dataset, masks = data.xai_tris("xor", num=1000)
        >>> dataset.x_train.shape, masks.shape, int(masks[0].sum())
        ((800, 8, 8, 1), (200, 8, 8), 8)

    Reference: Clark et al., "XAI-TRIS: Non-linear image benchmarks to quantify false
    positive post-hoc attribution of feature importance", Machine Learning 2024;
    arXiv 2306.12816.
    """
    check_choice("scenario", scenario, SCENARIOS)
    rng, alpha = np.random.default_rng(seed), SCENARIOS[scenario]
    y = np.arange(check_count("num", num)) % 2
    signal = _signal(scenario, y, rng)
    masks = signal != 0
    if scenario != "translated":
        masks = np.broadcast_to(masks.any(0), masks.shape)
    noise = rng.normal(0, DEVIATION, signal.shape)
    noise /= np.linalg.norm(noise)
    if scenario == "multiplicative":
        signal = 1 - alpha * signal
        x = signal / np.linalg.norm(signal) * noise
    else:
        x = alpha * signal / np.linalg.norm(signal) + (1 - alpha) * noise
    x = (x / np.abs(x).max()).astype("float32")[..., None]
    test = np.zeros(num, bool)
    test[stratified_indices(y, round(num * TEST_SHARE), seed)] = True
    dataset = Dataset(
        name=f"xai-tris-{scenario}",
        x_train=x[~test],
        y_train=y[~test],
        x_test=x[test],
        y_test=y[test],
        num_classes=2,
        class_names=("same", "opposite") if scenario == "xor" else ("T", "L"),
        terms=f"Generated, seed {seed}, after B. Clark et al., arXiv 2306.12816.",
    )
    return GroundTruth(dataset, masks[test])


def _signal(scenario: str, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (n, 8, 8): what the classes put into the noise."""
    signal = np.zeros((len(y), SIDE, SIDE))
    signs = rng.choice([-1.0, 1.0], len(y))
    for image, label, sign in zip(signal, y, signs, strict=True):
        if scenario == "xor":
            _put(image, T * sign, PLACES[0])
            _put(image, L * (-sign if label else sign), PLACES[1])
        elif scenario == "translated":
            shape = np.rot90((T, L)[label], int(rng.integers(4)))
            _put(image, shape, [rng.integers(SIDE - n + 1) for n in shape.shape])
        else:
            _put(image, (T, L)[label], PLACES[label])
    return signal


def _put(image: np.ndarray, shape: np.ndarray, place: Sequence[int]) -> None:
    row, column = place
    image[row : row + shape.shape[0], column : column + shape.shape[1]] = shape


def with_null_blocks(dataset: Dataset, seed: int = 0) -> GroundTruth:
    """Return images of twice the height: the image above or below a null block.

    The null block is a cross in a frame, the same for all classes. The truth is the
    half with the image.

    Args:
        dataset: images (n, height, width, channels), such as mnist.
        seed: seed of the halves.

    Example:
        >>> from dlgn_keras import data
        >>> dataset, masks = data.with_null_blocks(data.load("digits"))
        >>> dataset.x_test.shape, float(masks.mean())
        ((360, 16, 8, 1), 0.5)

    Reference: Shah, Jain and Netrapalli, "Do input gradients highlight discriminative
    features?", NeurIPS 2021 (BlockMNIST).
    """
    rng, parts = np.random.default_rng(seed), {}
    for part in ("train", "test"):
        x = np.asarray(getattr(dataset, f"x_{part}"))
        null = np.broadcast_to(_null_block(x.shape[1:], x.max()), x.shape)
        below = rng.random(len(x)) < 0.5
        pair = np.stack([x, null.astype(x.dtype)], axis=1)
        pair[below] = pair[below, ::-1]
        parts[part] = pair.reshape(len(x), 2 * x.shape[1], *x.shape[2:])
    half = np.arange(parts["test"].shape[1])[:, None] // dataset.x_test.shape[1]
    masks = np.equal.outer(below.astype(int), half.repeat(x.shape[2], axis=1))
    found = Dataset(
        name=f"block-{dataset.name}",
        x_train=parts["train"],
        y_train=dataset.y_train,
        x_test=parts["test"],
        y_test=dataset.y_test,
        num_classes=dataset.num_classes,
        class_names=dataset.class_names,
        preprocessing=dataset.preprocessing,
        terms=dataset.terms,
    )
    return GroundTruth(found, masks)


def _null_block(shape: tuple[int, ...], top: float) -> np.ndarray:
    """Return a cross in a frame, a pixel from the border."""
    block = np.zeros(shape)
    sides = (np.linspace(0, 1, n - 2) for n in shape[:2])
    rows, columns = np.meshgrid(*sides, indexing="ij")
    frame = np.isin(rows, (0, 1)) | np.isin(columns, (0, 1))
    thick = 0.6 / (min(shape[:2]) - 2)
    cross = (np.abs(rows - columns) < thick) | (np.abs(rows + columns - 1) < thick)
    block[1:-1, 1:-1][frame | cross] = top
    return block
