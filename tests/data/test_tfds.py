"""tfds:NAME: sets that tensorflow-datasets itself builds or mocks, read by us."""

import io
from typing import ClassVar

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image
from sklearn.datasets import load_digits

import dlgn_keras.data.prepared
from dlgn_keras.data import load
from dlgn_keras.data.records import Records

PIXELS = (load_digits().images * 15).astype(np.uint8)[..., None]
LABELS = load_digits().target


class Made(tfds.core.GeneratorBasedBuilder):
    """Digits, in one split; the subclasses say of which features."""

    VERSION = tfds.core.Version("1.0.0")
    FEATURES: ClassVar[dict] = {}
    KEYS: ClassVar[tuple | None] = ("image", "label")
    __module__ = "tests"

    def _info(self):
        features = tfds.features.FeaturesDict(self.FEATURES)
        return self.dataset_info_from_configs(
            features=features, supervised_keys=self.KEYS, citation="@misc{digits}"
        )

    def _split_generators(self, manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        for k in range(60):
            yield k, self.example(k)

    def example(self, k):
        return {"image": PIXELS[k], "label": str(LABELS[k])}


IMAGE = tfds.features.Image
CLASSES = tfds.features.ClassLabel(names=list("0123456789"))


class MadeSquare(Made):
    FEATURES: ClassVar = {
        "image": IMAGE(shape=(8, 8, 1)),
        "label": CLASSES,
    }


class MadeMixed(Made):
    FEATURES: ClassVar = {
        "image": IMAGE(shape=(None, None, 1)),
        "label": CLASSES,
    }

    def example(self, k):
        return {"image": PIXELS[k][: 8 - k % 2], "label": str(LABELS[k])}


class MadeTable(Made):
    FEATURES: ClassVar = {
        "row": tfds.features.Tensor(shape=(64,), dtype=np.float32),
        "label": CLASSES,
    }
    KEYS = ("row", "label")

    def example(self, k):
        row = PIXELS[k].ravel().astype(np.float32)
        return {"row": row, "label": str(LABELS[k])}


class MadeMany(MadeSquare):
    FEATURES: ClassVar = {**MadeSquare.FEATURES, "other": CLASSES}
    KEYS = None

    def example(self, k):
        return super().example(k) | {"other": "1"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tfds")
    for made in (MadeSquare, MadeMixed, MadeTable, MadeMany):
        made(data_dir=folder).download_and_prepare()
    return folder


def order_of(folder, name, key):
    """The examples in the order of the files, as tensorflow-datasets reads them."""
    builder = tfds.builder_from_directory(folder / name / "1.0.0")
    read = tfds.as_numpy(builder.as_dataset(split="train", shuffle_files=False))
    return np.stack([row[key] for row in read])


@pytest.mark.parametrize("memory", [None, 0])
def test_a_set_is_what_tensorflow_datasets_reads(folder, memory):
    found = load("tfds:made_square:1.0.0", data_dir=folder, memory=memory)
    assert found.stored == (memory == 0)
    assert found.class_names == tuple("0123456789")
    assert "@misc{digits}" in found.terms
    assert (len(found.y_train), len(found.y_test)) == (48, 12)  # a fifth to test on
    ours = np.concatenate([found.x_train, found.x_test])
    theirs = order_of(folder, "made_square", "image")
    assert sorted(x.tobytes() for x in ours) == sorted(x.tobytes() for x in theirs)
    for x, y in zip(ours, np.concatenate([found.y_train, found.y_test]), strict=True):
        same = [k for k in range(60) if np.array_equal(PIXELS[k], x)]
        assert LABELS[same[0]] == y


def test_a_table_comes_as_it_is(folder):
    found = load("tfds:made_table", data_dir=folder)
    assert found.x_train.dtype == np.float32
    assert found.input_shape == (64,)
    with pytest.raises(ValueError, match="one image or vector"):
        load("tfds:made_table", data_dir=folder, image_size=8)


def test_images_of_several_sizes_need_one(folder):
    with pytest.raises(ValueError, match="7 x 8 to 8 x 8"):
        load("tfds:made_mixed", data_dir=folder)
    found = load("tfds:made_mixed", data_dir=folder, image_size=(6, 6))
    assert found.input_shape == (6, 6, 1)


def test_several_labels_are_refused_with_what_to_do(folder):
    with pytest.raises(ValueError, match=r"an \.npz file. .*image, label, other"):
        load("tfds:made_many", data_dir=folder)


@pytest.mark.parametrize("name", ["tfds:", "tfds:a b", "tfds:x:1"])
def test_a_name_of_another_form_is_refused(name):
    with pytest.raises(ValueError, match="must be tfds:NAME"):
        load(name)


def test_an_unknown_set_is_answered_with_the_closest():
    with pytest.raises(ValueError, match="Did you mean 'fashion_mnist'"):
        load("tfds:fashion_mnst")


def test_mock_data_of_a_known_set(monkeypatch, tmp_path):
    monkeypatch.setattr(dlgn_keras.data.prepared, "reachable", lambda url: True)
    with tfds.testing.mock_data(num_examples=7):
        found = load("tfds:fashion_mnist", data_dir=tmp_path)
        assert found.x_train.shape == found.x_test.shape == (7, 28, 28, 1)
        assert found.class_names[0] == "T-shirt/top"
        assert load("tfds:iris", data_dir=tmp_path).input_shape == (4,)
        with pytest.raises(ValueError, match="one image or vector"):
            load("tfds:titanic", data_dir=tmp_path)


def test_a_changed_byte_anywhere_is_seen(folder, tmp_path):
    (path,) = (folder / "made_table").rglob("*.tfrecord*")
    whole = path.read_bytes()
    Records([path]).check()
    for at in (20, len(whole) // 2, len(whole) - 10):
        changed = bytearray(whole)
        changed[at] ^= 1
        (tmp_path / "changed").write_bytes(changed)
        with pytest.raises(ValueError, match=r"1 records do not|ends within"):
            Records([tmp_path / "changed"]).check()


def test_decoded_images_are_kept_and_damage_of_them_is_mended(
    folder, tmp_path, monkeypatch
):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    first = load("tfds:made_square", data_dir=folder)
    kept = sorted(tmp_path.rglob("*.npy"))
    arrays = {np.load(path).tobytes() for path in kept}
    assert arrays == {first.x_train.tobytes(), first.x_test.tobytes()}
    kept[0].write_bytes(kept[0].read_bytes()[:-9])
    again = load("tfds:made_square", data_dir=folder)
    np.testing.assert_array_equal(again.x_train, first.x_train)
    np.testing.assert_array_equal(again.x_test, first.x_test)
    twin = np.load(kept[1])
    np.save(kept[1], twin[::-1])  # it is read: what it holds counts
    other = load("tfds:made_square", data_dir=folder)
    assert {other.x_train.tobytes(), other.x_test.tobytes()} != arrays


def test_pictures_of_other_kinds_decode(tmp_path):
    file = io.BytesIO()
    Image.fromarray(PIXELS[0].squeeze()).save(file, "png")
    from dlgn_keras.data.pictures import pixels

    np.testing.assert_array_equal(pixels(file.getvalue(), "x", (8, 8, 1)), PIXELS[0])
    assert pixels(file.getvalue(), "x", (4, 4, 3)).shape == (4, 4, 3)
