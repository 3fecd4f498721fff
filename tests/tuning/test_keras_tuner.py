"""KerasTuner's own tuners, called as its users call them, on the user's arrays."""

import keras
import keras_tuner
import numpy as np
import pytest
from few_digits import digits

import dlgn_keras as dk
from dlgn_keras.tuning import GatedHyperModel
from dlgn_keras.tuning.arrays import check_given, hold_out, settle

RNG = np.random.default_rng(3)
Y = np.arange(60) % 3
X = (RNG.normal(size=(60, 4)) + 3 * np.eye(3, 4)[Y]).astype("float32")
HELD = (X[48:], Y[48:])
SPACE = {"width": [3, 5], "beta": [1.0, 4.0]}
FATAL = keras_tuner.errors.FatalValueError


def model(space=None, **options):
    options = {"learning_rate": 0.05, "space": space or SPACE, **options}
    return GatedHyperModel("dlgn", "fc:depth=1", **options)


def search(folder, hypermodel, *args, objective="val_accuracy", options=(), **kwargs):
    tuner = keras_tuner.RandomSearch(
        hypermodel, objective, max_trials=1, directory=folder, seed=1, **dict(options)
    )
    tuner.search(*args, **{"epochs": 1, "verbose": 0, **kwargs})
    return tuner


def weights(net):
    return np.concatenate([w.ravel() for w in net.get_weights()])


@pytest.mark.parametrize(
    ("kind", "options", "objective"),
    [
        (keras_tuner.RandomSearch, {"max_trials": 2}, "val_accuracy"),
        (keras_tuner.Hyperband, {"max_epochs": 3, "factor": 3}, "val_loss"),
        (keras_tuner.BayesianOptimization, {"max_trials": 4}, "val_loss"),
    ],
)
def test_every_tuner_trains_on_the_arrays_it_is_given(
    tmp_path, kind, options, objective
):
    tuner = kind(model(), objective=objective, directory=tmp_path, seed=0, **options)
    epochs = {} if kind is keras_tuner.Hyperband else {"epochs": 2}
    tuner.search(X[:48], Y[:48], validation_data=HELD, verbose=0, **epochs)
    best, (trial, *_) = tuner.get_best_models()[0], tuner.oracle.get_best_trials()
    assert best.input_shape == (None, 4)
    # The score is that of this model on these examples, and of no others.
    for (x, y), same in ((HELD, True), ((HELD[0][::-1], HELD[1]), False)):
        logits = best.predict(x, verbose=0).astype(float)
        losses = np.log(np.exp(logits).sum(1)) - logits[np.arange(len(y)), y]
        hits = logits.argmax(1) == y
        score = losses.mean() if objective == "val_loss" else hits.mean()
        assert (trial.score == pytest.approx(score, abs=1e-5)) == same


def test_arguments_of_search_are_those_of_keras_fit(tmp_path):
    """Examples of no weight teach nothing; without these weights they do."""
    hypermodel = model(seed=1)
    start = {}
    for name, weight in (("none", 0.0), ("all", 1.0)):
        arguments = {"sample_weight": np.full(60, weight), "validation_split": 0.2}
        tuner = search(
            tmp_path / name, hypermodel, x=X, y=Y, batch_size=16, **arguments
        )
        (best,) = tuner.get_best_models()
        start[name] = weights(hypermodel.build(tuner.get_best_hyperparameters()[0]))
        moved = np.abs(weights(best) - start[name]).max()
        assert (moved == 0) == (name == "none")


@pytest.mark.filterwarnings("ignore:Skipping variable loading for optimizer")
def test_what_a_tuner_overrides_is_kept_from_the_first_trial_on(tmp_path):
    hypermodel = model(seed=1)
    metric = keras.metrics.SparseTopKCategoricalAccuracy(1, name="top")
    still = {"optimizer": keras.optimizers.SGD(0.0), "metrics": [metric]}
    objective = keras_tuner.Objective("val_top", "max")
    tuner = search(tmp_path, hypermodel, X, Y, objective=objective, options=still)
    (best,) = tuner.get_best_models()
    fresh = hypermodel.build(tuner.get_best_hyperparameters()[0])
    np.testing.assert_array_equal(weights(best), weights(fresh))


def test_callbacks_see_every_epoch(tmp_path):
    stop = keras.callbacks.EarlyStopping("val_loss", mode="max", patience=1)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    search(tmp_path, model(), X, Y, epochs=9, callbacks=[stop, log])
    assert len((tmp_path / "log.csv").read_text().splitlines()) == 1 + 2


def test_a_model_is_made_again_in_a_new_process_only_if_its_data_are_known(tmp_path):
    first = search(tmp_path, model(), X, Y)
    again = {"objective": "val_accuracy", "max_trials": 1, "directory": tmp_path}
    with pytest.raises(FATAL, match="must know its data to make a trained model again"):
        keras_tuner.RandomSearch(model(), **again).get_best_models()
    told = model(input_shape=(4,), num_classes=3)
    (best,) = keras_tuner.RandomSearch(told, **again).get_best_models()
    expected = first.get_best_models()[0].predict(X, verbose=0)
    np.testing.assert_array_equal(best.predict(X, verbose=0), expected)


def test_models_draw_new_weights_each_unless_a_seed_is_given():
    hp = keras_tuner.HyperParameters()
    told = {"input_shape": (4,), "num_classes": 3}
    for options, same in (({}, False), ({"seed": 7}, True)):
        hypermodel = model(**told, **options)
        one, other = (weights(hypermodel.build(hp)) for _ in range(2))
        assert np.array_equal(one, other) == same


def test_preprocessing_is_that_of_the_arrays_and_never_of_digits(tmp_path):
    images, labels = digits().x_train / np.float32(16), digits().y_train
    (best,) = search(tmp_path / "a", model(), images, labels).get_best_models()
    assert best.preprocessing.is_identity
    scaled = dk.data.Preprocessing(0.5)
    told = model(input_shape=(8, 8, 1), num_classes=10, preprocessing=scaled)
    (best,) = search(tmp_path / "b", told, images, labels).get_best_models()
    assert best.preprocessing == scaled


def test_without_arrays_a_tuner_trains_by_the_recipe(tmp_path):
    hypermodel = model({"width": [4]}, data=digits(30))
    tuner = search(tmp_path, hypermodel, objective="val_loss")
    (best,), blind = tuner.get_best_models(), hypermodel.blind()
    measured = dk.training.evaluate(best, blind.x_test, blind.y_test)
    (trial,) = tuner.oracle.get_best_trials()
    assert trial.score == pytest.approx(measured["loss"], abs=1e-5)


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({}, {"x": X, "y": np.eye(3)[Y]}, r"One-hot rows.*y.argmax\(axis=1\)"),
        ({}, {"x": X, "y": Y * 10**9}, "labels from 0 to 2000000000"),
        ({}, {"x": X, "y": Y[:9]}, "60 inputs and 9 labels"),
        ({}, {"x": X * np.nan, "y": Y}, "`x` must hold finite numbers"),
        ({}, {"x": X, "y": Y, "validation_data": (X[:, :3], Y)}, "`x_val` must be of"),
        (
            {},
            {"x": X, "y": Y, "validation_data": (X, Y - 1)},
            "`y_val` must hold class",
        ),
        (
            {},
            {"x": (X * 99).astype("uint8"), "y": Y, "validation_data": (X / 9, Y)},
            "`x` and `x_val` must be on one scale",
        ),
        ({}, {"x": X, "y": Y, "epoch": 3}, "takes what Keras' `fit` takes.*'epoch'"),
        ({}, {"x": [X]}, "needs `input_shape` and `num_classes`"),
        ({}, {"batch_size": 3}, "`batch_size` goes with x"),
        ({"input_shape": (5,), "num_classes": 3}, {"x": X, "y": Y}, r"shape \(n, 5\)"),
        (
            {"input_shape": (4,), "num_classes": 2},
            {"x": X, "y": Y},
            "labels from 0 to 2",
        ),
        ({"input_shape": (4,), "num_classes": 3}, {}, "`data` must be given"),
        (
            {"num_train": 9},
            {"x": X, "y": Y},
            "`num_train` belongs to searches by recipes",
        ),
        ({"space": {"epochs": [1, 2]}}, {"x": X, "y": Y}, "epochs=1, 'epochs' in"),
        ({"validation": 60}, {"x": X, "y": Y}, "validation=60"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path, options, arguments, message):
    with pytest.raises(FATAL, match=message) as caught:
        search(tmp_path, model(**options), **arguments)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "options",
    [{"input_shape": (4,)}, {"input_shape": (4,), "num_classes": 3, "data": "digits"}],
)
def test_half_a_description_is_refused(options):
    with pytest.raises(ValueError, match="must be given together, and in place of"):
        model(**options)


def test_recipes_are_not_searched_on_what_is_only_described(tmp_path):
    with pytest.raises(
        ValueError, match="`data` must be given for a search by recipes"
    ):
        dk.tuning.search(model(input_shape=(4,), num_classes=3), tmp_path)


def test_a_share_is_held_out_class_by_class_with_its_weights():
    given = {"x": X, "y": Y, "sample_weight": np.arange(60.0)}
    hold_out(given, 0.2)
    x, y, weight = given["validation_data"]
    assert np.bincount(y).tolist() == [4, 4, 4]
    np.testing.assert_array_equal(X[weight.astype(int)], x)
    assert set(weight) | set(given["sample_weight"]) == set(range(60))
    assert len(given["y"]) == 48
    split = {"x": X, "y": Y, "validation_split": 0.3}
    hold_out(split, 0.2)
    assert "validation_data" not in split


@pytest.mark.parametrize(
    ("given", "steps"),
    [
        ({"x": X, "y": Y}, 30 * 2),
        ({"x": X, "y": Y, "epochs": 3, "batch_size": 7}, 3 * 9),
        ({"x": X, "y": Y, "epochs": 3, "batch_size": 7, "validation_split": 0.2}, 21),
        ({"x": X, "y": Y, "epochs": 9, "initial_epoch": 3}, 6 * 2),
        ({"x": X, "y": Y, "epochs": 2, "steps_per_epoch": 5}, 10),
    ],
)
def test_a_schedule_knows_the_steps_that_keras_takes(given, steps):
    assert settle(given, {}, dk.training.Recipe()) == steps


def test_batches_count_where_arrays_do_not():
    class Batches(keras.utils.PyDataset):
        def __len__(self):
            return 4

    known = check_given({"x": X, "y": Y}, None)
    assert check_given({"x": Batches()}, known) is known
    assert settle({"x": Batches(), "epochs": 2}, {}, dk.training.Recipe()) == 8
    with pytest.raises(ValueError, match="`steps_per_epoch` must be given"):
        settle({"x": iter([])}, {}, dk.training.Recipe())
