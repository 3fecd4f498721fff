"""NPKClassifier against the closed form, and the study that shows it."""

import json

import numpy as np
import pytest
import tiny
from sklearn.base import clone
from sklearn.datasets import load_digits
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import kernels
from dlgn_keras.cli import main


@pytest.fixture(scope="module")
def digits():
    x, y = load_digits(return_X_y=True)
    x = (x / 16).reshape(-1, 8, 8, 1).astype("float32")
    return (x[:300], y[:300]), (x[300:500], y[300:500])


@pytest.fixture(scope="module")
def net():
    return dk.DGN(dk.skeletons.fc(2, 64), (8, 8, 1), 10, gate="hard", seed=0)


def test_ridge_is_the_closed_form_on_the_scaled_gram(net, digits):
    (x, y), (x_test, _) = digits
    x, y, x_test = x[:60], y[:60], x_test[:9]
    learner = kernels.NPKClassifier(net, alpha=0.01).fit(x, y)
    gram = kernels.npk(net, x)
    scale = np.trace(gram) / 60
    targets = 2.0 * (y[:, None] == np.unique(y)) - 1
    dual = np.linalg.solve(gram / scale + 0.01 * np.eye(60), targets)
    expected = kernels.npk(net, x_test, x) / scale @ dual
    np.testing.assert_allclose(learner.decision_function(x_test), expected, atol=1e-8)


@pytest.mark.parametrize("solver", ["ridge", "svm", "features"])
@pytest.mark.parametrize("scaling", ["trace", "cosine"])
def test_digits_are_told_apart_and_shuffled_labels_are_not(
    solver, scaling, net, digits
):
    (x, y), (x_test, y_test) = digits
    learner = kernels.NPKClassifier(net, solver, scaling=scaling, num_features=1024)
    assert learner.fit(x, y).score(x_test, y_test) > 0.8
    shuffled = np.random.default_rng(0).permutation(y)
    assert learner.fit(x, shuffled).score(x_test, y_test) < 0.4


def test_estimator_is_cloned_and_takes_any_two_labels(net, digits):
    (x, y), _ = digits
    for solver in ("svm", "ridge"):
        learner = clone(kernels.NPKClassifier(net, solver, alpha=1e-6, C=1e4))
        named = np.where(y[:40] < 5, "low", "high")
        fitted = learner.fit(x[:40], named)
        assert set(fitted.predict(x[:40])) == {"low", "high"}
        assert fitted.score(x[:40], named) == 1.0


def test_diagonal_is_that_of_the_gram(rng):
    net = tiny.build("dgn", "resnet")
    x = tiny.examples(rng, "resnet", 35)
    assert_close(kernels.npk_diagonal(net, x), np.diag(kernels.npk(net, x)), "float64")


def test_bad_arguments_are_named(net, digits):
    (x, y), _ = digits
    for make, message in [
        (lambda: kernels.NPKClassifier(net, "lasso").fit(x, y), "`solver` must be"),
        (lambda: kernels.NPKClassifier(net).fit(x, y[:5]), "`y` must hold 300 labels"),
        (lambda: kernels.NPKClassifier(net).fit(x, 0 * y), "two classes at least"),
        (lambda: kernels.NPKClassifier(net).fit(x[:, :4], y), "`X` must have shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            make()


def test_study_is_json_with_a_picture_and_says_what_it_measured(net, digits, tmp_path):
    train, test = (tuple(a[:120] for a in part) for part in digits)
    dnn = dk.DNN(dk.skeletons.fc(2, 64), (8, 8, 1), 10, seed=0)
    found = kernels.study({"dnn": dnn, "dgn": net}, train, test, gram_size=40)
    again = json.loads(json.dumps(found))
    assert again["settings"]["train"] == 120
    rows = {(r["model"], r["classifier"]): r["accuracy"] for r in again["accuracy"]}
    logits = dnn.predict(test[0], verbose=0)
    assert rows["dnn", "the network itself"] == np.mean(logits.argmax(1) == test[1])
    learner = kernels.NPKClassifier(net).fit(*train)
    assert rows["dgn", "npk ridge"] == learner.score(*test)
    gram = kernels.npk(net, test[0][:40])
    assert again["kernels"]["dgn"]["effective_rank"] == kernels.effective_rank(gram)
    assert again["alignment"]["dgn"]["dgn"] == pytest.approx(1)
    assert again["alignment"]["dgn"]["dnn"] < 1
    kernels.draw_study(found, tmp_path / "kernels.png")
    assert (tmp_path / "kernels.png").stat().st_size > 10_000


def test_the_command_makes_the_study_of_presets(tmp_path, capsys):
    names = ["dnn_fc_digits", "dgn_frnpf_fc_digits"]
    options = {"--data": "digits", "--train": 60, "--test": 50, "--gram": 30}
    given = [str(part) for pair in options.items() for part in pair]
    main(["kernel", *names, *given, "--out", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told == json.loads((tmp_path / "kernel.json").read_text())
    assert (tmp_path / "kernel.png").read_bytes()[:4] == b"\x89PNG"
    images = dk.data.load("digits").take(60, 50)
    nets = {name: dk.from_preset(name) for name in names}
    train, test = (
        (getattr(images, f"x_{part}"), getattr(images, f"y_{part}"))
        for part in ("train", "test")
    )
    expected = kernels.study(nets, train, test, gram_size=30)
    assert set(told["kernels"]) == {*names, "random gates"}
    for a, b in zip(told["accuracy"], expected["accuracy"], strict=True):
        assert (a["model"], a["accuracy"]) == (b["model"], b["accuracy"])
    main(["kernel", names[0], *given[2:], "--out", str(tmp_path)])  # its own data
    assert "effective rank" in capsys.readouterr().out
    assert json.loads((tmp_path / "kernel.json").read_text())["data"] == "digits"
    nets[names[0]].save(tmp_path / "saved.keras")
    assert main(["kernel", str(tmp_path / "saved.keras")]) == 2
    assert "`--data` must name a data set" in capsys.readouterr().err
