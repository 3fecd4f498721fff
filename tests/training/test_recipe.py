"""Recipe: plain data that survives json, and refuses what makes no sense."""

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgn_keras import skeletons
from dlgn_keras.training import Recipe
from dlgn_keras.training.recipe import (
    AUGMENTATIONS,
    OPTIMIZERS,
    PRECISIONS,
    from_dict,
)

rates = st.floats(1e-6, 10)
counts = st.integers(1, 10_000)
bools = st.booleans()


@st.composite
def recipes(draw):
    """Any recipe there is: every field drawn, those that hang together together."""
    family = draw(st.sampled_from(["dnn", "dgn", "dlgn"]))
    regimes = ["joint", "frnpf_ii", "frnpf_di", "flnpf"]
    regime = "joint" if family == "dnn" else draw(st.sampled_from(regimes))
    bias = draw(bools)
    boundaries = sorted(draw(st.sets(counts, max_size=4)))
    pieces = st.lists(rates, min_size=len(boundaries) + 1, max_size=len(boundaries) + 1)
    depth = draw(st.integers(1, 4))
    return Recipe(
        family=family,
        skeleton=skeletons.fc(depth, draw(st.integers(1, 50)), draw(bools)),
        data=draw(st.sampled_from(["digits", "mnist", "my data.npz"])),
        regime=regime,
        gates_from="runs/dnn" if regime == "flnpf" else None,
        gate=draw(st.sampled_from([None, "soft", "hard", "straight_through"])),
        beta=draw(rates),
        gate_scale=draw(rates),
        value_input=draw(st.sampled_from(["input", "ones"])),
        gate_order=draw(st.none() | st.permutations(range(depth)).map(tuple)),
        shallow=draw(bools),
        gating_bias=bias,
        value_bias=bias if regime == "frnpf_di" else draw(bools),
        batch_norm=draw(st.none() | bools),
        optimizer=draw(st.sampled_from(OPTIMIZERS)),
        learning_rate=draw(rates),
        momentum=draw(st.floats(0, 0.999)),
        nesterov=draw(bools),
        weight_decay=draw(st.floats(0, 1)),
        clip_norm=draw(st.none() | rates),
        schedule=draw(st.sampled_from(["constant", "one_cycle", "piecewise"])),
        boundaries=tuple(boundaries),
        rates=tuple(draw(pieces)),
        batch_size=draw(counts),
        epochs=draw(counts),
        augmentation=draw(st.sampled_from(AUGMENTATIONS)),
        label_smoothing=draw(st.floats(0, 0.9)),
        validation=draw(st.floats(0, 0.9) | counts),
        num_train=draw(st.none() | counts),
        precision=draw(st.sampled_from(PRECISIONS)),
        seed=draw(st.integers(0, 2**32 - 1)),
    )


@given(recipes())
@settings(max_examples=100, deadline=None)
def test_every_recipe_survives_json(recipe):
    again = Recipe.from_json(recipe.to_json())
    assert again == recipe
    assert again.fingerprint == recipe.fingerprint
    assert json.loads(recipe.to_json()) == recipe.to_config()


@given(recipes(), recipes())
@settings(max_examples=100, deadline=None)
def test_fingerprints_are_equal_just_when_recipes_are(one, other):
    assert (one == other) == (one.fingerprint == other.fingerprint)


def test_the_fingerprint_changes_with_every_field():
    plain = Recipe()
    changes = {
        "family": "dgn", "skeleton": "fc:depth=1", "data": "mnist", "gate": "hard",
        "beta": 2.0, "gate_scale": 1.1, "value_input": "ones", "gate_order": (1, 0),
        "shallow": True, "gating_bias": False, "value_bias": True, "batch_norm": True,
        "kernel_initializer": "glorot_uniform", "optimizer": "sgd",
        "learning_rate": 0.5, "momentum": 0.5, "nesterov": True, "weight_decay": 0.5,
        "clip_norm": 1.0, "schedule": "cosine", "warmup": 0.5, "boundaries": (3,),
        "rates": (1.0, 2.0), "batch_size": 7, "epochs": 8, "evaluate_every": 2,
        "augmentation": "flip", "label_smoothing": 0.1, "validation": 0.1,
        "num_train": 7, "num_test": 7, "image_size": 7, "seed": 7, "loss": "binary",
        "precision": "mixed_bfloat16",
        "regime": "frnpf_ii", "value": "tensor", "value_norm": "scale", "erase": 0.4,
        "mixup": 0.2, "cutmix": 0.2, "ema": 0.9, "distill_from": "there",
        "distill_weight": 0.5, "temperature": 2.0,
    }  # fmt: skip
    pairs = [
        {"regime": "flnpf", "gates_from": "there"},
        {"augmentation": "flip", "alternating_flip": True},
        {"optimizer": "sgd", "bias_rate": 2.0},
    ]
    marks = {plain.replace(**{k: v}).fingerprint for k, v in changes.items()}
    marks |= {plain.fingerprint, *(plain.replace(**p).fingerprint for p in pairs)}
    assert len(marks) == len(changes) + 1 + len(pairs)
    fields = {field.name for field in dataclasses.fields(Recipe)}
    assert fields == {*changes, *(name for pair in pairs for name in pair)}


def test_a_skeleton_may_be_given_as_text():
    assert Recipe(skeleton="fc:depth=2,width=5").skeleton == skeletons.fc(2, 5)


def test_a_frozen_gating_network_gates_hard_and_a_trained_one_softly():
    joint = Recipe(family="dlgn")
    assert joint.gate_mode == "soft"
    assert joint.replace(regime="frnpf_ii").gate_mode == "hard"
    assert joint.replace(gate="straight_through").gate_mode == "straight_through"
    dnn = Recipe(family="dnn")
    assert dnn.replace(family="dgn").gate_mode == "soft"


WRONG = [
    ({"family": "dlng"}, "`family` must be one of .*'dlgn'"),
    ({"regime": "frnpf"}, "`regime` must be one of .*Did you mean"),
    ({"optimizer": "Adam"}, "`optimizer` must be one of .*'adam'"),
    ({"schedule": "onecycle"}, "`schedule` must be one of .*'one_cycle'"),
    ({"augmentation": "flips"}, "`augmentation` must be one of .*'flip'"),
    ({"precision": "bfloat16"}, "`precision` must be one of .*'mixed_bfloat16'"),
    ({"value_input": "zeros"}, "`value_input` must be one of"),
    ({"gate": "Soft"}, "`gate` must be one of .*'soft'"),
    ({"beta": 0.0}, "`beta` must be a finite number above 0"),
    ({"gate_scale": -1.0}, "`gate_scale` must be a finite number above 0"),
    ({"batch_size": 0}, "`batch_size` must be a whole number of at least 1"),
    ({"epochs": 1.5}, "`epochs` must be a whole number of at least 1"),
    ({"num_train": 0}, "`num_train` must be a whole number"),
    ({"num_test": -3}, "`num_test` must be a whole number"),
    ({"learning_rate": 0.0}, "`learning_rate` must be above 0"),
    ({"learning_rate": float("nan")}, "`learning_rate` must be above 0"),
    ({"weight_decay": -1e-4}, "`weight_decay` must be at least 0"),
    ({"momentum": 1.0}, "`momentum` must be at least 0 and below 1"),
    ({"label_smoothing": 1.0}, "`label_smoothing` must be at least 0 and below 1"),
    ({"warmup": 1.0}, "`warmup` must be at least 0 and below 1"),
    ({"clip_norm": 0.0}, "`clip_norm` must be above 0"),
    ({"validation": -0.1}, "`validation` must be at least 0"),
    ({"seed": -1}, "`seed` must be a whole number from 0"),
    ({"seed": 1.5}, "`seed` must be a whole number from 0"),
    ({"seed": 2**32}, "`seed` must be a whole number from 0"),
    ({"family": "dnn", "regime": "frnpf_ii"}, "`regime` must be .joint.*dnn"),
    ({"regime": "flnpf"}, "`gates_from` and regime 'flnpf' go together"),
    ({"gates_from": "runs/x"}, "`gates_from` and regime 'flnpf' go together"),
    ({"regime": "frnpf_di"}, "`gating_bias` and `value_bias` must be equal"),
    ({"schedule": "piecewise"}, "`rates` must have one entry more"),
    (
        {"schedule": "piecewise", "boundaries": (5, 3), "rates": (1.0, 1.0, 1.0)},
        "`boundaries` must rise",
    ),
    (
        {"schedule": "piecewise", "boundaries": (0,), "rates": (1.0, 1.0)},
        "`boundaries` must be a whole number of at least 1",
    ),
    (
        {"schedule": "piecewise", "boundaries": (5,), "rates": (1.0, -1.0)},
        "`rates` must be at least 0",
    ),
    ({"skeleton": "fcc"}, "`skeleton` must be one of .*'fc'"),
]


@pytest.mark.parametrize(("fields", "message"), WRONG)
def test_a_bad_field_gets_one_clear_line(fields, message):
    with pytest.raises(ValueError, match=message) as caught:
        Recipe(**fields)
    assert "\n" not in str(caught.value)
    assert "Received" in str(caught.value)


def test_an_unknown_field_is_answered_with_the_closest():
    with pytest.raises(ValueError, match=r"no field 'epoch'\. Did you mean 'epochs'"):
        from_dict({"epoch": 3})
    with pytest.raises(ValueError, match="must be a dictionary"):
        Recipe.from_json("[1, 2]")
    with pytest.raises(ValueError, match="must be json"):
        Recipe.from_json("{")


def test_a_recipe_file_is_read_or_missed_by_name(tmp_path):
    recipe = Recipe(epochs=3)
    (tmp_path / "recipe.json").write_text(recipe.to_json())
    assert Recipe.from_file(tmp_path / "recipe.json") == recipe
    with pytest.raises(FileNotFoundError, match=r"other\.json"):
        Recipe.from_file(tmp_path / "other.json")
