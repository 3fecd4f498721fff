"""A folder of pictures: classes, splits, orientation, and files that are none."""

import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from dlgn_keras.data import load
from dlgn_keras.data.stored import Unreadable

PIXELS = (load_digits().images * 15).astype(np.uint8)
LABELS = load_digits().target
KINDS = ("png", "jpg", "bmp", "gif", "webp")


def write(folder, numbers, kinds=("png",)):
    for k in numbers:
        place = folder / f"digit{LABELS[k]}"
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(PIXELS[k]).save(place / f"{k}.{kinds[k % len(kinds)]}")
    return folder


def test_train_and_test_are_taken_as_they_are(tmp_path):
    write(tmp_path / "train", range(40))
    write(tmp_path / "test", range(40, 60))
    write(tmp_path / "val", range(60, 80))
    found = load(tmp_path)
    assert found.name == tmp_path.name
    assert found.splits == ("train", "validation", "test")
    assert found.class_names == tuple(f"digit{k}" for k in range(10))
    assert found.input_shape == (8, 8, 1)  # grey files stay grey
    assert found.preprocessing.raw_range == (0, 255)
    order = sorted(range(40, 60), key=lambda k: (LABELS[k], str(k)))
    np.testing.assert_array_equal(found.x_test[..., 0], PIXELS[order])
    np.testing.assert_array_equal(found.y_test, LABELS[order])


def test_without_them_the_hash_of_the_path_decides(tmp_path):
    write(tmp_path, range(100))
    found = load(tmp_path, memory=0)
    names = {
        name.name
        for name in (found.x_test.source.paths[k] for k in found.x_test.places)
    }
    expected = {
        f"{k}.png"
        for k in range(100)
        if int(hashlib.sha256(f"digit{LABELS[k]}/{k}.png".encode()).hexdigest()[:8], 16)
        < 2**32 / 5
    }
    assert names == expected
    write(tmp_path, range(100, 130))
    grown = load(tmp_path, memory=0)
    more = {grown.x_test.source.paths[k].name for k in grown.x_test.places}
    assert names == more & {f"{k}.png" for k in range(100)}


def test_every_format_is_read_and_colour_wins(tmp_path):
    write(tmp_path / "train", range(40), KINDS)
    write(tmp_path / "test", range(40, 50), KINDS)
    assert load(tmp_path).input_shape == (8, 8, 3)  # webp has no grey
    (tmp_path / "train" / "digit0" / "notes.txt").write_text("no picture")
    assert len(load(tmp_path).y_train) == 40


def test_exif_orientation_is_respected(tmp_path):
    rng = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in "ab":
            place = tmp_path / split / name
            place.mkdir(parents=True)
            picture = Image.fromarray(rng.integers(0, 256, (6, 4, 3), np.uint8))
            exif = Image.Exif()
            exif[0x0112] = 6  # to be turned by a quarter
            picture.save(place / "x.png", exif=exif)
    found = load(tmp_path)
    assert found.input_shape == (4, 6, 3)
    plain = np.asarray(Image.open(tmp_path / "test" / "a" / "x.png"))
    np.testing.assert_array_equal(found.x_test[0], np.rot90(plain, -1))


@pytest.mark.parametrize("memory", [None, 0])
def test_unreadable_files_are_listed_or_skipped(tmp_path, memory):
    write(tmp_path / "train", range(20))
    write(tmp_path / "test", range(20, 30))
    (tmp_path / "train" / "digit0" / "bad.png").write_bytes(b"none")
    (tmp_path / "test" / "digit1" / "worse.png").write_bytes(b"")
    with pytest.raises(Unreadable, match=r"2 unreadable: .*bad\.png, .*worse\.png"):
        load(tmp_path, memory=memory)
    found = load(tmp_path, memory=memory, skip_unreadable=True)
    assert (len(found.y_train), len(found.y_test)) == (20, 10)


def test_a_cut_file_is_found_where_all_are_read(tmp_path):
    write(tmp_path / "train", range(20))
    write(tmp_path / "test", range(20, 30))
    path = tmp_path / "train" / f"digit{LABELS[3]}" / "3.png"
    path.write_bytes(path.read_bytes()[:60])
    with pytest.raises(Unreadable, match=r"1 unreadable: .*3\.png"):
        load(tmp_path)
    assert len(load(tmp_path, skip_unreadable=True).y_train) == 19


def test_folders_that_are_no_sets(tmp_path):
    with pytest.raises(ValueError, match="a folder of pictures for each class"):
        load(tmp_path)
    write(tmp_path / "train", range(20))
    write(tmp_path / "test", range(20))
    (tmp_path / "test" / "strange").mkdir()
    with pytest.raises(ValueError, match="test has 'strange'"):
        load(tmp_path)
    with pytest.raises(ValueError, match="`image_size` goes with"):
        load("digits", image_size=8)
    with pytest.raises(ValueError, match="`image_size` must be a number"):
        load(tmp_path / "train", image_size=0)
    with pytest.raises(ValueError, match="`memory` must be"):
        load(tmp_path / "train", memory=-1)


def test_several_sizes_need_one_and_keep_their_aspect(tmp_path):
    write(tmp_path / "train", range(20))
    write(tmp_path / "test", range(20))
    wide = np.zeros((8, 24), np.uint8)
    wide[:, 8:16] = 200  # what a cut around the centre keeps
    Image.fromarray(wide).save(tmp_path / "test" / "digit0" / "wide.png")
    with pytest.raises(ValueError, match="8 x 8 to 8 x 24"):
        load(tmp_path)
    found = load(tmp_path, image_size=8)
    assert found.x_test[found.y_test == 0][-1].min() == 200
