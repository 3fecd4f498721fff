"""Measures against the truth, on maps whose score is known; a table of one task."""

import numpy as np
import pytest

from dlgn_keras import data
from dlgn_keras.experiments import ground_truth, reproduce


def test_precision_and_mass_of_known_maps(rng):
    masks = np.zeros((3, 4, 4), bool)
    masks[:, 1, 1:3] = True
    exact, outside = masks[..., None] * 2.0, ~masks[..., None] * 1.0
    assert (ground_truth.precision(exact, masks) == 1).all()
    assert (ground_truth.mass(-exact, masks) == 1).all()  # the sign does not count
    assert (ground_truth.precision(outside, masks) == 0).all()
    assert (ground_truth.mass(outside, masks) == 0).all()
    assert (ground_truth.mass(np.zeros((3, 4, 4, 1)), masks) == 0).all()
    assert (ground_truth.precision(np.zeros((3, 4, 4, 1)), masks) == 0).all()
    half = exact.copy()
    half[:, 1, 1] = 0
    half[:, 0, 0] = 6
    assert (ground_truth.precision(half, masks) == 0.5).all()
    np.testing.assert_allclose(ground_truth.mass(half, masks), 0.25)
    blind = rng.normal(size=(2000, 4, 4, 1))
    masks = np.broadcast_to(masks[:1], (2000, 4, 4))
    for measure in (ground_truth.precision, ground_truth.mass):
        assert measure(blind, masks).mean() == pytest.approx(2 / 16, abs=0.03)


def test_weights_along_the_normals_of_the_path(rng):
    x, _, tree = data.sample_oblique_tree(500, 20, 3)
    x = x.astype(float)
    normals = tree.normals[tree.decision_path(x)]
    mixed = np.einsum("nd,ndk->nk", rng.normal(size=(500, 3)), normals)
    far = np.abs(x).min(1) > ground_truth.CLOSE
    assert far.any()
    found = ground_truth.along(mixed * x, x, normals)
    np.testing.assert_allclose(found[far], 1, atol=1e-6)
    blind = ground_truth.along(rng.normal(size=x.shape) * x, x, normals)
    assert blind.mean() == pytest.approx(3 / 20, abs=0.02)


@pytest.mark.once
def test_a_table_of_one_task(tmp_path, monkeypatch):
    monkeypatch.setitem(ground_truth.NUMBERS, "small", 400)
    monkeypatch.setitem(ground_truth.MOST, "small", 12)
    monkeypatch.setattr(ground_truth, "FLAT", "fc:depth=1,width=4")
    options = {"rows": ["linear"], "seeds": 1, "progress": False}
    table = reproduce("ground-truth", tmp_path, changes={"epochs": 4}, **options)
    assert {line["net"] for line in table.lines} == set(ground_truth.FAMILIES)
    for line in table.lines:
        assert line["images"] <= 12
        assert 0 <= line["precision"] <= 1
        assert line["mass, chance"] == 0.125
        assert line["mass ±"] > 0
    assert len({line["mass"] for line in table.lines if line["net"] == "dlgn"}) > 4
    with pytest.raises(ValueError, match="leave skeleton"):
        reproduce("ground-truth", tmp_path, changes={"skeleton": "fc"}, **options)
