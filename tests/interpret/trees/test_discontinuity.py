"""Local discontinuity coefficients: known at a tree's nodes, zero elsewhere."""

import numpy as np
import pytest
from interpret.trees import planes

from dlgn_keras import data
from dlgn_keras.interpret import discontinuities


def test_nodes_have_the_jumps_that_counting_leaves_gives(rng):
    """Orthonormal normals: every sign pattern of the others is equally likely."""
    x, _, tree = data.sample_oblique_tree(20_000, dim=7, depth=3, seed=1)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * 7)).reshape(7, -1).T
    expected = []
    for node in range(7):
        sides = []
        for side in (-1.0, 1.0):
            patterns = signs.copy()
            patterns[:, node] = side
            sides.append(tree.predict(patterns @ tree.normals))
        expected.append(np.mean(sides[0] != sides[1]))
    assert expected == [0.5, 0.25, 0.25, 0.25, 0.25, 0.25, 0.25]
    found = discontinuities(tree, x, tree.predict)
    # 2000 points: five standard deviations of a share.
    assert np.abs(found - expected).max() < 5 * np.sqrt(0.25 / 2000)
    # Broken twin: hyperplanes at random part the labels hardly anywhere.
    others = planes.of(rng.normal(size=(7, 7)))
    assert discontinuities(others, x, tree.predict).max() < 0.02


def test_labels_of_data_alone_tell_nodes_from_other_lines(rng):
    x, y, tree = data.sample_oblique_tree(40_000, dim=3, depth=2, seed=2)
    found = discontinuities(tree, x, y, share=0.05)
    assert np.abs(found - 0.5).max() < 0.12
    others = planes.of(rng.normal(size=(6, 3)))
    assert np.abs(discontinuities(others, x, y, share=0.05)).max() < 0.12


def test_sign_and_scale_of_a_hyperplane_do_not_matter():
    x, _, tree = data.sample_oblique_tree(1000, dim=3, depth=2)
    turned = planes.of(-7 * tree.normals, -7 * tree.biases)
    there = discontinuities(turned, x, tree.predict)
    assert there.tolist() == discontinuities(tree, x, tree.predict).tolist()


def test_labels_without_any_rule_have_no_coefficient(rng):
    x, _, tree = data.sample_oblique_tree(400, dim=3, depth=2)
    # Neighbours that never agree tell nothing about what lies between them.
    line = np.column_stack([np.linspace(-1, 1, 400), np.zeros((400, 2))])
    found = discontinuities(planes.of([[1.0, 0, 0]]), line, np.arange(400) % 2, 1.0)
    assert np.isnan(found).all()
    assert discontinuities(tree, x, np.zeros(400)).tolist() == [0, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"x": np.zeros((5, 2))}, r"`x` must have shape \(n, 3\)"),
        ({"x": np.zeros((0, 3))}, r"`x` must have shape \(n, 3\)"),
        ({"labels": np.zeros(4)}, "`labels` must be a function or have one entry"),
        ({"share": 0}, "`share` must be above 0"),
        ({"step": 2}, "`step` must be above 0"),
    ],
)
def test_bad_arguments_are_named(changes, message):
    given = {"planes": planes.of([[1.0, 0, 0]]), "x": np.zeros((5, 3))}
    given |= {"labels": np.zeros(5)} | changes
    with pytest.raises(ValueError, match=message):
        discontinuities(**given)
