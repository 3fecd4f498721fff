"""from_preset: the same model again, a new head, frozen gates, the right raw range."""

import keras
import numpy as np
import pytest
import tiny

import dlgn_keras as dk
from dlgn_keras.presets import from_preset, save_to_preset, verify
from dlgn_keras.presets.verify import examples_for, golden_error, read_golden


def numbers(layers):
    """Return every weight of some layers, by name."""
    return {
        f"{name}/{k}": array
        for name, layer in layers.items()
        for k, array in enumerate(layer.get_weights())
    }


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", ["fc_batch_norm", "gconv", "resnet", "sequence"])
def test_what_is_saved_is_what_is_loaded(family, kind, rng, tmp_path):
    net = tiny.build(family, kind)
    again = from_preset(net.save_to_preset(tmp_path / "mine"))
    x = tiny.examples(rng, kind)
    np.testing.assert_array_equal(
        again.predict(x, verbose=0), net.predict(x, verbose=0)
    )


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_goldens_hold_and_notice_one_changed_weight(family, originals):
    golden = read_golden(originals[family] / "golden.npz")
    net = from_preset(originals[family])
    assert golden.inputs.shape == (8, 4)
    assert golden_error(net, golden) < 1e-6
    kernel = net.network_layers("value")["logits"].weights[0]
    kernel.assign(kernel + 0.1)
    assert golden_error(net, golden) > 1e-3


@pytest.mark.once
def test_verify_notices_goldens_that_do_not_belong(preset, originals):
    from dlgn_keras.presets.files import read_metadata, seal

    assert verify(preset).golden_error < 1e-6
    (preset / "golden.npz").write_bytes((originals["dgn"] / "golden.npz").read_bytes())
    seal(preset, read_metadata(preset))
    with pytest.raises(ValueError, match="differ from the golden ones"):
        verify(preset)


@pytest.mark.once
def test_verify_notices_another_number_of_parameters(preset):
    from dlgn_keras.presets.files import read_metadata, seal

    seal(preset, {**read_metadata(preset), "parameter_count": 7})
    with pytest.raises(ValueError, match="its metadata say 7"):
        verify(preset)


@pytest.mark.once
def test_a_family_asked_for_by_class_must_be_the_presets(originals):
    assert isinstance(dk.DGN.from_preset(originals["dgn"]), dk.DGN)
    assert isinstance(dk.GatedModel.from_preset(originals["dgn"]), dk.DGN)
    with pytest.raises(ValueError, match="`preset` must be a DNN's"):
        dk.DNN.from_preset(originals["dgn"])


@pytest.mark.once
def test_without_weights_the_model_is_as_its_seed_makes_it(tmp_path):
    net = tiny.build("dlgn", "fc", seed=4)
    start = numbers(net.network_layers("value"))
    kernel = net.network_layers("value")["dense_1"].weights[0]
    kernel.assign(kernel + 1.0)
    folder = net.save_to_preset(tmp_path / "mine")
    fresh = numbers(from_preset(folder, load_weights=False).network_layers("value"))
    trained = numbers(from_preset(folder).network_layers("value"))
    np.testing.assert_array_equal(fresh["dense_1/0"], start["dense_1/0"])
    assert not np.array_equal(trained["dense_1/0"], fresh["dense_1/0"])


@pytest.mark.once
@pytest.mark.parametrize(
    ("family", "kind"),
    [*((family, "fc_batch_norm") for family in tiny.FAMILIES), ("dlgn", "resnet")],
)
def test_a_new_head_keeps_every_other_weight(family, kind, tmp_path):
    net = tiny.build(family, kind, seed=1)
    tuned = from_preset(net.save_to_preset(tmp_path / "mine"), num_classes=5)
    assert tuned.output_shape == (None, 5)
    for network in ("value", "gating"):
        ours = numbers(tuned.network_layers(network))
        theirs = numbers(net.network_layers(network))
        assert ours.keys() == theirs.keys()
        for name in ours:
            if not name.startswith("logits"):
                np.testing.assert_array_equal(ours[name], theirs[name])


@pytest.mark.once
def test_as_many_classes_as_before_keep_the_head_too(originals):
    net = from_preset(originals["dlgn"], num_classes=tiny.CLASSES)
    assert golden_error(net, read_golden(originals["dlgn"] / "golden.npz")) < 1e-6


@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("family", ["dgn", "dlgn"])
def test_fine_tuning_moves_the_gates_only_if_they_are_not_frozen(
    frozen, family, rng, tmp_path
):
    source = tiny.build(family, "fc_batch_norm", seed=1)
    folder = source.save_to_preset(tmp_path / "mine")
    x, y = rng.normal(size=(64, 2, 2, 1)).astype("float32"), rng.integers(0, 3, 64)

    net = from_preset(folder, num_classes=3, freeze_gates=frozen)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(0.1), loss)
    history = net.fit(x, y, epochs=3, verbose=0, shuffle=False)

    assert history.history["loss"][-1] < history.history["loss"][0]
    before, after = (numbers(n.network_layers("gating")) for n in (source, net))
    moved = [k for k in before if not np.array_equal(before[k], after[k])]
    assert moved == ([] if frozen else list(before))
    before, after = (numbers(n.network_layers("value")) for n in (source, net))
    assert not np.array_equal(before["dense_1/0"], after["dense_1/0"])


@pytest.mark.once
def test_a_preset_trained_with_frozen_gates_comes_back_frozen(tmp_path):
    net = tiny.build("dgn", "fc_batch_norm", gate="hard")
    net.gating_network.trainable = False
    folder = net.save_to_preset(tmp_path / "mine")
    assert not from_preset(folder).gating_network.trainable
    assert not from_preset(folder, num_classes=3).gating_network.trainable
    thawed = from_preset(folder, freeze_gates=False)
    assert thawed.gating_network.trainable
    assert len(thawed.trainable_variables) > len(net.trainable_variables)


@pytest.mark.once
def test_a_dnn_has_no_gates_to_freeze(originals):
    with pytest.raises(ValueError, match="`freeze_gates` needs a DGN or a DLGN"):
        from_preset(originals["dnn"], freeze_gates=True)


@pytest.mark.once
@pytest.mark.parametrize("number", [0, -1, 2.5, "3", True])
def test_a_number_of_classes_that_is_none_is_refused(number, originals):
    with pytest.raises(ValueError, match="`num_classes` must be a whole number"):
        from_preset(originals["dnn"], num_classes=number)


RANGE = r"inputs lie in .*, expected 0\.\.255"


@pytest.mark.parametrize("scale", [1 / 255, 2.0])
@pytest.mark.parametrize("use", ["predict", "call", "evaluate", "fit", "gates"])
def test_inputs_out_of_the_raw_range_are_warned_of(originals, scale, use):
    net = from_preset(originals["dlgn"])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile("sgd", loss)
    x = np.linspace(0, 255, 32).reshape(8, 4).astype("float32") * scale
    y = np.zeros(8, "int64")
    uses = {
        "predict": lambda: net.predict(x, verbose=0),
        "call": lambda: net(x),
        "evaluate": lambda: net.evaluate(x, y, verbose=0),
        "fit": lambda: net.fit(x, y, verbose=0),
        "gates": lambda: net.gates(x),
    }
    with pytest.warns(UserWarning, match=RANGE):
        uses[use]()


@pytest.mark.once
def test_raw_inputs_in_range_are_not_warned_of(originals):
    net = from_preset(originals["dlgn"])
    x = examples_for(net)
    net.predict(x, verbose=0)  # a warning is an error here
    net(x)
    net.gates(x)
    assert 1 < x.max() <= 255


@pytest.mark.once
def test_an_unfinished_folder_is_never_left(tmp_path):
    net = tiny.build("dlgn", "fc")
    net.variables[0].assign(np.full(net.variables[0].shape, 1e6))
    with pytest.raises(ValueError, match="float16"):
        save_to_preset(net, tmp_path / "mine", dtype="float16")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.once
def test_nothing_but_a_preset_is_ever_replaced(tmp_path):
    net = tiny.build("dlgn", "fc")
    folder = net.save_to_preset(tmp_path / "mine")
    with pytest.raises(ValueError, match="with overwrite=True"):
        net.save_to_preset(folder)
    other = tiny.build("dnn", "fc")
    other.save_to_preset(folder, overwrite=True)
    assert from_preset(folder).family == "dnn"
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    for target in ("thesis", "thesis/chapter.txt"):
        with pytest.raises(ValueError, match="`folder` must be new or empty"):
            net.save_to_preset(tmp_path / target, overwrite=True)
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"


@pytest.mark.once
def test_only_our_models_are_saved(tmp_path):
    with pytest.raises(ValueError, match=r"`net` must be a .*Received: Sequential"):
        save_to_preset(keras.Sequential([keras.layers.Dense(1)]), tmp_path / "mine")


@pytest.mark.once
def test_a_place_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ValueError, match="`folder` must lie where one can write"):
        tiny.build("dnn", "fc").save_to_preset(tmp_path / "file" / "mine")
