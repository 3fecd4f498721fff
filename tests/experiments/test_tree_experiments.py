"""The two experiments on trees and planes, against what the kept runs hold."""

import json

import numpy as np
import pytest
from experiments import few

from dlgn_keras import data, interpret
from dlgn_keras.experiments import lenses, reproduce
from dlgn_keras.experiments.discs import TREE, plane_data
from dlgn_keras.experiments.runs import frames, kept_model
from dlgn_keras.models import affine_gates
from dlgn_keras.training import load_trained


def test_node_distances_in_the_table_are_those_of_the_kept_net(tmp_path):
    changes = {"epochs": 2, "skeleton": "fc:depth=2,width=6"}
    table = reproduce(
        "hyperplanes", tmp_path, seeds=1, rows=["sdi"], progress=False, changes=changes
    )
    (run,) = few.stamps(tmp_path)
    net = load_trained(str(tmp_path / "runs" / run))
    tree = data.oblique_dataset("sdi").tree
    rows = np.concatenate([a.matrix.T for a in affine_gates(net).values()])
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    assert len(table.lines) == 15
    for line in table.lines:
        normal = tree.normals[line["node"]]
        apart = [min(np.linalg.norm(row - s * normal) for s in (-1, 1)) for row in rows]
        assert line["after mean"] == pytest.approx(min(apart), abs=1e-4)
        assert line["within mean"] == sum(a <= 0.3 for a in apart)
        # Training has moved the nearest ones: the check can fail.
        assert line["before mean"] != pytest.approx(min(apart), abs=1e-4)
        level = (line["node"] + 1).bit_length() - 1
        expected = 2.0 ** -(level + 1) if level < 3 else 2.0**-3
        assert line["jump"] == pytest.approx(expected, abs=0.06)
    stored = json.loads((tmp_path / "hyperplanes-small" / "table.json").read_text())
    assert stored["lines"] == table.lines
    assert (tmp_path / "hyperplanes-small" / "figure.png").is_file()


def test_the_planes_table_counts_the_regions_of_the_kept_net(tmp_path):
    changes = {"epochs": 2, "skeleton": "fc:depth=2,width=4"}
    table = reproduce(
        "discs", tmp_path, seeds=1, rows=["tree"], progress=False, changes=changes
    )
    stamps = few.stamps(tmp_path)
    assert len(stamps) == 2
    folder = tmp_path / "discs-small"
    for name in ("table.md", "tree.png", "moving-tree.gif"):
        assert (folder / name).is_file()
    (run,) = [name for name in stamps if name.startswith("dlgn")]
    net = load_trained(str(tmp_path / "runs" / run))
    lines = [line for line in table.lines if line["model"] == "DLGN"]
    assert [line["layers"] for line in lines] == [1, 2]
    regions = interpret.slice_regions(net, [0, 0], [1, 0], [0, 1])
    assert lines[1]["regions mean"] == len(regions) > lines[0]["regions mean"]
    points = data.load(tmp_path / "data" / "tree-2d-2000.npz")
    gates = list(net.gates(points.x_test, "hard").values())
    active = np.einsum("ni,nj->nij", *gates).reshape(len(points.y_test), -1).mean(1)
    for label in (0, 1):
        share = 100 * active[points.y_test == label].mean()
        assert lines[1][f"active {label} mean"] == pytest.approx(share, abs=1e-3)


def test_points_of_the_plane_are_labelled_by_what_they_are_named_after(tmp_path):
    tree = data.load(plane_data(tmp_path, "tree", 300))
    assert tree.y_test.tolist() == TREE.predict(tree.x_test).tolist()
    assert set(tree.y_train) == {0, 1}
    discs = data.load(plane_data(tmp_path, "discs", 300))
    assert len(discs.y_train) == len(discs.y_test) == 300


def test_data_without_a_known_tree_are_refused(tmp_path):
    with pytest.raises(ValueError, match="`data` must be sdi, sdii or sdiii"):
        reproduce("hyperplanes", tmp_path, progress=False, changes={"data": "digits"})


def test_captures_in_the_table_are_those_of_the_kept_nets(tmp_path):
    changes = {"epochs": 12, "skeleton": "fc:depth=2,width=6"}
    table = reproduce("lenses", tmp_path, seeds=1, progress=False, changes=changes)
    (run,) = few.stamps(tmp_path)
    tree = lenses.labelled("small")[1]
    first = {}
    for epoch in frames(12, lenses.FRAMES):
        net = load_trained(str(kept_model(tmp_path / "runs" / run, epoch)))
        for matrix in (a.matrix for a in affine_gates(net).values()):
            for vector in matrix.T:
                length = np.linalg.norm(vector)
                for node, normal in enumerate(tree.normals):
                    cosine = abs(vector @ normal) / length
                    if length > lenses.NORM and cosine > lenses.COSINE:
                        first.setdefault(node, epoch)
    assert len(table.lines) == 7
    assert first
    for line in table.lines:
        node = line["node"]
        assert line["captured"] == (100 if node in first else 0)
        assert line["epoch mean"] == first.get(node)
        if node and node in first:
            parent = first.get((node - 1) // 2, 99)
            assert line["after parent"] == (100 if parent <= first[node] else 0)
        else:
            assert line["after parent"] is None
    # Broken twin: nothing is captured before training.
    assert all(epoch > 0 for epoch in first.values())
    for name in ("figure.png", "moving.gif", "table.md"):
        assert (tmp_path / "lenses-small" / name).is_file()
