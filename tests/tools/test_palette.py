"""Colours of families: known ones keep theirs, others get one nobody has."""

from dlgn_keras.cli.compare import draw_curves
from dlgn_keras.tools.palette import COLOURS, FAMILIES, family_styles
from dlgn_keras.training import Result


def test_families_keep_their_style_and_others_get_free_ones():
    labels = [*FAMILIES, "one", "two", "three"]
    styles = family_styles(labels)
    assert {name: styles[name] for name in FAMILIES} == FAMILIES
    assert len({colour for colour, _ in styles.values()}) == len(labels)
    many = family_styles(str(k) for k in range(20))  # more than there are: in turn
    assert {colour for colour, _ in many.values()} < set(COLOURS)


def test_the_curves_of_a_family_without_a_colour_are_drawn(tmp_path):
    row = {"epoch": 1, "loss": 0.5, "test_accuracy": 0.5}
    run = Result(
        {}, test_accuracy=0.5, best_test_accuracy=0.5, best_epoch=1,
        validation_accuracy=None, parameters=1, seconds=1.0, seconds_per_epoch=1.0,
        history=[row], environment={},
    )  # fmt: skip
    draw_curves({"dnn": [run], "mine": [run]}, tmp_path / "curves.png")
    assert (tmp_path / "curves.png").stat().st_size > 0
