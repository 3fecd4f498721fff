"""Preprocessing: the affine map, its json form, and what it says of wrong ranges."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from dlgn_keras.data import Preprocessing


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (50, 4, 5, 3), dtype=np.uint8)


def test_statistics_standardise_each_channel_as_scikit_learn_does(images):
    pixels = images.reshape(-1, 3) / 255
    ours = Preprocessing.from_statistics(pixels.mean(0), pixels.std(0))
    theirs = StandardScaler().fit_transform(pixels).reshape(images.shape)
    np.testing.assert_allclose(ours.apply(images), theirs, atol=1e-5)
    twin = Preprocessing.from_statistics(pixels.mean(0)[::-1], pixels.std(0))
    assert np.abs(twin.apply(images) - theirs).max() > 1e-3


def test_from_statistics_is_the_formula_in_its_docstring():
    ours = Preprocessing.from_statistics(0.3, 0.2, max_value=16)
    x = np.arange(17.0)
    np.testing.assert_allclose(ours.apply(x), (x / 16 - 0.3) / 0.2, atol=1e-6)
    assert ours.raw_range == (0, 16)


@pytest.mark.parametrize(
    "preprocessing",
    [
        Preprocessing(),
        Preprocessing(1 / 16, raw_range=(0, 16)),
        Preprocessing.from_statistics((0.49, 0.48, 0.44), (0.24, 0.24, 0.26)),
    ],
)
def test_json_round_trip_keeps_every_bit(preprocessing):
    text = json.dumps(preprocessing.to_config())
    assert Preprocessing.from_config(json.loads(text)) == preprocessing


def test_a_changed_number_is_seen_by_the_comparison():
    config = Preprocessing(1 / 16, raw_range=(0, 16)).to_config()
    twin = Preprocessing.from_config(config | {"scale": np.nextafter(1 / 16, 1)})
    assert twin != Preprocessing.from_config(config)


def test_identity_is_recognised_and_nothing_else():
    assert Preprocessing().is_identity
    assert Preprocessing((1.0, 1.0), (0.0, 0.0)).is_identity
    assert not Preprocessing(scale=1 / 255).is_identity
    assert not Preprocessing((1.0, 1.0), (0.0, 0.1)).is_identity


def test_images_divided_by_255_are_reported_and_raw_ones_are_not(images):
    expected = Preprocessing(1 / 255, raw_range=(0, 255))
    assert expected.range_problem(images) is None
    assert expected.range_problem(np.zeros_like(images)) is None
    problem = expected.range_problem(images / 255)
    assert problem is not None
    assert "expected 0..255: give raw values" in problem


def test_values_outside_the_range_are_reported():
    digits = Preprocessing(1 / 16, raw_range=(0, 16))
    assert digits.range_problem([0, 16]) is None
    assert digits.range_problem([0, 200]) == "inputs lie in 0..200, expected 0..16."
    assert digits.range_problem([-1, 5]) == "inputs lie in -1..5, expected 0..16."


def test_without_a_range_nothing_is_reported():
    assert Preprocessing().range_problem([-1e9, 1e9]) is None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"scale": float("nan")}, "`scale` must be a finite number"),
        ({"scale": "wide"}, "`scale` must be a finite number"),
        ({"offset": (1.0, float("inf"))}, "`offset` must be a finite number"),
        ({"offset": ()}, "`offset` must be a finite number"),
        ({"scale": (1.0, 2.0), "offset": (1.0, 2.0, 3.0)}, "as many channels"),
        ({"raw_range": (255, 0)}, "`raw_range` must be None or a pair"),
        ({"raw_range": 255}, "`raw_range` must be None or a pair"),
    ],
)
def test_bad_numbers_get_one_line(arguments, message):
    with pytest.raises(ValueError, match=message) as caught:
        Preprocessing(**arguments)
    assert "Received: " in str(caught.value)


def test_zero_deviation_is_refused():
    with pytest.raises(ValueError, match="`std` and `max_value` must be above 0"):
        Preprocessing.from_statistics(0.5, (0.1, 0.0))


@pytest.mark.parametrize(
    ("x", "other_scale"),
    [
        (np.array([0.0, 1.0]), True),
        (np.array([-2.0, 2.5]), True),
        (np.array([0, 1], "uint8"), False),  # dark
        (np.array([-3.0, 262.0]), False),  # with noise
        (np.array([0.0, 65535.0]), True),
    ],
)
def test_another_scale_is_told_from_a_few_values_out_of_range(x, other_scale):
    pixels = Preprocessing(1 / 255, raw_range=(0, 255))
    assert (pixels.scale_problem(x) is not None) == other_scale
