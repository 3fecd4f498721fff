"""A preset knows itself: its data, its classes, its name; what people do with it."""

import json

import keras
import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras.cli import main
from dlgn_keras.data import likeness
from dlgn_keras.presets.files import METADATA, read_metadata, seal


@pytest.fixture(scope="module")
def digits():
    return dk.data.load("digits")


def test_a_preset_knows_its_data_and_keeps_it_when_saved(tmp_path):
    net = dk.from_preset("dlgn_fc_digits")
    assert (net.name, net.preset) == ("dlgn_fc_digits", "dlgn_fc_digits")
    assert net.class_names == tuple("0123456789")
    assert net.about["data"] == "digits"
    net.save(tmp_path / "net.keras")
    again = keras.models.load_model(tmp_path / "net.keras")
    assert again.about == net.about
    folder = net.save_to_preset(tmp_path / "mine")
    assert "about" not in json.loads((folder / "config.json").read_text())["config"]
    assert dk.from_preset(folder).about == {**net.about, "preset": "mine"}


def test_a_preset_without_class_names_has_its_data_sets(tmp_path):
    net = dk.DNN(dk.skeletons.c4gap(2, depth=1), (8, 8, 3), 10)
    folder = net.save_to_preset(tmp_path / "mine")
    assert dk.from_preset(folder).class_names == tuple("0123456789")
    seal(folder, {**read_metadata(folder), "data": {"name": "cifar10"}})
    assert dk.from_preset(folder).class_names[3] == "cat"


def test_answers_have_names_probabilities_and_logits(digits):
    net = dk.from_preset("dlgn_fc_digits")
    logits = net.predict(digits.x_test[:5], verbose=0)
    answers = net.decode_predictions(logits, top=2)
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    for row, share, (first, second) in zip(logits, shares, answers, strict=True):
        assert first.number == row.argmax()
        assert first.name == net.class_names[row.argmax()]
        assert first.logit == pytest.approx(np.sort(row)[-1])
        assert second.logit == pytest.approx(np.sort(row)[-2])
        assert first.probability == pytest.approx(share.max(), rel=1e-5)
    assert len(net.decode_predictions(logits, top=99)[0]) == 10
    with pytest.raises(ValueError, match="`logits`"):
        net.decode_predictions(logits[:, :3])
    with pytest.raises(ValueError, match="`top`"):
        net.decode_predictions(logits, top=0)


@pytest.mark.parametrize("family", ["dnn", "dgn", "dlgn"])
def test_features_are_what_the_logits_are_made_of(family, digits):
    net = dk.from_preset(f"{family}_conv_digits")
    x = digits.x_test[:20]
    features = net.features().predict(x, verbose=0)
    head = net.parameters("value")["logits"]
    logits = net.predict(x, verbose=0)
    made = features @ head.kernel + head.bias
    np.testing.assert_allclose(made, logits, atol=1e-4 * np.abs(logits).max())
    without = dk.from_preset(f"{family}_conv_digits", include_top=False)
    np.testing.assert_allclose(
        without.predict(x, verbose=0), features, rtol=1e-4, atol=1e-4
    )


@pytest.mark.parametrize("family", ["dnn", "dgn", "dlgn"])
def test_a_model_is_cut_before_its_last_layer_as_in_keras(family, digits):
    net = dk.from_preset(f"{family}_fc_digits")
    x = digits.x_test[:20]
    cut = keras.Model(net.inputs, net.layers[-2].output)
    same = keras.Model(net.inputs, net.get_layer("logits").output)
    for model in (cut, same):
        np.testing.assert_array_equal(
            model.predict(x, verbose=0), net.predict(x, verbose=0)
        )


def test_a_value_tensor_has_no_features():
    options = {"value": "tensor", "value_input": "ones"}
    net = dk.DLGN(dk.skeletons.fc(2, 3), (4,), 2, **options)
    with pytest.raises(ValueError, match="`features`"):
        net.features()


def test_a_net_that_pools_globally_takes_other_sizes():
    small = dk.from_preset("dlgn_conv_digits")
    large = dk.from_preset("dlgn_conv_digits", input_shape=(12, 10, 1))
    assert large.output_shape == (None, 10)
    assert large.input_shape == (None, 12, 10, 1)
    for ours, theirs in zip(small.get_weights(), large.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for shape, preset in (((9, 9, 1), "fc"), ((9, 9, 3), "conv"), ((9, 1), "conv")):
        with pytest.raises(ValueError, match="`input_shape`"):
            dk.from_preset(f"dlgn_{preset}_digits", input_shape=shape)


def test_a_preset_computes_in_another_dtype_and_leaves_keras_as_it_was(tmp_path):
    before = keras.config.dtype_policy().name
    net = dk.from_preset("dnn_fc_digits", dtype="mixed_bfloat16", name="half")
    assert net.name == "half"
    assert net.get_layer("dense_1").compute_dtype == "bfloat16"
    assert keras.config.dtype_policy().name == before
    x = np.zeros((2, 8, 8, 1), "uint8")
    exact = dk.from_preset("dnn_fc_digits").predict(x, verbose=0)
    logits = net.predict(x, verbose=0)
    assert logits.dtype == "float32"
    net.save(tmp_path / "half.keras")
    again = keras.models.load_model(tmp_path / "half.keras")
    assert again.get_layer("dense_1").compute_dtype == "bfloat16"
    np.testing.assert_array_equal(again.predict(x, verbose=0), logits)
    kept = dk.from_preset(again.save_to_preset(tmp_path / "kept"))
    assert kept.get_layer("dense_1").compute_dtype == "float32"
    assert keras.config.dtype_policy().name == before
    np.testing.assert_allclose(logits, exact, atol=0.05 * np.abs(exact).max())


def test_a_head_that_is_left_out_has_no_size():
    with pytest.raises(ValueError, match="`num_classes`"):
        dk.from_preset("dnn_fc_digits", num_classes=3, include_top=False)


def test_two_presets_stand_in_one_model(digits, tmp_path):
    nets = [dk.from_preset("dlgn_fc_digits"), dk.from_preset("dlgn_conv_digits")]
    inputs = keras.Input((8, 8, 1))
    both = keras.Model(inputs, keras.layers.average([net(inputs) for net in nets]))
    x = digits.x_test[:50]
    mean = sum(net.predict(x, verbose=0) for net in nets) / 2
    np.testing.assert_allclose(both.predict(x, verbose=0), mean, rtol=1e-4, atol=1e-3)
    both.save(tmp_path / "both.keras")
    again = keras.models.load_model(tmp_path / "both.keras")
    np.testing.assert_allclose(again.predict(x, verbose=0), mean, rtol=1e-4, atol=1e-3)
    lines = []
    both.summary(print_fn=lines.append)
    text = "\n".join(lines)
    assert "dlgn_fc_dig" in text
    assert "dlgn_conv_d" in text


def test_the_table_says_what_there_is():
    with pytest.raises(ValueError, match=r"Did you mean 'cifar10'.* digits, mnist"):
        dk.presets(data="cifar")
    table = dk.presets(family="dnn", data="digits")
    page = table._repr_html_()
    assert page.count("<tr>") == 1 + len(table)
    assert "<td>dnn_fc_digits</td>" in page


def test_zoo_show_and_list_tell_what_a_preset_is(capsys):
    assert main(["zoo", "show", "dlgn_fc_mnist"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    metadata = read_metadata(dk.presets()["dlgn_fc_mnist"].folder)
    commit = metadata["training"]["environment"]["commit"]
    for text in ("fc:depth=5,width=128", "(n, 28, 28, 1)", "0 to 255", commit):
        assert text in shown
    assert metadata["date_saved"] in shown
    assert "0, 1, 2, 3" in shown
    assert main(["zoo", "list", "--family", "dnn", "--data", "mnist", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert {(row["family"], row["data"]) for row in rows} == {("dnn", "mnist")}
    assert main(["zoo", "list", "--data", "cifar"]) == 2
    assert "There are: " in capsys.readouterr().err


def test_explain_runs_as_typed_and_prints_answer_and_runner_up(
    digits, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    assert main(["explain", "dlgn_fc_digits"]) == 0
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-1] == "Wrote report.html"
    assert (tmp_path / "report.html").is_file()
    net = dk.from_preset("dlgn_fc_digits")
    logits = net.predict(digits.x_test[:3], verbose=0)
    for line, (best, second) in zip(
        lines[:3], net.decode_predictions(logits, top=2), strict=True
    ):
        assert f": {best.name} (logit {best.logit:.2f}, " in line
        assert f"then {second.name} (logit {second.logit:.2f}, " in line
    command = ["explain", "dlgn_fc_digits", "--data", "digits", "--index", "5,7"]
    assert main([*command, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["images"]
    wanted = net.predict(digits.x_test[[5, 7]], verbose=0)
    np.testing.assert_allclose([row["logits"] for row in rows], wanted, rtol=1e-4)
    assert [row["caution"] for row in rows] == ["", ""]
    for bad in (["--data", "digits", "--index", "360"], ["x.png", "--data", "digits"]):
        assert main(["explain", "dlgn_fc_digits", *bad]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_inputs_unlike_the_training_data_are_told(digits, rng, tmp_path, capsys):
    """Few true digits are doubted; inverted ones and noise always are."""
    net = dk.from_preset("dlgn_fc_digits")
    x = digits.x_test.astype("float32")
    assert np.mean([bool(line) for line in net.cautions(x)]) < 0.03
    assert all("mean" in line for line in net.cautions(16 - x))
    noise = rng.uniform(0, 16, x.shape)
    assert all(net.cautions(noise))
    assert dk.DLGN("fc:depth=1,width=4", (8, 8, 1), 10).cautions(x) == [""] * len(x)
    Image = pytest.importorskip("PIL.Image")
    inverted = (255 - 255 / 16 * x[0, ..., 0]).astype("uint8")
    Image.fromarray(inverted).save(tmp_path / "inverted.png")
    command = ["explain", "dlgn_fc_digits", str(tmp_path / "inverted.png")]
    assert main([*command, "--out", str(tmp_path / "page.html")]) == 0
    assert "Caution: unlike the training data: mean" in capsys.readouterr().out
    assert "<strong>Caution</strong>" in (tmp_path / "page.html").read_text()


def test_usual_ranges_hold_998_of_1000(rng):
    x = rng.normal(size=(4000, 6, 5, 2))
    usual = likeness.usual_ranges(x)
    for name, values in likeness.statistics(x).items():
        low, high = usual[name]
        inside = np.mean((values >= low) & (values <= high))
        assert inside == pytest.approx(0.998, abs=2e-3)
    one = x[7]
    down, right = np.abs(one[1:] - one[:-1]), np.abs(one[:, 1:] - one[:, :-1])
    rough = likeness.statistics(x)["roughness"][7]
    assert rough == pytest.approx((down.mean() + right.mean()) / 2, rel=1e-5)
    assert "roughness" not in likeness.statistics(rng.normal(size=(9, 4)))


def test_an_explanation_prints_short_and_draws_itself(digits):
    net = dk.from_preset("dlgn_fc_digits")
    x = digits.x_test[:12]
    found = net.explain(x)
    lines = repr(found).splitlines()
    assert len(lines) == 11
    assert lines[-1] == "... and 2 more"
    total, bias = found.contributions[0].sum(), found.bias[0]
    assert f"contributions {total:.4g} + bias {bias:.4g}" in lines[0]
    assert f"logit {found.logits[0].max():.4g}" in lines[0]
    figure = net.explain(x[:2]).plot(x[:2], net.class_names)
    assert len(figure.axes) >= 4


def test_evaluate_takes_the_presets_own_data(capsys):
    assert main(["evaluate", "dnn_fc_digits", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    stated = json.loads((dk.presets()["dnn_fc_digits"].folder / METADATA).read_text())
    assert figures["data"] == "digits"
    assert figures["accuracy"] == pytest.approx(
        stated["results"]["stored_weights"], abs=2.5 / 360
    )


def test_a_recorded_recipe_names_the_data_it_was_trained_on(digits, tmp_path):
    few = digits.take(60, 20)
    recipe = dk.training.Recipe("dnn", "fc:depth=1,width=4", data="mnist", epochs=1)
    result = dk.training.fit(recipe, tmp_path / "run", dataset=few, progress=False)
    assert result.recipe["data"] == "digits"
    assert json.loads((tmp_path / "run/recipe.json").read_text())["data"] == "digits"
    assert result.model.about["data"] == "digits"
    again = dk.training.fit(recipe, tmp_path / "run", dataset=few, progress=False)
    assert again.test_accuracy == result.test_accuracy
