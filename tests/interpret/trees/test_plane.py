"""Pictures of the plane: regions by layer, moving hyperplanes, drawn trees."""

import numpy as np
import pytest
import tiny
from PIL import Image

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.data import ObliqueTree
from dlgn_keras.interpret import path_regions, plots
from dlgn_keras.interpret.plots.plane import active_share, clip_line, node_segments

EXTENT = (-1.0, 2.0, -1.5, 1.0)


@pytest.mark.parametrize("family", ["dnn", "dlgn"])
def test_regions_up_to_a_layer_have_its_share_of_active_paths(rng, family):
    net = tiny.build(family, (dk.skeletons.fc(3, 6), (2,)))
    layers = path_regions(net, EXTENT)
    sites = [site.name for site in net.sites]
    assert [list(regions[0].gates) for regions in layers] == [
        sites[: k + 1] for k in range(3)
    ]
    assert 1 < len(layers[0]) <= len(layers[1]) <= len(layers[2])
    for k, regions in enumerate(layers):
        middles = np.array([region.vertices.mean(axis=0) for region in regions])
        gates = net.gates(middles.astype("float32"), "hard")
        # Paths one by one: a product of gates for each choice of units.
        paths = np.ones((len(middles), 1))
        for site in sites[: k + 1]:
            paths = (paths[:, :, None] * gates[site][:, None]).reshape(len(middles), -1)
        shares = np.array([active_share(region) for region in regions])
        wrong = np.abs(shares - paths.mean(axis=1)) > 1e-6
        assert wrong.mean() <= 0.02  # float32 gates in the smallest regions
        # Broken twin: the shares of this layer's gates alone are others.
        alone = np.array([np.mean(region.gates[sites[k]]) for region in regions])
        assert (np.abs(alone - shares).max() < 1e-9) == (k == 0)


def test_a_net_of_other_than_two_inputs_has_no_plane():
    with pytest.raises(ValueError, match="`net` must have two inputs"):
        path_regions(tiny.build("dlgn", "fc"))


def test_lines_end_at_the_border(rng):
    for normal, offset in zip(
        rng.normal(size=(40, 2)), rng.normal(size=40), strict=True
    ):
        ends = clip_line(normal, offset, EXTENT)
        grid = np.stack(np.meshgrid(*np.linspace([-1, -1.5], [2, 1], 60).T), -1)
        heights = grid @ normal + offset
        met = bool((heights > 0).any() and (heights < 0).any())
        assert len(ends) == 2 * met or np.ptp(ends, axis=0).max() < 0.2
        if len(ends):
            assert np.abs(ends @ normal + offset).max() < 1e-9
            gaps = np.abs(ends[:, [0, 0, 1, 1]] - np.array(EXTENT)).min(axis=1)
            assert gaps.max() < 1e-9


def test_nodes_are_drawn_where_they_are_asked(rng):
    tree = ObliqueTree(rng.normal(size=(7, 2)), 0.2 * rng.normal(size=7), range(8))
    shares = np.linspace(0.01, 0.99, 15)[:, None]
    seen = set()
    for start, end in node_segments(tree, (-1, 1, -1, 1)):
        points = start + shares * (end - start)
        heights = np.abs(points @ tree.normals.T + tree.biases)
        node = int(heights.max(axis=0).argmin())
        assert heights[:, node].max() < 1e-9
        assert (tree.decision_path(points) == node).any(axis=1).all()
        seen.add(node)
    assert {0} < seen


def test_a_gif_has_a_frame_for_each_record(rng, tmp_path):
    net = tiny.build("dlgn", (dk.skeletons.fc(2, 3), (2,)))
    records = [interpret.hyperplanes(net)] * 3
    tree = ObliqueTree([[1.0, 0.0]], [0.0], [0, 1])
    x = rng.normal(size=(9, 2))
    path = plots.animate_hyperplanes(
        records, tmp_path / "moving.gif", [0, 5, 9], x, np.arange(9) % 2, tree
    )
    with Image.open(path) as gif:
        assert gif.n_frames == 3


def test_frames_that_cannot_be_drawn_are_refused(tmp_path):
    planes = interpret.hyperplanes(tiny.build("dlgn", "fc"))
    for records in ([], [planes]):
        with pytest.raises(ValueError, match="`records` must hold hyperplanes"):
            plots.animate_hyperplanes(records, tmp_path / "no.gif")
    flat = interpret.hyperplanes(tiny.build("dlgn", (dk.skeletons.fc(1, 2), (2,))))
    with pytest.raises(ValueError, match="`epochs` must hold 1 numbers"):
        plots.animate_hyperplanes([flat], tmp_path / "no.gif", [1, 2])


def test_a_drawn_tree_says_how_many_points_come_where():
    tree = ObliqueTree([[1.0, 0], [0, 0], [0, 1]], [0.0, 0, 0], [1, 1, 0, 1])
    x = np.array([[-1.0, 0], [1, -1], [1, 1], [2, 2]])
    figure = plots.plot_tree(tree, x, [1, 0, 1, 0], ["a", "b"])
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert "0: 1.00 a > 0\n4 points" in texts
    assert "2: 1.00 b > 0\n3 points" in texts
    assert "class 1\n2 points\n50.0% right" in texts
    assert sum(text.startswith("class") for text in texts) == 3
    with pytest.raises(ValueError, match="`names` must hold 2 names"):
        plots.plot_tree(tree, names=["a"])
