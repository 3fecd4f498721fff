"""Classification sets of tensorflow-datasets, by name.

A prepared folder of TFRecords is read without TensorFlow; anything else, such as
another format, through tensorflow-datasets itself.
"""

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dlgn_keras.data.pictures import common_size, pixels, size_and_mode
from dlgn_keras.data.prepared import (
    Asked,
    asked,
    leave_the_gpu_alone,
    prepare,
    prepared_folder,
    quiet,
    unreadable,
)
from dlgn_keras.data.records import Records, features_of
from dlgn_keras.data.stored import Stored, Unreadable
from dlgn_keras.tools.files import keras_home

Parts = dict[str, tuple[Any, np.ndarray]]
PARTS = {
    "train": "train",
    "test": "test",
    "validation": "validation",
    "valid": "validation",
    "val": "validation",
}


class Described(NamedTuple):
    """What a prepared set says of itself.

    inputs, labels: names of the two features. image: whether inputs are encoded.
    shape, dtype: of one input; -1 and None where they vary.
    """

    inputs: str
    labels: str
    image: bool
    shape: tuple[int, ...]
    dtype: str
    class_names: tuple[str, ...]
    terms: str


class Examples:
    """Inputs in records, a source of `Stored` ones."""

    def __init__(self, records: Records, said: Described, shape: tuple) -> None:
        self.records, self.said, self.shape = records, said, shape
        self.dtype = np.dtype(said.dtype)
        facts = f"{said} {shape} {records.facts()}"
        name = hashlib.sha256(facts.encode()).hexdigest()[:24]
        folder = keras_home() / "dlgn_keras_data"
        self.kept = folder / f"{name}.npy" if said.image else None

    def value(self, k: int) -> Any:
        return next(features_of(self.records[k], [self.said.inputs]))

    def read(self, k: int) -> np.ndarray:
        value = self.value(k)
        if self.said.image:
            return pixels(value[0], self.fact(k), self.shape)
        try:
            return np.array(value, self.dtype).reshape(self.shape)
        except ValueError as error:
            raise Unreadable(f"{self.fact(k)} cannot be read: {error}.") from None

    def check(self) -> None:
        """Raise a ValueError unless the records have their checksums."""
        self.records.check()

    def fact(self, k: int) -> str:
        return f"example {k} ({self.records.places[k][1]} bytes)"


class Named(NamedTuple):
    """A set's parts, and what goes with them."""

    name: str
    parts: Parts
    class_names: tuple[str, ...]
    terms: str


def read_tfds(
    text: str,
    data_dir: str | os.PathLike[str] | None = None,
    download: bool = True,
    image_size: Any = None,
    skip: bool = False,
) -> Named:
    """Return a set of tensorflow-datasets, downloading it first if necessary.

    Args:
        text: NAME[/CONFIG][:VERSION]; without a version, the highest prepared one.
        data_dir: the tensorflow-datasets folder; None is its own default, which
            the variable TFDS_DATA_DIR sets.
        download: whether to download and prepare a missing set.
        image_size: pixels of a side, or (height, width); None where all are alike.
        skip: whether images that cannot be read are left out, not refused.

    Raises:
        ImportError: tensorflow or tensorflow-datasets is needed and not installed.
        FileNotFoundError: the set is not there and cannot or may not be fetched.
        OSError: the prepared folder cannot be read.
        ValueError: a set that is not one of inputs with one label each.
    """
    wanted = asked(text)
    folder = prepared_folder(wanted, data_dir)
    builder = None
    if folder is None:
        builder = prepare(wanted, data_dir, download)
        if (Path(builder.data_path) / "dataset_info.json").is_file():
            folder = Path(builder.data_path)
    try:
        facts = {} if folder is None else _json(folder / "dataset_info.json")
        if folder is None or facts.get("fileFormat") != "tfrecord":
            builder = builder or prepare(wanted, data_dir, download)
            return _read_through_tfds(wanted, builder, image_size)
        features = _json(folder / "features.json")["featuresDict"]
        names = {p.name.split(".")[0]: p for p in folder.glob("*.labels.txt")}
        said = _described(wanted, features, facts, names)
        sources = _opened(wanted, folder, said, facts)
    except Refused:
        raise
    except (ValueError, KeyError, IndexError, TypeError, OSError) as error:
        if folder is None or isinstance(error, FileNotFoundError):
            raise
        raise unreadable(wanted, folder, error) from None
    shape = _shape(wanted, said, sources, image_size)
    stored = {}
    for part, (records, labels) in sources.items():
        examples = Examples(records, said, shape)
        stored[part] = Stored(examples, np.arange(len(labels)), skip), labels
    return _named(wanted, stored, said.class_names, said.terms)


class Refused(ValueError):
    """A set of another kind than can be trained on."""


def _json(path: Path) -> dict[str, Any]:
    found = json.loads(path.read_text())
    if not isinstance(found, dict):
        raise ValueError(f"{path.name} is damaged")
    return found


def _described(
    wanted: Asked, features: Mapping, facts: Mapping, names: Mapping[str, Path]
) -> Described:
    """Return what the json files of a prepared set say."""
    found = features["features"]
    keys = [item["featureKey"] for item in _supervised(facts)]
    inputs, labels = keys if len(keys) == 2 else _guessed(wanted, found)
    for key in (inputs, labels):
        if key not in found:
            raise _refused(wanted, found)
    image = found[inputs].get("image")
    described = image or found[inputs].get("tensor")
    label = found[labels]
    if described is None or not {"classLabel", "tensor"} & set(label):
        raise _refused(wanted, found)
    if described.get("encoding", "none").lower() not in ("none", "") or (
        "tensor" in label and label["tensor"].get("shape", {}).get("dimensions")
    ):
        raise _refused(wanted, found)
    shape = described.get("shape", {}).get("dimensions", [])
    count = int(label.get("classLabel", {}).get("numClasses", 0))
    path = names.get(labels)
    texts = path.read_text().splitlines() if path else map(str, range(count))
    return Described(
        inputs,
        labels,
        image is not None,
        tuple(map(int, shape)),
        described["dtype"],
        tuple(texts),
        _terms(wanted, facts),
    )


def _supervised(facts: Mapping) -> Sequence[Mapping]:
    return facts.get("supervisedKeys", {}).get("tuple", {}).get("items", [])


def _guessed(wanted: Asked, found: Mapping) -> tuple[str, str]:
    """Return the only image or tensor, and the only class label."""
    labels = [name for name, kind in found.items() if "classLabel" in kind]
    inputs = [name for name, kind in found.items() if "image" in kind]
    inputs = inputs or [name for name, kind in found.items() if "tensor" in kind]
    if len(labels) != 1 or len(inputs) != 1:
        raise _refused(wanted, found)
    return inputs[0], labels[0]


def _refused(wanted: Asked, found: Mapping) -> Refused:
    return Refused(
        "`name` must be a set with one image or vector and one class label an "
        f"example; put others into arrays of your own and give an .npz file. "
        f"Received: tfds:{wanted} with the features {', '.join(sorted(found))}."
    )


def _terms(wanted: Asked, facts: Mapping) -> str:
    licence = facts.get("redistributionInfo", {}).get("license", "")
    parts = [licence, facts.get("citation", ""), facts.get("location", {}).get("urls")]
    told = [" ".join(p.split()) for p in parts if isinstance(p, str) and p.strip()]
    start = f"From tensorflow-datasets, {wanted}; its owner's terms apply."
    return " ".join([start, *told])


def _opened(
    wanted: Asked, folder: Path, said: Described, facts: Mapping
) -> dict[str, tuple[Records, np.ndarray]]:
    """Return the records and the labels of every part."""
    sources = {}
    for split in facts["splits"]:
        name, lengths = split["name"], [int(n) for n in split["shardLengths"]]
        if name not in PARTS:
            continue
        records = Records(sorted(folder.glob(f"{wanted.name}-{name}.tfrecord-*")))
        if records.lengths != lengths:
            raise ValueError(f"{name} has {records.lengths} of {lengths} examples")
        values = (next(features_of(r, [said.labels]))[0] for r in records)
        sources[PARTS[name]] = records, np.fromiter(values, np.int64, len(records))
    return sources


def _shape(wanted: Asked, said: Described, sources: Mapping, image_size: Any) -> tuple:
    """Return the shape that all inputs get."""
    if not said.image:
        if image_size is not None or -1 in said.shape or not said.shape:
            raise _refused(wanted, {said.inputs: None, said.labels: None})
        return said.shape
    height, width = said.shape[:2]
    sizes: set[tuple[int, int]] = set()
    if image_size is None and -1 not in (height, width):
        sizes.add((height, width))
    else:
        for records, _ in sources.values() if image_size is None else ():
            for record in records:
                value = next(features_of(record, [said.inputs]))[0]
                sizes.add(size_and_mode(value, wanted.name)[:2])
    channels = 1 if said.shape[2] == 1 else 3
    return (*common_size(sizes, image_size, f"tfds:{wanted}"), channels)


def _named(wanted: Asked, parts: Parts, names: tuple, terms: str) -> Named:
    """Return parts whose labels are known; without such a test part, see `load`."""
    known = {
        split: part for split, part in parts.items() if part[1].min(initial=0) >= 0
    }
    if "train" not in known:
        raise Refused(
            "`name` must be a set with labelled examples in a split called train. "
            f"Received: tfds:{wanted} with {', '.join(parts) or 'none'}."
        )
    if "test" not in known and "validation" in known:
        known["test"] = known.pop("validation")
    return Named(wanted.name, known, names, terms)


def _read_through_tfds(wanted: Asked, builder: Any, image_size: Any) -> Named:
    """Return arrays that tensorflow-datasets itself reads."""
    import tensorflow as tf
    import tensorflow_datasets as tfds

    leave_the_gpu_alone(tf)
    with quiet():
        content = builder.info.features.to_json()["content"]
        content = json.loads(content) if isinstance(content, str) else content
        keys = builder.info.supervised_keys
        items = [{"featureKey": key} for key in keys or () if isinstance(key, str)]
        facts = {
            "supervisedKeys": {"tuple": {"items": items}},
            "citation": builder.info.citation or "",
        }
        try:
            said = _described(wanted, content, facts, {})
            names = builder.info.features[said.labels]
            splits = [name for name in builder.info.splits if name in PARTS]
            parts = {}
            for name in splits or ("train", "test"):  # of mock data, none are known
                with tf.device("CPU:0"):
                    read = builder.as_dataset(split=name, shuffle_files=False)
                rows = [
                    (r[said.inputs], int(r[said.labels])) for r in tfds.as_numpy(read)
                ]
                parts[PARTS[name]] = _arrays(wanted, said, rows, image_size)
            texts = tuple(getattr(names, "names", None) or said.class_names)
            return _named(wanted, parts, texts, said.terms)
        except (tf.errors.OpError, OSError) as error:
            raise unreadable(wanted, builder.data_path, error) from None


def _arrays(
    wanted: Asked, said: Described, rows: Sequence, image_size: Any
) -> tuple[np.ndarray, np.ndarray]:
    labels = np.array([label for _, label in rows], np.int64)
    if not said.image:
        return np.stack([x for x, _ in rows]), labels
    from PIL import Image

    from dlgn_keras.data.pictures import cut_to_size

    sizes = {x.shape[:2] for x, _ in rows}
    height, width = common_size(sizes, image_size, f"tfds:{wanted}")
    shape = (height, width, rows[0][0].shape[-1])
    resized = [
        np.asarray(cut_to_size(Image.fromarray(x.squeeze()), width, height, []))
        if x.shape != shape
        else x
        for x, _ in rows
    ]
    return np.stack([x.reshape(shape) for x in resized]), labels
