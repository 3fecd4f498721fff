"""fit_many: runs side by side are the runs one by one."""

import numpy as np
import pytest
from few_digits import digits

from dlgn_keras.training import Recipe, fit, fit_many

RECIPE = Recipe(
    skeleton="fc:depth=1,width=6,batch_norm=true", epochs=4, evaluate_every=2,
    batch_size=16, learning_rate=0.01,
)  # fmt: skip
TIMES = ("seconds", "total_seconds")


def distance(ours, theirs):
    pairs = zip(ours.model.get_weights(), theirs.model.get_weights(), strict=True)
    return max(np.abs(a - b).max() for a, b in pairs)


def test_runs_side_by_side_are_the_runs_one_by_one():
    dataset = digits(20)
    recipes = [RECIPE, RECIPE.replace(seed=1, learning_rate=0.03)]
    together = fit_many(recipes, dataset=dataset)
    alone = [fit(recipe, dataset=dataset, progress=False) for recipe in recipes]
    for ours, theirs, recipe in zip(together, alone, recipes, strict=True):
        assert ours.recipe == recipe.to_config()
        assert distance(ours, theirs) < 1e-4
        for row, expected in zip(ours.history, theirs.history, strict=True):
            assert set(row) == set(expected)
            for name in set(row) - set(TIMES):
                assert row[name] == pytest.approx(expected[name], abs=1e-4)
    # Broken twin: the second run's weights are far from the first one's.
    assert distance(together[1], alone[0]) > 1e-2


@pytest.mark.once
@pytest.mark.parametrize(
    ("recipes", "message"),
    [
        ([], "`recipes` must hold one at least"),
        ([RECIPE, RECIPE.replace(beta=5.0)], "beta=4.0 and beta=5.0"),
        (
            [RECIPE.replace(schedule="cosine", learning_rate=r) for r in (0.1, 0.2)],
            "must differ in seed alone",
        ),
    ],
)
def test_recipes_that_need_different_programs_are_refused(recipes, message):
    with pytest.raises(ValueError, match=message):
        fit_many(recipes, dataset=digits(20))
