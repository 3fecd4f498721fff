"""Every table of stage rules answers for every kind of stage and every field."""

import dataclasses
import importlib
import pkgutil

import pytest

import dlgn_keras as dk
from dlgn_keras.skeletons import Conv, Dense, Flatten, GlobalPool
from dlgn_keras.skeletons.rules import TABLES, StageRules
from dlgn_keras.skeletons.stages import KIND_OF

for module in pkgutil.walk_packages(dk.__path__, "dlgn_keras."):
    if module.name.split(".")[1] in ("skeletons", "models", "kernels", "interpret"):
        importlib.import_module(module.name)
ROOMS = [table for table in TABLES if table.purpose != "Counting units"]


@dataclasses.dataclass(frozen=True)
class Rotate:
    """A kind of stage that no room has heard of."""

    name: str = "rotate_1"


def gaps():
    """(room, kind, fields) that a table says nothing about."""
    for table in ROOMS:
        for kind in KIND_OF:
            known = kind in table.rows or table.other.reason
            unread = set() if known else {"the kind itself"}
            if unread or table.missing(kind):
                yield table.purpose, kind.__name__, unread or table.missing(kind)


def twist(monkeypatch):
    """Give convolutions a field that no room has heard of."""
    field = dataclasses.field(default=0, init=False)
    field.name, field._field_type = "twist", dataclasses._FIELD
    monkeypatch.setitem(Conv.__dataclass_fields__, "twist", field)
    monkeypatch.setattr(Conv, "twist", 0, raising=False)


def test_every_room_has_a_table():
    purposes = [table.purpose for table in ROOMS]
    assert len(set(purposes)) == len(purposes) >= 10


def test_every_table_answers_for_every_kind_and_field():
    assert not list(gaps())


def test_a_new_kind_is_missed_and_refused_in_every_room(monkeypatch):
    monkeypatch.setitem(KIND_OF, Rotate, "rotate")
    assert {room for room, kind, _ in gaps() if kind == "Rotate"} == {
        table.purpose for table in ROOMS if not table.other.reason
    }
    for table in ROOMS:
        reason = table.other.reason or "it has no rule"
        with pytest.raises(ValueError, match=rf"'rotate_1' \(Rotate\).*: {reason}"):
            table.check((Rotate(),))


def test_a_new_field_is_missed_and_refused_in_every_room(monkeypatch):
    known = [
        table for table in ROOMS if Conv in table.rows and not table.rows[Conv].reason
    ]
    assert len(known) >= 3
    twist(monkeypatch)
    assert [room for room, _, fields in gaps() if fields == {"twist"}] == [
        table.purpose for table in known
    ]
    monkeypatch.setattr(Conv, "twist", 1)
    for table in known:
        with pytest.raises(ValueError, match=r"\(Conv\) with twist=1"):
            table.check((Conv(4, name="conv_1"),))


def test_a_model_with_a_new_field_is_an_error_before_it_is_built(monkeypatch):
    twist(monkeypatch)
    skeleton = dk.skeletons.Skeleton((Conv(4), GlobalPool()))
    dk.DNN(skeleton, (4, 4, 1), num_classes=2)
    monkeypatch.setattr(Conv, "twist", 1)
    with pytest.raises(ValueError, match="twist=1"):
        dk.DNN(skeleton, (4, 4, 1), num_classes=2)


@pytest.fixture
def counting():
    table = StageRules("Counting units")
    yield table
    TABLES.remove(table)


def test_fields_unread_refused_and_without_a_default(counting):
    @counting.rule(Dense, "units", batch_norm="norms hide units")
    def count(stage, before):
        return before + stage.units

    counting.refuse(Flatten, reason="it has no units")
    assert counting(Dense(3, name="a"), 4) == 7
    assert counting.missing(Dense) == {"gated"}
    for stage, message in [
        (Dense(3, True, name="a"), "'a' .*batch_norm=True: norms hide units"),
        (Dense(3, gated=False, name="a"), "'a' .*gated=False: it has no rule"),
        (Flatten(name="b"), "'b' .*: it has no units"),
        (Conv(3, name="c"), "'c' .*: it has no rule"),
    ]:
        with pytest.raises(ValueError, match=message):
            counting.of(stage)
    counting.rule(Conv, "window")(count)
    with pytest.raises(ValueError, match="filters=3"):
        counting.of(Conv(3, name="c"))
