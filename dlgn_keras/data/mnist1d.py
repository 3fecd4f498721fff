"""MNIST-1D: ten classes of short series, made by the published generator.

The same numbers as `make_dataset()` of the package mnist1d 0.0.2.post1 with its
defaults (seed 42), draw by draw, with NumPy alone.
"""

from functools import cache

import numpy as np

from dlgn_keras.data.dataset import Dataset

SEED = 42
EACH = 500  # examples a class, 4 of 5 of them to train
LONGEST_PAD, TEMPLATE, LENGTH = 60, 12, 40
# The strokes of the digits, as heights over time.
TEMPLATES = (
    (5, 6, 6.5, 6.75, 7, 7, 7, 7, 6.75, 6.5, 6, 5),
    (5, 3, 3, 3.4, 3.8, 4.2, 4.6, 5, 5.4, 5.8, 5, 5),
    (5, 6, 6.5, 6.5, 6, 5.25, 4.75, 4, 3.5, 3.5, 4, 5),
    (5, 6, 6.5, 6.5, 6, 5, 5, 6, 6.5, 6.5, 6, 5),
    (5, 4.4, 3.8, 3.2, 2.6, 2.6, 5, 5, 5, 5, 5, 5),
    (5, 3, 3, 3, 3, 5, 6, 6.5, 6.5, 6, 4.5, 5),
    (5, 4, 3.5, 3.25, 3, 3, 3, 3, 3.25, 3.5, 4, 5),
    (5, 7, 7, 6.6, 6.2, 5.8, 5.4, 5, 4.6, 4.2, 5, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 4, 3.5, 3.5, 4, 5),
    (5, 4, 3.5, 3.5, 4, 5, 5, 5, 5, 4.7, 4.3, 5),
)


@cache
def read_mnist1d() -> Dataset:
    """Return MNIST-1D: 4,000 and 1,000 series (40, 1) of mean 0 and deviation 1.

    Each is one of ten templates, padded, scaled, shifted in time, with correlated and
    white noise and a slope.
    """
    heights = np.asarray(TEMPLATES, float)
    heights -= heights.mean(1, keepdims=True)
    heights /= heights.std(1, keepdims=True)
    heights = (heights - heights[:, :1]) / 6
    rng = np.random.RandomState(SEED)  # the generator that the package draws from
    series = [_drawn(template, rng) for template in heights for _ in range(EACH)]
    labels = np.repeat(np.arange(len(heights)), EACH)
    order = rng.permutation(len(labels))
    x, y = np.stack(series)[order], labels[order]
    x = ((x - x.mean()) / x.std()).astype(np.float32)[..., None]
    train = len(y) * 4 // 5
    for array in (x, y):
        array.setflags(write=False)  # the cache hands out the same arrays
    return Dataset(
        name="mnist1d",
        x_train=x[:train],
        y_train=y[:train],
        x_test=x[train:],
        y_test=y[train:],
        num_classes=10,
        terms=(
            "S. Greydanus and D. Kobak, Scaling Down Deep Learning with MNIST-1D, "
            "ICML 2024, https://github.com/greydanus/mnist1d. Apache-2.0; made by the "
            "generator, seed 42."
        ),
    )


def _drawn(template: np.ndarray, rng: np.random.RandomState) -> np.ndarray:
    """Return one series of a template; the order of the draws is the package's."""
    x = np.concatenate([template + 1e-8, np.zeros(36 + int(rng.rand() * 25))])
    x = _resampled(x, TEMPLATE + LONGEST_PAD)
    x *= 1 + 0.4 * (rng.rand() - 0.5)
    shift = rng.choice(48)
    x = np.concatenate([x[-shift:], x[:-shift]])
    signal = x != 0
    x = np.where(signal, x, _smooth(0.25 * rng.randn(len(x))))
    x = x + 0.02 * rng.randn(len(x))
    x = x - 0.75 * (rng.rand() - 0.5) * np.linspace(-0.5, 0.5, len(x))
    return _resampled(x, LENGTH)


def _resampled(x: np.ndarray, length: int) -> np.ndarray:
    """Return linear interpolations of a series at evenly spaced places."""
    return np.interp(np.linspace(0, 1, length), np.linspace(0, 1, len(x)), x)


def _smooth(x: np.ndarray, sigma: float = 2.0) -> np.ndarray:
    """Return a Gaussian filter's output, cut at four deviations, mirrored at ends."""
    radius = int(4 * sigma + 0.5)
    places = np.arange(-radius, radius + 1)
    kernel = np.exp(-0.5 * (places / sigma) ** 2)
    padded = np.pad(x, radius, mode="symmetric")
    return np.convolve(padded, kernel / kernel.sum(), mode="valid")
