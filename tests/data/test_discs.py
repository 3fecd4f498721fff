"""Discs: labels by distance, halves, and discs that keep apart."""

import numpy as np
import pytest

from dlgn_keras.data import discs


@pytest.mark.parametrize("number", [1, 2, 5, 12])
def test_points_are_labelled_by_the_disc_they_lie_in(number):
    x, y, centres, radius = discs(601, number, seed=number)
    assert centres.shape == (number, 2)
    inside = [any(np.hypot(*(point - c)) < radius for c in centres) for point in x]
    assert y.tolist() == [int(one) for one in inside]
    assert abs(int(y.sum()) - 300) <= 1
    assert np.abs(x).max() <= 1
    for i in range(number):
        assert np.abs(centres[i]).max() + radius < 1
        for j in range(i):
            assert np.hypot(*(centres[i] - centres[j])) > 2 * radius
    # Broken twin: a disc a little larger labels some points otherwise.
    larger = (np.hypot(*(x[:, None] - centres).T) < 1.1 * radius).any(axis=0)
    assert larger.tolist() != inside


def test_a_seed_gives_the_same_points_and_another_seed_others():
    assert np.array_equal(discs(50, seed=3).x, discs(50, seed=3).x)
    assert not np.array_equal(discs(50, seed=3).x, discs(50, seed=4).x)


@pytest.mark.parametrize("arguments", [(0,), (10, 0), (2.5,)])
def test_counts_out_of_range_are_refused(arguments):
    with pytest.raises(ValueError, match="must be a whole number of at least 1"):
        discs(*arguments)
