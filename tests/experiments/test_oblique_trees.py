"""oblique-trees: choices on the validation part alone, and a table that goes on."""

import json

import numpy as np
import pytest

from dlgn_keras.experiments import oblique_trees, reproduce
from dlgn_keras.experiments.oblique_trees import (
    AS_PUBLISHED,
    NETWORKS,
    PUBLISHED,
    measure_baseline,
    restarted,
)
from dlgn_keras.training import Recipe, load_data, named_recipe

FEW = {"num_train": 200, "num_test": 100, "epochs": 2}
SHORT = {
    model: (common, tuple({"skeleton": f"fc:depth=1,width={w}"} for w in (3, 4)))
    for model, (common, _) in NETWORKS.items()
    if model in ("DNN", "DLGN-SF")
}


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(oblique_trees, "NETWORKS", SHORT)
    monkeypatch.setattr(oblique_trees, "READ", ("DLGN-SF",))
    cart = {"CART": oblique_trees.BASELINES["CART"]}
    monkeypatch.setattr(oblique_trees, "BASELINES", cart)


def make(out, **options):
    return reproduce(
        "oblique-trees", out, seeds=1, rows=["sdi"], progress=False, changes=FEW,
        **options,
    )  # fmt: skip


def test_one_call_makes_the_table_and_a_second_one_reads_it_back(short, tmp_path):
    table = make(tmp_path)
    lines = {line["model"]: line for line in table.lines}
    assert list(lines) == ["DNN", "DLGN-SF", "DLGN-DT, fitted", "CART"]
    figures = dict(zip(oblique_trees.PUBLISHED_FOR, PUBLISHED["sdi"], strict=True))
    for model, line in lines.items():
        assert line["seeds"] == 1
        assert line["published"] == figures[model.split(",")[0]]
    folder = tmp_path / "oblique-trees-small"
    assert json.loads((folder / "table.json").read_text())["lines"] == table.lines
    assert (folder / "figure.png").read_bytes()[:4] == b"\x89PNG"

    # The chosen net is the candidate with the higher validation accuracy.
    results = [json.loads(p.read_text()) for p in tmp_path.glob("runs/*/result.json")]
    for model, family in (("DNN", "dnn"), ("DLGN-SF", "dlgn")):
        tried = [r for r in results if r["recipe"]["family"] == family]
        assert len(tried) == 2
        best = max(r["validation_accuracy"] for r in tried)
        assert lines[model]["validation"] == pytest.approx(100 * best)
        tests = [r["test_accuracy"] for r in tried if r["validation_accuracy"] == best]
        assert any(lines[model]["last mean"] == pytest.approx(100 * t) for t in tests)

    stamps = {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/**/*.json")}
    assert make(tmp_path).lines == table.lines
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("runs/**/*.json")} == stamps


def test_a_baseline_is_scikit_learns_own_on_the_same_parts():
    from sklearn.tree import DecisionTreeClassifier

    dataset = load_data(Recipe(data="sdi", num_train=300, num_test=100))
    scores = measure_baseline("CART", {"max_depth": 3}, dataset, seed=1)
    tree = DecisionTreeClassifier(max_depth=3, random_state=1)
    tree.fit(dataset.x_train, dataset.y_train)
    hits = tree.predict(dataset.x_test) == dataset.y_test
    assert scores.test == pytest.approx(100 * np.mean(hits))
    other = measure_baseline("CART", {"max_depth": 1}, dataset, seed=1)
    assert other.test != scores.test


def test_every_network_has_as_many_candidates():
    assert len({len(candidates) for _, candidates in NETWORKS.values()}) == 1
    for common, candidates in NETWORKS.values():
        recipes = {Recipe(**common | options).fingerprint for options in candidates}
        assert len(recipes) == len(candidates)


def test_the_published_settings_are_the_papers():
    for name in AS_PUBLISHED.values():
        recipe = named_recipe(f"{name}-sdi")
        assert (recipe.schedule, recipe.epochs) == ("constant", 1500)
        assert recipe.value_input == "ones"
        assert not recipe.value_bias


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ["sdj"]}, "Did you mean 'sdi'"),
        ({"changes": {"shallow": True}}, "leave shallow to the experiment"),
    ],
)
def test_a_bad_call_is_answered_in_one_clear_line(options, message, tmp_path):
    with pytest.raises(ValueError, match=message) as error:
        reproduce("oblique-trees", tmp_path, progress=False, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("found", "kept"),
    [
        ([84.0, 99.0], 0),  # one that has learnt is not trained again
        ([50.1, 78.0, 99.0], 1),
        ([50.1, 49.0, 50.2, 81.0, 99.0], 3),
        ([50.1, 49.0, 51.2, 50.0, 99.0], 2),  # none has: the best by validation
    ],
)
def test_a_seed_that_learns_nothing_is_replaced(found, kept):
    seeds = [4 + 1000 * k for k in range(len(found))]
    table = dict(zip(seeds, found, strict=True))
    asked = []

    def validation(recipe):
        asked.append(recipe.seed)
        return table[recipe.seed]

    recipe = Recipe(data="sdi", seed=4)
    chosen = restarted(recipe, validation)
    assert chosen == recipe.replace(seed=seeds[kept])
    assert asked == seeds[: len(asked)]
    assert 99.0 not in [table[seed] for seed in asked]
