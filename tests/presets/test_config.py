"""config.json names this library's families and Keras' initializers, nothing else."""

import json

import pytest
import tiny

import dlgn_keras as dk
from dlgn_keras.presets.load import build, read_config
from dlgn_keras.presets.save import config_text


def changed(net, tmp_path, **changes):
    """The config of a net with some entries of its `config` replaced."""
    whole = json.loads(config_text(net))
    whole["config"] = {**whole["config"], **changes}
    path = tmp_path / "config.json"
    path.write_text(json.dumps(whole))
    return path


@pytest.mark.parametrize("family", tiny.FAMILIES)
@pytest.mark.parametrize("kind", list(tiny.KINDS))
def test_every_model_comes_back_from_its_config(family, kind, tmp_path):
    net = tiny.build(family, kind)
    again = build(changed(net, tmp_path))
    assert type(again) is type(net)
    assert again.get_config() == net.get_config()
    assert [v.shape for v in again.variables] == [v.shape for v in net.variables]


@pytest.mark.parametrize(
    "name", ["Lambda", "Functional", "os.system", "DLGN ", None, 3, ["DLGN"], "dlgn"]
)
def test_an_unknown_class_is_refused(name, tmp_path):
    path = tmp_path / "config.json"
    whole = json.loads(config_text(tiny.build("dlgn", "fc")))
    path.write_text(json.dumps({**whole, "class_name": name}))
    with pytest.raises(ValueError, match="`class_name` must be one of DNN, DGN, DLGN"):
        read_config(path)


LAMBDA = {"class_name": "__lambda__", "config": {"value": "4wEAAAAAAAAAAAAAAAA="}}


@pytest.mark.parametrize(
    "value",
    [
        LAMBDA,
        {"class_name": "Lambda", "module": "keras.layers", "config": {}},
        {"class_name": "system", "module": "os", "config": {}},
        {"class_name": "HeNormal", "module": "os", "config": {}},
        {"class_name": "HeNormal", "registered_name": "mine>HeNormal", "config": {}},
        {"class_name": "Constant", "config": {"value": LAMBDA}},
        {"class_name": "HeNormal", "config": {"seed": [1]}},
        {"class_name": "Initializer", "config": {}},
        {"class_name": "get", "config": {}},
        {"class_name": "HeNormal", "config": {"nonsense": 1}},
        "deserialize",
        7,
        ["he_normal"],
    ],
)
@pytest.mark.parametrize("key", ["kernel_initializer", "gating_initializer"])
def test_a_strange_initializer_is_refused_before_keras_sees_it(key, value, tmp_path):
    net = tiny.build("dlgn", "fc")
    with pytest.raises(ValueError, match=f"`{key}`"):
        read_config(changed(net, tmp_path, **{key: value}))


@pytest.mark.parametrize("value", ["he_normal", {"class_name": "GlorotUniform"}])
def test_a_plain_initializer_is_accepted(value, tmp_path):
    net = tiny.build("dlgn", "fc")
    assert build(changed(net, tmp_path, kernel_initializer=value)).family == "dlgn"


@pytest.mark.parametrize(
    "changes",
    [
        {"custom_objects": {}},
        {"bate": 4.0},
        {"skeleton": {"stages": [{"kind": "lambda"}]}},
        {"skeleton": {"stages": [{"kind": "dense", "units": 3, "code": "x"}]}},
        {"skeleton": "fc"},
        {"skeleton": None},
        {"num_classes": -1},
        {"num_classes": "2"},
        {"input_shape": None},
        {"preprocessing": {"scale": "x"}},
        {"preprocessing": {"function": "x"}},
        {"gate": "open"},
        {"frozen": ["__class__"]},
        {"frozen": "gating_network"},
        {"beta": "high"},
        {"name": 3},
    ],
)
def test_a_wrong_argument_is_one_clear_line(changes, tmp_path):
    path = changed(tiny.build("dlgn", "fc"), tmp_path, **changes)
    with pytest.raises(ValueError, match=r"config\.json"):
        build(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"class_name": "DLGN"}', "\xff"])
def test_a_damaged_config_is_one_clear_line(text, tmp_path):
    (tmp_path / "config.json").write_text(text, encoding="latin1")
    with pytest.raises(ValueError, match=r"config\.json"):
        read_config(tmp_path / "config.json")


def test_a_model_that_could_not_be_read_back_is_not_written():
    class Mine(dk.DLGN):
        pass

    with pytest.raises(ValueError, match="`net` must be a DNN, DGN, DLGN"):
        config_text(Mine(dk.skeletons.fc(1, 2), (2,), 2))
