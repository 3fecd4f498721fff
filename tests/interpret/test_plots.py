"""Pictures show the numbers of the API, and every object has one."""

import io

import numpy as np
import pytest
import tiny
from tolerances import assert_close

import dlgn_keras as dk
from dlgn_keras import interpret
from dlgn_keras.interpret import plots


@pytest.fixture
def net():
    return tiny.build("dlgn", (dk.skeletons.c4gap(4, depth=2), (8, 8, 3)))


@pytest.fixture
def dense():
    return tiny.build("dlgn", (dk.skeletons.fc(2, 6), (7,)))


def drawn(figure):
    """Render it, so that a picture that cannot be drawn fails; return its size."""
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=40)
    return len(stream.getvalue())


def images(figure):
    return [np.asarray(i.get_array()) for a in figure.axes for i in a.get_images()]


def test_contribution_maps_hold_the_contributions_and_name_the_logit(rng, net):
    x = rng.uniform(size=(2, 8, 8, 3))
    found = interpret.explain(net, x)
    figure = plots.plot_contributions(x, {"DLGN": found}, ["cat", "dog"])
    shown = images(figure)
    for i in range(2):
        assert_close(shown[2 * i + 1], found.contributions[i].sum(-1))
    titles = " ".join(axes.get_title() for axes in figure.axes)
    target = int(found.target[0])
    assert ["cat", "dog"][target] in titles
    assert f"{found.logits[0, target]:.2f}" in titles
    assert drawn(figure) > 1000


def test_contributions_of_an_all_ones_input_are_not_called_pixels(rng):
    net = tiny.build("dlgn", "gconv", value_input="ones")
    x = tiny.examples(rng, "gconv", 1)
    figure = plots.plot_contributions(x, interpret.explain(net, x))
    assert any("paths by start" in axes.get_title() for axes in figure.axes)


def test_a_notebook_shows_a_figure(rng, net):
    found = net.explain(rng.random((1, *net.input_shape[1:])))
    figure = plots.plot_contributions(rng.random((1, *net.input_shape[1:])), found)
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_signed_colours_are_centred_at_zero(rng, net):
    figure = plots.plot_filters(interpret.gate_filters(net, "conv_2"), 3)
    for axes in figure.axes:
        for image in axes.get_images():
            low, high = image.get_clim()
            assert low == -high < 0


def test_filters_and_spectra_show_the_strongest_units(net):
    filters = interpret.gate_filters(net, "conv_2")
    norms = np.linalg.norm(filters.kernel.reshape(-1, 4), axis=0)
    figure = plots.plot_filters(filters, 2)
    assert f"unit {norms.argmax()}\n" in figure.axes[0].get_title()
    strongest = filters.kernel[..., norms.argmax()]
    assert_close(images(figure)[0], strongest[..., 0])
    assert drawn(plots.plot_spectrum(interpret.spectrum(filters), [0, 3])) > 1000


def test_gates_show_their_mean_over_channels(rng, net):
    gates = net.gates(rng.uniform(size=(2, 8, 8, 3)))
    figure = plots.plot_gates(gates, 1)
    assert_close(images(figure)[0], gates["conv_1"][1].mean(-1))
    assert drawn(figure) > 1000


def test_paths_are_drawn_in_the_order_of_the_layers(rng):
    net = tiny.build("dlgn", "resnet")
    top = interpret.top_paths(net, tiny.examples(rng, "resnet", 1), k=6)
    figure = plots.plot_paths(top)
    labels = [label.get_text() for label in figure.axes[0].get_xticklabels()]
    for path in top.paths:
        met = [labels.index(name) for name, _ in path.units]
        assert met == sorted(met)
    lines = [line for line in figure.axes[0].get_lines() if len(line.get_xdata()) > 1]
    assert len(lines) == len(top.paths)
    dashed = [line.get_linestyle() == "--" for line in reversed(lines)]
    assert dashed == [path.contribution < 0 for path in top.paths]


def test_geometry_is_drawn(rng, dense):
    planes = interpret.hyperplanes(dense)
    found = interpret.distances(planes)
    figure = plots.plot_distances(found, planes.sites)
    assert_close(images(figure)[0], found)
    x = rng.normal(size=(9, 7))
    assert drawn(plots.plot_margins(interpret.margins(dense, x))) > 1000
    regions = interpret.slice_regions(dense, *x[:3])
    figure = plots.plot_regions(regions, [[0, 0], [1, 0]], [1, 2])
    assert len(figure.axes[0].collections[0].get_paths()) == len(regions)
    assert drawn(figure) > 1000


def test_curves_show_the_mean_over_images(rng):
    curves = {"ours": rng.uniform(size=(5, 11)), "gradient": rng.uniform(size=(5, 11))}
    figure = plots.plot_curves(curves, "probability")
    line = figure.axes[0].get_lines()[0]
    assert_close(line.get_ydata(), curves["ours"].mean(0))
    assert line.get_xdata()[-1] == 100
