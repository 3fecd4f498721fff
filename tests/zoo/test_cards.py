"""The pictures of the cards can be read."""

import itertools

import cards
import pytest
from matplotlib.figure import Figure


def labels_of(axes):
    """[(lower edge, upper edge, text)] of the labels shown, from below."""
    axes.figure.canvas.draw()
    bottom, top = axes.bbox.y0, axes.bbox.y1
    found = []
    for label in axes.yaxis.get_ticklabels(which="both"):
        box = label.get_window_extent()
        if label.get_text() and bottom - 4 <= (box.y0 + box.y1) / 2 <= top + 4:
            found.append((box.y0, box.y1, label.get_text()))
    return sorted(found)


def touching(labels):
    return [(a[2], b[2]) for a, b in itertools.pairwise(labels) if b[0] < a[1]]


def axes_of(values):
    axes = Figure(figsize=(3.5, 2.6), layout="constrained").subplots()
    axes.set(xlabel="epoch", ylabel="test error, %")
    axes.plot(range(len(values)), values)
    return axes


@pytest.mark.parametrize(
    "values",
    [
        [7.2, 2.0, 0.28],
        [75.0, 49.3],
        [3.7, 2.36],
        [90.0, 20.0, 1.9],
        [2.3, 0.1, 1e-4],
        [12.5, 0.28, 0.0],
        [1.0, 1.0],
        [0.0, 0.0],
    ],
)
def test_labels_tell_the_values_and_do_not_touch(values):
    axes = axes_of(values)
    cards._logarithmic(axes, values)
    labels = labels_of(axes)
    assert labels
    assert not touching(labels)
    assert (labels[0][2] == "0") == (0.0 in values)
    bottom, top = axes.get_ylim()
    assert bottom <= min(values)
    assert max(values) <= top


def test_labels_of_every_step_would_touch():
    axes = axes_of([7.2, 2.0, 0.28])
    axes.set_yscale("log")
    axes.yaxis.set_minor_formatter("{x:g}")
    assert touching(labels_of(axes))
