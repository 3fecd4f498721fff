"""Augmentation: whole pixels, every image its own way, while training only."""

import keras
import numpy as np
import pytest
from keras import ops

from dlgn_keras.training import Recipe
from dlgn_keras.training.ingredients import RandomShift, make_augmentation

SHAPE = (16, 24, 3)  # moves by up to 2 rows and 3 columns
MOST = (2, 3)


def images(rng, number):
    return rng.integers(1, 256, (number, *SHAPE)).astype("float32")


def augmented(layers, x, training=True):
    tensor = ops.convert_to_tensor(x)
    for layer in layers:
        tensor = layer(tensor, training=training)
    return ops.convert_to_numpy(tensor)


def moved(image, rows, columns):
    """The image moved down and right, written with slices, black coming in."""
    height, width, _ = image.shape
    black = np.zeros((height + 20, width + 20, 3), image.dtype)
    black[10 + rows : 10 + rows + height, 10 + columns : 10 + columns + width] = image
    return black[10 : 10 + height, 10 : 10 + width]


def find_move(image, result):
    """The move (rows, columns, mirrored) that makes the result of an image, or None."""
    for mirrored in (False, True):
        back = result[:, ::-1] if mirrored else result
        for rows in range(-MOST[0], MOST[0] + 1):
            for columns in range(-MOST[1], MOST[1] + 1):
                if np.array_equal(moved(image, rows, columns), back):
                    return rows, columns, mirrored
    return None


@pytest.mark.parametrize("name", ["flip", "shift", "shift_flip"])
def test_every_image_moves_its_own_way_by_whole_pixels(name, rng):
    x = images(rng, 60)
    result = augmented(make_augmentation(Recipe(augmentation=name, seed=1), SHAPE), x)
    assert result.shape == x.shape
    moves = [find_move(a, b) for a, b in zip(x, result, strict=True)]
    assert None not in moves
    rows, columns, mirrored = (set(part) for part in zip(*moves, strict=True))
    shifts = "shift" in name
    assert rows == (set(range(-2, 3)) if shifts else {0})
    assert columns == (set(range(-3, 4)) if shifts else {0})
    assert mirrored == ({False, True} if "flip" in name else {False})


@pytest.mark.once
def test_the_finder_of_moves_can_fail(rng):
    x = images(rng, 1)[0]
    result = moved(x, 1, 1)
    assert find_move(x, result) == (1, 1, False)
    result[5, 5, 0] += 1
    assert find_move(x, result) is None
    assert find_move(x, moved(x, 4, 0)) is None


@pytest.mark.once
def test_all_moves_are_equally_likely(rng):
    number, cells = 3500, 35
    position = np.zeros((number, *SHAPE), "float32")
    position[:, 8, 12] = 1
    layer = RandomShift(MOST, seed=int(rng.integers(2**31)))
    result = augmented([layer], position)[..., 0].reshape(number, -1)
    places, counts = np.unique(result.argmax(1), return_counts=True)
    assert len(places) == cells
    chi_square = ((counts - 100) ** 2 / 100).sum()
    assert chi_square < 34 + 6 * np.sqrt(2 * 34)  # six deviations above its mean


@pytest.mark.once
def test_half_of_the_images_are_mirrored(rng):
    x = images(rng, 400)
    result = augmented(make_augmentation(Recipe(augmentation="flip", seed=1), SHAPE), x)
    mirrored = (result == x[:, :, ::-1]).all((1, 2, 3)).sum()
    assert abs(mirrored - 200) < 6 * np.sqrt(100)


@pytest.mark.parametrize("name", ["none", "flip", "shift", "shift_flip"])
def test_nothing_happens_outside_training(name, rng):
    x = images(rng, 4)
    layers = make_augmentation(Recipe(augmentation=name, seed=1), SHAPE)
    np.testing.assert_array_equal(augmented(layers, x, training=False), x)


def test_the_draws_follow_the_seed_and_go_on(rng):
    x = images(rng, 8)
    layers = [
        make_augmentation(Recipe(augmentation="shift_flip", seed=seed), SHAPE)
        for seed in (1, 1, 2)
    ]
    first, same, other = (augmented(layer, x) for layer in layers)
    np.testing.assert_array_equal(first, same)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first, augmented(layers[0], x))


@pytest.mark.usefixtures("mixed_precision")
def test_raw_values_stay_exact_under_mixed_precision(rng):
    x = images(rng, 6) + np.float32(1 / 1024)
    result = augmented(
        make_augmentation(Recipe(augmentation="shift_flip", seed=1), SHAPE), x
    )
    assert None not in [find_move(a, b) for a, b in zip(x, result, strict=True)]


@pytest.mark.once
def test_cifars_images_move_by_four_pixels_and_digits_by_one():
    shifts = [
        make_augmentation(Recipe(augmentation="shift", seed=0), shape)[0].most
        for shape in ((32, 32, 3), (28, 28, 1), (8, 8, 1), (3, 3, 1))
    ]
    assert shifts == [(4, 4), (4, 4), (1, 1), (1, 1)]


def test_the_layer_survives_its_config():
    layer = RandomShift((2, 3), seed=4)
    again = keras.layers.deserialize(keras.layers.serialize(layer))
    assert (again.most, again.seed) == ((2, 3), 4)


@pytest.mark.once
def test_vectors_cannot_be_augmented():
    with pytest.raises(ValueError, match="`augmentation` needs images"):
        make_augmentation(Recipe(augmentation="flip", seed=0), (20,))
    assert make_augmentation(Recipe(augmentation="none", seed=0), (20,)) == []
