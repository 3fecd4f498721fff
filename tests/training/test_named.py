"""Named recipes: the papers' set-ups, number by number."""

import pytest

from dlgn_keras import skeletons
from dlgn_keras.training import NAMED, named_recipe

# arXiv 2006.10529: optimiser, learning rate, epochs of each row of its table.
P0 = {
    "p0-fc-sgd": ("fc", "mnist", "sgd", 1e-2, 300),
    "p0-fc-adam": ("fc", "mnist", "adam", 1e-4, 100),
    "p0-vconv-sgd": ("vconv", "cifar10", "sgd", 1e-2, 80),
    "p0-vconv-adam": ("vconv", "cifar10", "adam", 3e-4, 80),
    "p0-gconv-sgd": ("gconv", "cifar10", "sgd", 1e-1, 100),
    "p0-gconv-adam": ("gconv", "cifar10", "adam", 3e-4, 200),
}
# ICLR 2025: points for training; beta, rate, layers, width of the best DLGN and SF.
P4 = {
    "p4-dlgn-sdi": (20_000, 3, 0.02, 5, 20),
    "p4-dlgn-sf-sdi": (20_000, 30, 0.02, 4, 10),
    "p4-dlgn-sdii": (30_000, 10, 0.01, 4, 20),
    "p4-dlgn-sf-sdii": (30_000, 3, 0.02, 4, 10),
    "p4-dlgn-sdiii": (50_000, 10, 0.001, 3, 10),
    "p4-dlgn-sf-sdiii": (50_000, 3, 0.01, 3, 20),
}


@pytest.mark.parametrize("name", P0)
def test_p0_is_plain_batches_of_32_with_biases(name):
    skeleton, data, optimizer, rate, epochs = P0[name]
    recipe = named_recipe(name)
    assert recipe.skeleton.name == skeleton
    assert (recipe.data, recipe.optimizer) == (data, optimizer)
    assert (recipe.learning_rate, recipe.epochs) == (rate, epochs)
    assert (recipe.batch_size, recipe.momentum) == (32, 0.0)
    assert (recipe.augmentation, recipe.weight_decay) == ("none", 0)
    assert (recipe.schedule, recipe.label_smoothing) == ("constant", 0)
    assert recipe.gating_bias
    assert recipe.value_bias


def test_p0s_fc_has_five_hidden_layers_of_128():
    assert named_recipe("p0-fc-adam").skeleton == skeletons.fc(5, 128)


@pytest.mark.parametrize("data", ["cifar10", "cifar100"])
@pytest.mark.parametrize("skeleton", ["c4gap", "vgg16", "resnet110"])
def test_p1_trains_64k_steps_of_128_images(skeleton, data):
    recipe = named_recipe(f"p1-{skeleton}-{data}")
    assert recipe.data == data
    assert (recipe.optimizer, recipe.momentum, recipe.batch_size) == ("sgd", 0.9, 128)
    assert recipe.rates == (0.01, 0.1, 0.01, 0.001)
    assert recipe.boundaries == (400, 32_000, 48_000)
    steps = recipe.epochs * -(-50_000 // recipe.batch_size)
    assert 64_000 <= steps < 64_000 + 391
    assert recipe.augmentation == "shift_flip"
    penalty = recipe.weight_decay * (1 - recipe.momentum)  # published 1e-4 to 5e-4
    assert 1e-4 <= penalty + 1e-12 <= 5e-4
    assert recipe.beta == (10 if skeleton == "vgg16" else 4)


@pytest.mark.parametrize("name", P4)
def test_p4_takes_ten_batches_an_epoch_of_an_all_ones_value_input(name):
    points, beta, rate, depth, width = P4[name]
    recipe = named_recipe(name)
    assert recipe.skeleton == skeletons.fc(depth, width)
    assert (recipe.beta, recipe.learning_rate) == (beta, rate)
    assert recipe.shallow == ("-sf-" in name)
    assert (recipe.batch_size * 10, recipe.epochs) == (points, 1500)
    assert (recipe.value_input, recipe.value_bias) == ("ones", False)
    assert (recipe.optimizer, recipe.family) == ("adam", "dlgn")
    assert recipe.data == name.split("-")[-1]


@pytest.mark.parametrize("name", NAMED)
def test_every_named_recipe_can_be_built_for_every_family(name):
    for family in ("dnn", "dgn", "dlgn"):
        if family == "dlgn" or not NAMED[name].get("shallow"):
            assert named_recipe(name, family=family, seed=3).family == family


def test_an_unknown_name_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'p0-fc-adam'"):
        named_recipe("p0-fc-adamw")
