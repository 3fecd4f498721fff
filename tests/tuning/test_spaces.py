"""Search spaces: what the named ones ask, what is refused, yours from json or code."""

import json

import keras_tuner
import pytest

import dlgn_keras as dk
from dlgn_keras.data import load
from dlgn_keras.training import Recipe
from dlgn_keras.tuning.spaces import FIELDS, HELD, architecture_of, ask, check_space

DIGITS = load("digits").with_validation(0.2)
# What each family is asked on digits, and the answer when nothing was chosen yet.
TRAINING = {
    "batch_norm": False,
    "optimizer": "adam",
    "learning_rate": 1e-4,
    "weight_decay": 0.0,
    "schedule": "one_cycle",
    "augmentation": "none",
}
SIZE = {"depth": 2, "width": 16}
GATES = {"gate": "soft", "beta": 1.0, "value_input": "input"}


def model(**options):
    return dk.tuning.GatedHyperModel(**{"data": DIGITS, **options})


def defaults(hypermodel):
    hp = keras_tuner.HyperParameters()
    hypermodel.recipe(hp)
    return hp.values


@pytest.mark.parametrize(
    ("family", "asked"),
    [
        ("dnn", {**SIZE, **TRAINING}),
        ("dgn", {**SIZE, **GATES, **TRAINING}),
        ("dlgn", {**SIZE, **GATES, **TRAINING}),
    ],
)
def test_the_default_space_of_a_family(family, asked):
    assert defaults(model(family=family)) == asked


@pytest.mark.parametrize(
    ("skeleton", "sizes"),
    [
        ("fc:batch_norm=true", {"depth", "width"}),
        ("c4gap", {"depth", "width"}),
        ("vconv", {"filters", "units"}),
        ("gconv:units=64", {"filters", "units"}),
        ("vgg16", {"widths"}),
        ("resnet20", {"depth", "widths"}),
        (dk.skeletons.fc(2, 8), set()),
    ],
)
@pytest.mark.parametrize("family", ["dnn", "dlgn"])
def test_every_skeletons_sizes_are_asked(skeleton, sizes, family):
    hypermodel = model(family=family, skeleton=skeleton)
    asked = set(defaults(hypermodel))
    assert asked & {"depth", "width", "filters", "units", "widths"} == sizes


@pytest.mark.parametrize(
    ("skeleton", "values", "expected"),
    [
        ("fc:batch_norm=true", {"depth": 3, "width": 16}, dk.skeletons.fc(3, 16, True)),
        (
            "resnet20",
            {"depth": 8, "widths": "8-16-32"},
            dk.skeletons.resnet(8, (8, 16, 32)),
        ),
        ("gconv:units=64", {"units": "9-7"}, dk.skeletons.gconv(units=(9, 7))),
    ],
)
def test_the_sizes_that_are_asked_stand_over_the_texts_own(skeleton, values, expected):
    space = {name: [value] for name, value in values.items()}
    recipe = model(skeleton=skeleton, space=space).recipe(keras_tuner.HyperParameters())
    assert recipe.skeleton == expected


def test_what_travels_between_machines_makes_the_same_recipe(capsys):
    hypermodel = model(epochs=3)
    hp = keras_tuner.HyperParameters()
    hypermodel.declare_hyperparameters(hp)
    oracle = keras_tuner.oracles.RandomSearchOracle(
        objective=keras_tuner.Objective("x", "max"), hyperparameters=hp, seed=1
    )
    recipes = set()
    for _ in range(30):
        sent = hp.copy()
        sent.values = oracle._random_values()
        received = keras_tuner.HyperParameters.from_proto(sent.to_proto())
        assert hypermodel.recipe(received) == hypermodel.recipe(sent)
        recipes.add(hypermodel.recipe(sent).fingerprint)
    assert len(recipes) > 25


def test_mirrored_images_only_in_colour():
    gray = dk.tuning.named_space("default", input_shape=(28, 28, 1))
    colour = dk.tuning.named_space("default", input_shape=(32, 32, 3))
    assert gray["augmentation"] == ["none", "shift"]
    assert colour["augmentation"] == ["none", "shift", "flip", "shift_flip"]
    assert "augmentation" not in dk.tuning.named_space("default", input_shape=(20,))


# The best set-ups that the paper's search found: beta, rate, depth, width.
FOUND = [
    (3.0, 0.02, 5, 20),
    (10.0, 0.01, 4, 20),
    (10.0, 0.001, 3, 10),
    (30.0, 0.02, 4, 10),
]


def test_the_published_grid_holds_what_the_paper_found():
    space = dk.tuning.named_space("p4")
    for beta, rate, depth, width in FOUND:
        assert beta in space["beta"]
        assert space["learning_rate"]["min"] <= rate <= space["learning_rate"]["max"]
        assert depth in space["depth"]
        assert width in space["width"]
    assert space["epochs"] == [200, 300, 500]
    assert space["width"] == [10, 20, 50, 100, 200, 500, 1000]
    assert (space["weight_decay"], space["optimizer"]) == ([0.0, 0.1], ["adam", "sgd"])


@pytest.mark.parametrize(("batches", "size"), [(1, 1150), (10, 115), (100, 12)])
def test_batches_per_epoch_make_the_batch_size(batches, size):
    space = {"batches_per_epoch": [batches], "beta": [1.0, 2.0]}
    recipe = model(space=space).recipe(keras_tuner.HyperParameters())
    assert len(DIGITS.y_train) == 1150
    assert recipe.batch_size == size


def test_p4_is_for_fully_connected_networks():
    with pytest.raises(ValueError, match="`skeleton` must be fc"):
        model(skeleton="c4gap", space="p4")


def test_an_entry_is_asked_where_its_condition_holds():
    space = {
        "optimizer": ["adam", "sgd"],
        "momentum": {"values": [0.5, 0.9], "when": {"optimizer": ["sgd"]}},
    }
    hp = keras_tuner.HyperParameters()
    assert ask(hp, space) == {"optimizer": "adam"}
    hp.values = {"optimizer": "sgd", "momentum": 0.9}
    assert ask(hp, space) == {"optimizer": "sgd", "momentum": 0.9}


def test_all_ones_and_batch_norm_are_not_drawn_together_in_dense_nets():
    # No such model can be made; padded convolutions can do with both.
    for skeleton, together in [("fc", False), ("vgg16", True)]:
        hp = keras_tuner.HyperParameters()
        space = dk.tuning.named_space("default", skeleton=skeleton)
        ask(hp, space)
        hp.values |= {"batch_norm": True, "value_input": "ones"}
        assert ("value_input" in ask(hp, space)) is together
    dk.DLGN(dk.skeletons.c4gap(2, batch_norm=True), (4, 4, 1), 2, value_input="ones")


def test_a_space_from_json_and_from_a_function_make_the_same_recipes(tmp_path):
    path = tmp_path / "mine.json"
    space = {"width": [8, 24], "beta": {"min": 1.0, "max": 9.0}, "value_input": "ones"}
    path.write_text(json.dumps(space))

    def mine(hp):
        return {
            "width": hp.Choice("width", [8, 24]),
            "beta": hp.Float("beta", 1.0, 9.0),
            "value_input": "ones",
        }

    for values in ({"width": 24, "beta": 3.14159265}, {"width": 8, "beta": 1.0}):
        recipes = []
        for given in (space, str(path), path, mine):
            hp = keras_tuner.HyperParameters()
            hypermodel = model(skeleton="fc:depth=2", space=given)
            hypermodel.declare_hyperparameters(hp)
            hp.values.update(values)
            recipes.append(hypermodel.recipe(hp))
        assert len({recipe.fingerprint for recipe in recipes}) == 1
        assert recipes[0].beta == pytest.approx(values["beta"], rel=1e-3)
        assert recipes[0].skeleton == dk.skeletons.fc(2, values["width"])


def test_every_field_of_a_recipe_is_asked_or_held():
    assert set(FIELDS) | set(HELD) == set(Recipe.__dataclass_fields__)
    assert not set(FIELDS) & set(HELD)


@pytest.mark.parametrize(
    ("space", "expected"),
    [
        ({}, "not empty"),
        ([1], "must be a dictionary"),
        ({"beta": 3.0}, "must leave a choice"),
        ({"betta": [1, 2]}, "Did you mean 'beta'"),
        ({"seed": [1, 2]}, "A search holds it still"),
        ({"validation": [0.1, 0.2]}, "A search holds it still"),
        ({"width": [8, "16"]}, "values of one kind"),
        ({"width": []}, "values of one kind"),
        ({"beta": {"min": 3, "max": 1}}, "Received: beta="),
        ({"beta": {"min": 0.0, "max": 1.0, "sampling": "log"}}, "Received: beta="),
        ({"beta": {"min": 1, "max": 2, "stop": 3}}, "Received: beta="),
        ({"beta": {"values": [1, 2], "when": {"gate": ["soft"]}}}, "one earlier entry"),
        ({"beta": {"values": [1, 2], "when": ["gate"]}}, "one earlier entry"),
    ],
)
def test_a_space_that_cannot_be_asked_is_told(space, expected):
    with pytest.raises(ValueError, match=expected) as error:
        check_space(space, "fc")
    assert "\n" not in str(error.value)


def test_names_files_and_functions_that_are_not_there_are_told(tmp_path):
    with pytest.raises(ValueError, match="Did you mean 'default'"):
        model(space="defualt")
    with pytest.raises(FileNotFoundError, match="No search space file"):
        model(space=str(tmp_path / "none.json"))
    (tmp_path / "torn.json").write_text("{")
    with pytest.raises(ValueError, match="must be json"):
        model(space=tmp_path / "torn.json")
    with pytest.raises(ValueError, match="must return a dictionary"):
        model(space=lambda hp: None).recipe(keras_tuner.HyperParameters())
    with pytest.raises(ValueError, match="cannot ask for 'witdh'"):
        model(space=lambda hp: {"witdh": 3}).recipe(keras_tuner.HyperParameters())


def test_the_architecture_of_a_skeletons_text():
    names = ["fc", "fc:width=3", "resnet20", "resnet", "net.json", dk.skeletons.fc()]
    found = ["fc", "fc", "resnet", "resnet", None, None]
    assert [architecture_of(name) for name in names] == found


@pytest.mark.parametrize(
    "spec",
    [
        {"min": 1, "max": float("inf")},
        {"min": 1, "max": 9, "step": "2"},
        {"min": 1, "max": 9, "step": 0},
        {"min": 1, "max": 9, "step": 0.5},
        {"min": 1, "max": 9, "step": 1, "sampling": "log"},
    ],
)
def test_a_range_that_cannot_be_walked_is_refused(spec):
    check_space({"width": {"min": 1, "max": 9, "step": 2}}, "fc")
    with pytest.raises(ValueError, match="`width` must be a list"):
        check_space({"width": spec}, "fc")
