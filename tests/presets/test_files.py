"""A preset that was touched in any way is refused; one that was not is not."""

import json
import shutil

import pytest

from dlgn_keras.presets import from_preset
from dlgn_keras.presets.files import (
    CONFIG,
    GOLDEN,
    METADATA,
    NEEDED,
    WEIGHTS,
    check_files,
    read_metadata,
)


def rewrite_metadata(folder, **changes):
    path = folder / METADATA
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_an_untouched_preset_passes(preset):
    assert set(check_files(preset)["sha256"]) == set(NEEDED)


@pytest.mark.parametrize("name", NEEDED)
def test_one_flipped_bit_in_any_file_is_refused(preset, name, rng):
    data = bytearray((preset / name).read_bytes())
    data[int(rng.integers(len(data)))] ^= 1 << int(rng.integers(8))
    (preset / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} is damaged or belongs to another"):
        from_preset(preset)


@pytest.mark.parametrize("name", NEEDED)
def test_a_truncated_file_is_refused(preset, name):
    data = (preset / name).read_bytes()
    (preset / name).write_bytes(data[: len(data) // 2])
    with pytest.raises(ValueError, match=f"{name} is damaged"):
        from_preset(preset)


@pytest.mark.parametrize("name", [*NEEDED, METADATA])
def test_a_missing_file_is_named(preset, name):
    (preset / name).unlink()
    with pytest.raises((ValueError, FileNotFoundError), match=name):
        from_preset(preset)


def test_swapped_weights_are_refused(preset, originals):
    shutil.copy(originals["dgn"] / WEIGHTS, preset / WEIGHTS)
    with pytest.raises(ValueError, match="belongs to another preset"):
        from_preset(preset)


def test_the_metadata_of_another_preset_are_refused(preset, originals):
    shutil.copy(originals["dgn"] / METADATA, preset / METADATA)
    with pytest.raises(ValueError, match=f"{CONFIG} is damaged or belongs to another"):
        from_preset(preset)


@pytest.mark.parametrize("name", ["../../secret", "/etc/passwd", "a.py", "x\0"])
def test_metadata_may_name_no_file_but_a_presets_own(preset, name):
    hashes = json.loads((preset / METADATA).read_text())["sha256"]
    rewrite_metadata(preset, sha256={**hashes, name: "0" * 64})
    with pytest.raises(ValueError, match="must name no files but"):
        from_preset(preset)


def test_a_file_whose_hash_is_left_out_is_not_loaded(preset):
    hashes = json.loads((preset / METADATA).read_text())["sha256"]
    del hashes[GOLDEN]
    rewrite_metadata(preset, sha256=hashes)
    with pytest.raises(ValueError, match="must hold the sha256 of"):
        from_preset(preset)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '"x"', '{"format": 2}', '{"format": 1}', "[" * 100_000]
)
def test_damaged_metadata_are_one_clear_line(preset, text):
    (preset / METADATA).write_text(text)
    with pytest.raises(ValueError, match=METADATA) as caught:
        read_metadata(preset)
    assert "\n" not in str(caught.value)
