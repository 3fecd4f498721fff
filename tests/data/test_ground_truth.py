"""Generated images: what tells their classes apart lies in the masks alone."""

import numpy as np
import pytest

from dlgn_keras import data

NUM = 4000


def both(made, name="x"):
    train, test = (
        getattr(made.dataset, f"{name}_{part}") for part in ("train", "test")
    )
    return np.concatenate([train, test])


def gaps(values, y):
    """Return how many standard errors apart the classes' means are, by pixel."""
    one, other = values[y == 0], values[y == 1]
    error = np.sqrt(one.var(0) / len(one) + other.var(0) / len(other))
    return np.abs(one.mean(0) - other.mean(0)) / error


@pytest.mark.once
@pytest.mark.parametrize(
    ("scenario", "feature"), [("linear", lambda x: x), ("multiplicative", np.square)]
)
def test_the_classes_differ_in_the_mask_alone(scenario, feature):
    made = data.xai_tris(scenario, NUM)
    found = gaps(feature(both(made)[..., 0].astype(float)), both(made, "y"))
    mask = made.masks[0]
    assert mask.sum() == 8
    assert (made.masks == mask).all()
    assert found[mask].min() > 8
    assert found[~mask].max() < 4.5
    if scenario == "multiplicative":
        assert gaps(both(made)[..., 0], both(made, "y")).max() < 4.5


@pytest.mark.once
def test_xor_shows_in_products_of_the_two_shapes_alone():
    made = data.xai_tris("xor", NUM)
    x, y = both(made)[..., 0].astype(float), both(made, "y")
    assert gaps(x, y).max() < 4.5  # no pixel tells
    mask = made.masks[0]
    pairs = np.einsum("ni,nj->nij", x[:, mask], x[:, mask]).reshape(len(x), -1)
    found = gaps(pairs, y).reshape(8, 8)
    first = np.argwhere(mask)[:, 0] < 4
    assert found[np.ix_(first, ~first)].min() > 8
    assert found[np.ix_(first, first)].max() < 4.5
    other = np.einsum("ni,nj->nij", x[:, ~mask][:, :8], x[:, mask]).reshape(len(x), -1)
    assert gaps(other, y).max() < 4.5


@pytest.mark.once
def test_what_moves_is_where_its_mask_is():
    made = data.xai_tris("translated", NUM)
    x, masks = made.dataset.x_test[..., 0], made.masks
    assert (masks.sum((1, 2)) == 4).all()
    assert masks.any(0).all()
    assert masks.mean(0).max() < 0.12
    outside = np.where(masks, np.nan, x)
    inside = np.where(masks, x, np.nan)
    assert np.nanmean(inside) > 10 * abs(np.nanmean(outside))
    assert set(np.unique(made.dataset.y_test, return_counts=True)[1]) == {NUM // 10}


@pytest.mark.once
def test_a_null_block_says_nothing_and_the_image_is_whole():
    digits = data.load("digits")
    made = data.with_null_blocks(digits)
    rows = made.masks.any(2)
    halves = made.dataset.x_test[rows].reshape(-1, 8, 8, 1)
    np.testing.assert_array_equal(halves, digits.x_test)
    nulls = made.dataset.x_test[~rows].reshape(-1, 8, 8, 1)
    assert (nulls == nulls[0]).all()
    assert len(np.unique(nulls)) == 2
    assert (nulls.dtype, nulls.max()) == (digits.x_test.dtype, digits.x_train.max())
    assert 0.4 < rows[:, 0].mean() < 0.6


def test_an_unknown_scenario_is_refused():
    with pytest.raises(ValueError, match="Did you mean 'linear'"):
        data.xai_tris("liner")
