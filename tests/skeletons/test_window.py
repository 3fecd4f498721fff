"""Windows along one axis, against the paths of `dlgn_keras.paths` and against Keras."""

import itertools

import keras
import numpy as np
import pytest

from dlgn_keras import paths
from dlgn_keras.skeletons.window import Window

PADDINGS = ("valid", "same", "circular")
WINDOWS = [
    *(Window(*w) for w in itertools.product((1, 2, 3, 4), (1, 2, 3), PADDINGS)),
    *(Window(*w) for w in itertools.product((2, 3), (1,), PADDINGS, (2, 3))),
]


def read_by_paths(window, length):
    """The positions each window reads, as the paths of a convolution of ones do."""
    conv = paths.Conv(
        np.ones((window.size, 1, 1)),
        strides=window.strides,
        padding=window.padding,
        dilation=window.dilation,
    )
    found = {}
    for path in paths.enumerate_paths([conv], (length, 1)):
        (weight,) = path.key
        found[path.target[0], weight.index[0]] = path.source[0]
    return found


def read_by_taps(window, length):
    taps = window.taps(length)
    assert taps.shape == (window.out_length(length), window.size)
    return {place: k for place, k in np.ndenumerate(taps) if k >= 0}


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_windows_read_what_the_paths_read(window):
    for length in range(1, 9):
        if window.fits(length):
            assert read_by_taps(window, length) == read_by_paths(window, length)


def test_windows_that_pad_the_wrong_end_are_seen():
    class Twin(Window):
        def pads(self, length):
            return super().pads(length)[::-1]

    wrong = Twin(2, 1, "same")
    assert read_by_taps(wrong, 5) != read_by_paths(wrong, 5)


@pytest.mark.parametrize("window", WINDOWS, ids=str)
def test_windows_sum_as_a_keras_convolution_does(window, rng):
    if window.padding == "circular":
        return
    z = rng.normal(size=(1, 7, 1)).astype("float32")
    layer = keras.layers.Conv1D(
        1,
        window.size,
        window.strides,
        window.padding,
        kernel_initializer="ones",
        data_format="channels_last",
        dilation_rate=window.dilation,
    )
    taps = window.taps(7)
    expected = np.where(taps >= 0, z[0, taps, 0], 0).sum(1)
    found = keras.ops.convert_to_numpy(layer(z))[0, :, 0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_an_axis_wraps_around_only_once():
    assert Window(3, padding="circular").fits(3)
    assert not Window(4, padding="circular").fits(3)
    assert not Window(4).fits(3)
    assert Window(4, padding="same").fits(3)
