"""Your own npz: what is read, how it is prepared, and each way it can be wrong."""

import io
import os
import pathlib
import types
import zipfile

import numpy as np
import pytest
from PIL import Image

from dlgn_keras.data import Preprocessing, load
from dlgn_keras.interpret import load_image

RNG = np.random.default_rng(7)


def arrays(**changes):
    good = {
        "x_train": RNG.integers(0, 256, (40, 5, 6, 3), dtype=np.uint8),
        "y_train": np.arange(40) % 4,
        "x_test": RNG.integers(0, 256, (12, 5, 6, 3), dtype=np.uint8),
        "y_test": np.arange(12) % 4,
    }
    return {k: v for k, v in (good | changes).items() if v is not None}


def save(path, **changes):
    given = arrays(**changes)
    np.savez(path, **given)
    return given


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mine.npz"


@pytest.mark.parametrize("writer", [np.savez, np.savez_compressed])
def test_the_arrays_come_back_as_they_were_written(path, writer):
    given = arrays()
    writer(path, **given)
    dataset = load(path)
    for name, array in given.items():
        np.testing.assert_array_equal(getattr(dataset, name), array)
        assert getattr(dataset, name).dtype == array.dtype
    assert (dataset.name, dataset.num_classes) == ("mine", 4)
    assert dataset.splits == ("train", "test")


def test_path_may_be_text_and_begin_at_home(path, monkeypatch):
    save(path)
    monkeypatch.setenv("HOME", str(path.parent))
    monkeypatch.setenv("USERPROFILE", str(path.parent))
    name = os.path.join("~", path.name)
    assert pathlib.Path(name).expanduser() == path
    assert load(name).name == "mine"


def test_images_are_standardised_by_their_own_train_part_per_channel(path):
    given = save(path)
    dataset = load(path)
    pixels = given["x_train"].astype(np.float64)
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2))
    ready = dataset.preprocessing.apply(given["x_test"])
    np.testing.assert_allclose(ready, (given["x_test"] - mean) / std, atol=1e-5)
    twin = given["x_test"].astype(np.float64).mean((0, 1, 2))
    assert np.abs(ready - (given["x_test"] - twin) / std).max() > 1e-3
    assert dataset.preprocessing.raw_range == (
        pixels.min(),
        pixels.max(),
    )


def test_statistics_of_many_pixels_agree_with_the_direct_ones(path):
    x = RNG.integers(0, 200, (400, 64, 64, 1), dtype=np.uint8)  # more than one piece
    save(path, x_train=x, y_train=np.arange(400) % 4, x_test=x[:12])
    preprocessing = load(path).preprocessing
    assert preprocessing.scale == pytest.approx(1 / x.std(), rel=1e-9)
    assert preprocessing.offset == pytest.approx(-x.mean() / x.std(), rel=1e-9)


def test_a_constant_channel_does_not_divide_by_zero(path):
    given = arrays()
    for name in ("x_train", "x_test"):
        given[name][..., 1] = 9
    np.savez(path, **given)
    assert np.all(load(path).preprocessing.apply(given["x_train"])[..., 1] == 0)


def test_grey_images_get_a_channel(path):
    given = arrays()
    given["x_train"], given["x_test"] = (
        given["x_train"][..., 0],
        given["x_test"][..., 0],
    )
    np.savez(path, **given)
    dataset = load(path)
    assert dataset.input_shape == (5, 6, 1)
    np.testing.assert_array_equal(dataset.x_test[..., 0], given["x_test"])


def test_float_features_pass_as_they_are(path):
    x = RNG.standard_normal((40, 7)).astype(np.float32)
    save(path, x_train=x, x_test=x[:12])
    dataset = load(path)
    assert dataset.preprocessing == Preprocessing()
    np.testing.assert_array_equal(dataset.x_train, x)


def test_float_sequences_stay_sequences(path):
    x = RNG.standard_normal((40, 7, 2))
    save(path, x_train=x, x_test=x[:12])
    assert load(path).input_shape == (7, 2)


def test_a_validation_part_in_the_file_is_read(path):
    x = RNG.integers(0, 256, (8, 5, 6, 3), dtype=np.uint8)
    save(path, x_validation=x, y_validation=np.arange(8) % 4)
    np.testing.assert_array_equal(load(path).x_validation, x)


def good(name):
    return arrays()[name]


def object_array():
    array = np.empty(40, object)
    array[:] = [list(range(3))] * 40
    return array


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"y_test": None},
            "where y_test is missing; it holds x_train, y_train, x_test",
        ),
        ({"x_train": None, "y_train": None}, "where x_train, y_train is missing"),
        ({"y_train": good("y_train")[:39]}, "Received: 40 inputs and 39 labels"),
        ({"y_test": good("y_test")[:3]}, "Received: 12 inputs and 3 labels"),
        ({"x_test": good("x_test")[:, :4]}, r"like x_train.*shape \(12, 4, 6, 3\)"),
        ({"y_train": good("y_train") / 2}, "`y_train` must hold integer class labels"),
        ({"y_test": good("y_test") * 1.0}, "`y_test` must hold integer class labels"),
        ({"y_train": good("y_train") - 1}, "`y_train` must.*from -1 to 2"),
        ({"y_test": good("y_test") + 1}, "`y_test` must.*0 to 3.*labels from 1 to 4"),
        ({"y_train": np.zeros(40, int)}, "`num_classes` must be at least 2"),
        ({"x_train": np.zeros(40)}, r"`x_train` must be of shape.*shape \(40,\)"),
        ({"x_test": np.zeros((12, 5, 6, 3, 1))}, r"`x_test`.*shape \(12, 5, 6, 3, 1\)"),
        ({"y_train": np.eye(4, dtype=int)[np.arange(40) % 4]}, "One-hot rows"),
        ({"x_train": object_array()}, "Cannot read 'x_train'.*Object arrays"),
        ({"x_train": np.array(["a"] * 40)}, "`x_train` must hold integers or real"),
        ({"x_validation": np.zeros((2, 5, 6, 3))}, "must be given together"),
        ({"y_train": np.arange(40) % 4 * 10**8}, "labels from 0 to 300000000"),
        ({"y_train": np.r_[:3, [99] * 37]}, "4 different labels from 0 to 99"),
        ({"x_test": good("x_test") / 255}, "one scale.*uint8 0 to 25.*float64 0 to"),
    ],
)
def test_a_file_with_bad_arrays_gets_one_line(path, changes, message):
    save(path, **changes)
    with pytest.raises(ValueError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "num"), [("x_train", 40), ("x_test", 12)])
def test_nan_and_inf_are_counted_and_the_array_is_named(path, name, num):
    given = {
        "x_train": np.zeros((40, 3), np.float32),
        "x_test": np.zeros((12, 3), np.float32),
    }
    given[name][:2, 1] = np.nan
    given[name][3, 0] = np.inf
    save(path, **given)
    message = f"`{name}` must hold finite.* 2 NaN and 1 infinite of {3 * num} values"
    with pytest.raises(ValueError, match=message):
        load(path)


def test_a_missing_file_is_said_to_be_missing(path):
    with pytest.raises(FileNotFoundError, match=r"mine\.npz', and no such file"):
        load(path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"\x93NUMPY\x01\x00"])
def test_a_file_that_is_no_npz_is_refused(path, content):
    path.write_bytes(content)
    with pytest.raises(ValueError, match="which is not, or not whole"):
        load(path)


def test_a_file_cut_short_is_refused(path):
    save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="not whole"):
        load(path)


def test_a_file_with_a_flipped_byte_is_refused(path):
    save(path)
    content = bytearray(path.read_bytes())
    content[1000] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"Cannot read 'x_train' in .*CRC"):
        load(path)


def encrypted(path):
    """The flag of an encrypted member, set in the archive's directory."""
    content = bytearray(path.read_bytes())
    at = 0
    while (at := content.find(b"PK\x01\x02", at)) >= 0:
        content[at + 8] |= 1
        at += 4
    path.write_bytes(content)


def lying(path):
    """A header that tells of 58 TiB."""
    header = io.BytesIO()
    told = {"descr": "|u1", "fortran_order": False, "shape": (10**12, 8, 8)}
    np.lib.format.write_array_header_1_0(header, told)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in arrays().items():
            whole = io.BytesIO()
            np.save(whole, array)
            member = header if name == "x_train" else whole
            archive.writestr(f"{name}.npy", member.getvalue())


@pytest.mark.parametrize(
    ("damage", "message"), [(encrypted, "encrypted"), (lying, "allocate|EOF")]
)
def test_an_archive_that_cannot_be_read_gets_one_line(path, damage, message):
    save(path)
    damage(path)
    with pytest.raises(
        ValueError, match=f"Cannot read 'x_train'.*({message})"
    ) as error:
        load(path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("low", "high", "dtype", "white"),
    [(50, 200, "uint8", 255), (0, 2, "uint8", 1), (300, 9000, "uint16", 65535)],
)
def test_a_picture_of_the_set_gives_the_pixels_of_the_set(
    path, low, high, dtype, white
):
    x = RNG.integers(low, high, (40, 5, 6, 1)).astype(dtype)
    save(path, x_train=x, x_test=x[:12])
    dataset = load(path)
    assert dataset.preprocessing.raw_range == (0, white)
    net = types.SimpleNamespace(
        input_shape=(None, 5, 6, 1), preprocessing=dataset.preprocessing
    )
    picture, png = x[0, ..., 0], path.with_suffix(".png")
    Image.fromarray(picture.astype(bool) if white == 1 else picture).save(png)
    np.testing.assert_array_equal(load_image(png, net).raw, x[0])
    # The broken twin: the range of the pixels instead of that of their format.
    net.preprocessing = Preprocessing(raw_range=(int(x.min()), int(x.max()) + 1))
    assert np.abs(load_image(png, net).raw - x[0]).max() > 0.4


def test_a_file_that_serves_a_name_must_be_on_its_scale(tmp_path):
    given = {
        name: array / 255 if name.startswith("x") else array
        for name, array in arrays().items()
    }
    np.savez(tmp_path / "cifar10.npz", **given)
    with pytest.raises(ValueError, match=r"10.npz: `x_train` must.*expected 0..255"):
        load("cifar10", data_dir=tmp_path)
