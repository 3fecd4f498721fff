"""Hyperplanes, margins, patterns and regions against the gates the model computes."""

import numpy as np
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.data import Preprocessing
from dlgn_keras.interpret.hyperplanes import Hyperplanes
from dlgn_keras.interpret.regions import polygon_area


def test_hyperplanes_are_where_pre_activations_vanish(rng):
    net = tiny.build("dlgn", "dense_residual")
    planes = interpret.hyperplanes(net)
    q = net.pre_activations(x := rng.normal(size=(1, 3)))
    for k, (site, unit) in enumerate(zip(planes.sites, planes.units, strict=True)):
        height = x @ planes.normals[k] + planes.offsets[k]
        assert_close(height, q[str(site)][:, unit])
        foot = x - height[:, None] * planes.normals[k] / (planes.normals[k] ** 2).sum()
        assert abs(net.pre_activations(foot)[str(site)][0, unit]) < 1e-5


def test_margins_are_the_distance_to_the_nearest_point_of_the_hyperplane(rng):
    preprocessing = Preprocessing(scale=0.5, offset=1.0)
    net = dk.DLGN(dk.skeletons.fc(2, 3), (4,), 2, preprocessing=preprocessing)
    x = rng.normal(size=(5, 4))
    planes = interpret.hyperplanes(net)
    margins = interpret.margins(net, x)
    z = x * 0.5 + 1
    for k in range(6):
        site, unit = str(planes.sites[k]), planes.units[k]
        normal = planes.normals[k] / np.linalg.norm(planes.normals[k])
        nearest = z - margins[site][:, unit, None] * normal
        assert np.abs(nearest @ planes.normals[k] + planes.offsets[k]).max() < 1e-5


def test_distances_are_the_minimum_over_both_signs(rng):
    planes = Hyperplanes(
        rng.normal(size=(6, 3)), rng.normal(size=6), np.zeros(6), np.zeros(6)
    )
    for with_offset in (False, True):
        u = planes.normals
        if with_offset:
            u = np.hstack([u, planes.offsets[:, None]])
        u = u / np.linalg.norm(u, axis=1)[:, None]
        expected = [
            [min(np.linalg.norm(a - b), np.linalg.norm(a + b)) for a in u] for b in u
        ]
        assert_close(interpret.distances(planes, with_offset), expected, "float64")


def test_patterns_are_counted_as_a_set_of_tuples_counts_them(rng):
    net = tiny.build("dgn", "gconv")
    x = np.repeat(tiny.examples(rng, "gconv", 9), [1, 2, 3, 1, 1, 1, 1, 1, 1], axis=0)
    found = interpret.gate_patterns(net, x)
    gates = net.gates(x, "hard")
    joint = [
        tuple(np.concatenate([g[i].ravel() for g in gates.values()])) for i in range(12)
    ]
    assert found.total == len(set(joint))
    assert found.largest == max(joint.count(pattern) for pattern in joint) >= 3
    for site, array in gates.items():
        assert found.sites[site] == len({tuple(g.ravel()) for g in array})
        assert found.on[site] == pytest.approx(array.mean())


@pytest.mark.parametrize(
    ("family", "kind", "options"),
    [
        ("dnn", "fc", {}),
        ("dgn", "dense_residual", {}),
        ("dlgn", "fc_batch_norm", {"preprocessing": Preprocessing(2.0, -0.5)}),
        ("dlgn", "fc", {"shallow": True}),
    ],
)
def test_regions_fill_the_slice_and_hold_the_gates_of_their_points(
    rng, family, kind, options
):
    net = tiny.build(family, tiny.wider(kind), **options)
    origin, first, second = tiny.examples(rng, kind, 3)
    origin *= 0.1  # lines pass close to zero: the window holds it, and so their like
    extent = (-2.0, 3.0, -1.0, 2.0)
    regions = interpret.slice_regions(net, origin, first, second, extent)
    areas = [polygon_area(region.vertices) for region in regions]
    assert sum(areas) == pytest.approx(15, rel=1e-9)
    assert len(regions) > 4
    corners = [rng.dirichlet(np.ones(len(r.vertices)), 4) @ r.vertices for r in regions]
    points = np.concatenate(corners)
    x = origin + np.einsum("ks,s...->k...", points, np.stack([first, second]))
    gates = net.gates(x, "hard")
    wrong = 0
    for k, region in enumerate(regions):
        for site, open_ in region.gates.items():
            here = gates[net.source_site(site)][4 * k : 4 * k + 4]
            wrong += int((here.astype(bool) != open_).any(axis=1).sum())
    assert wrong <= 0.01 * len(points)  # float32 gates of points close to a line
    assert len({tuple(np.concatenate(list(r.gates.values()))) for r in regions}) > 4


def test_a_dlgns_slice_has_as_many_regions_as_its_lines_make():
    """Independent count: each line adds one region, and one per crossing on its way."""
    net = dk.DLGN(dk.skeletons.fc(2, 5), (2,), 2, seed=3)
    tiny.shake(net)
    planes = interpret.hyperplanes(net)
    crossings = 0
    lines = np.hstack([planes.normals, planes.offsets[:, None]])
    for i in range(10):
        for j in range(i):
            s, t = np.linalg.solve(lines[[i, j], :2], -lines[[i, j], 2])
            crossings += abs(s) < 3 and abs(t) < 3
    corners = np.array([[-3, -3, 1], [3, -3, 1], [3, 3, 1], [-3, 3, 1]])
    heights = corners @ lines.T
    met = int(((heights > 0).any(0) & (heights < 0).any(0)).sum())
    regions = interpret.slice_regions(net, [0, 0], [1, 0], [0, 1], (-3, 3, -3, 3))
    assert len(regions) == 1 + met + crossings


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"origin": [0.0]}, "`origin` must have shape"),
        ({"extent": (1, 0, 0, 1)}, "each pair rising"),
        ({"max_regions": 2}, "`max_regions` must be larger"),
    ],
)
def test_a_bad_slice_is_refused(arguments, message):
    net = dk.DNN(dk.skeletons.fc(2, 8), (2,), 2)
    given = {"origin": [0, 0], "first": [1, 0], "second": [0, 1]} | arguments
    with pytest.raises(ValueError, match=message):
        interpret.slice_regions(net, **given)


def test_a_convolution_is_not_cut(rng):
    net = tiny.build("dnn", "c4gap")
    with pytest.raises(ValueError, match="dense stages only"):
        interpret.slice_regions(net, *tiny.examples(rng, "c4gap", 3))
