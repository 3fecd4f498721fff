"""Your own arrays and batches as a data set."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from dlgn_keras.data.checks import check_labels, count_classes
from dlgn_keras.data.dataset import Dataset, stratified_indices
from dlgn_keras.data.npz import statistics
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.stored import Stored, as_stored, select
from dlgn_keras.tools.memory import memory_bound

SPLITS = ("train", "validation", "test")
TEST_SHARE = 0.2


def given(
    data: Any,
    *,
    name: str = "given",
    class_names: Sequence[str] = (),
    preprocessing: Preprocessing | None = None,
    one_hot: bool = False,
    memory: float | None = None,
    terms: str = "",
    targets: str = "classes",
) -> Dataset:
    """Return a data set of your own arrays, tf.data, PyDataset or torch DataLoader.

    `dk.training.fit(recipe, dataset=...)` and the like take the same data without
    this call, with all options at their default.

    Args:
        data: (x, y), or an object that yields examples or batches (x, y); or a
            dictionary of these, {"train": ..., "test": ...}, "validation" too if you
            have it. Without a test part, a fifth of the examples is, stratified, seed
            0. Batches are read once, in the order they come in: random changes belong
            to the recipe's `augmentation`. A memory-mapped x stays on its disk.
        name: short name, for records.
        class_names: one name per class; default "0", "1", ...
        preprocessing: the map from raw to network inputs; default as for an .npz
            file: integers get mean 0 and deviation 1, floats pass.
        one_hot: whether labels are rows with a single 1, instead of class numbers.
        memory: most gigabytes that batches may take; None is a quarter of the free
            memory.
        terms: who made the data, licence or citation.
        targets: "classes", or "numbers" for regression, see `Dataset`.

    Raises:
        ValueError: data of another kind or without an end, labels or inputs that do
            not pass `check_arrays`, batches larger than `memory`.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras import data
        >>> x, y = np.eye(10, dtype="float32"), [0, 1] * 5
        >>> data.given((x, y), class_names=["even", "odd"])
        Dataset('given', 8 train, 2 test, input (10,), 2 classes)
    """
    if isinstance(data, Dataset):
        return data
    parts = data if isinstance(data, Mapping) else {"train": data}
    strange = sorted(set(parts) - set(SPLITS))
    if strange or "train" not in parts:
        raise ValueError(
            "`data` must have the parts train, test and validation. "
            f"Received: {', '.join(map(repr, parts)) or 'none'}."
        )
    bound = memory_bound(memory)
    read = {split: _examples(part, split, bound) for split, part in parts.items()}
    numbers = targets == "numbers"
    labels = {
        split: y if numbers else _numbers(y, f"y_{split}", one_hot)
        for split, (_, y) in read.items()
    }
    read = {split: (x, labels[split]) for split, (x, _) in read.items()}
    if "test" not in read:
        read |= _split(*read["train"], numbers)
    x = read["train"][0]
    if numbers:
        outputs = int(np.prod(read["train"][1].shape[1:]))
    else:
        counts = [count_classes(y, f"y_{split}") for split, (_, y) in read.items()]
        outputs = max(2, *counts)
    arrays = {f"x_{split}": x for split, (x, _) in read.items()}
    arrays |= {f"y_{split}": y for split, (_, y) in read.items()}
    few = x[:5000] if isinstance(x, Stored) else x
    return Dataset(
        name=name,
        num_classes=len(class_names) or outputs,
        class_names=tuple(class_names),
        preprocessing=statistics(few) if preprocessing is None else preprocessing,
        terms=terms,
        targets=targets,
        **arrays,
    )


def _split(x: Any, y: np.ndarray, numbers: bool) -> dict[str, tuple[Any, np.ndarray]]:
    """Return a train and a test part of some examples."""
    num = max(1, round(len(y) * TEST_SHARE))
    if num >= len(y):
        raise ValueError(
            f"`data` must have a test part, or more examples. Received: {len(y)}."
        )
    test = np.zeros(len(y), bool)
    strata = np.zeros(len(y), int) if numbers else y
    test[stratified_indices(strata, num, 0)] = True
    return {"train": (select(x, ~test), y[~test]), "test": (select(x, test), y[test])}


def _numbers(y: Any, name: str, one_hot: bool) -> np.ndarray:
    """Return class numbers of labels, which may be one-hot rows."""
    y = np.asarray(y)
    if one_hot:
        ones = np.count_nonzero(y == 1, axis=-1) if y.ndim == 2 else np.zeros(1)
        if not (ones == 1).all() or np.count_nonzero(y) != len(y):
            raise ValueError(
                f"`{name}` must be rows with a single 1, the rest 0 (one_hot=True). "
                f"Received: shape {y.shape}, dtype {y.dtype}."
            )
        y = y.argmax(axis=1)
    return check_labels(y, name=name)


def _examples(data: Any, split: str, bound: int) -> tuple[Any, np.ndarray]:
    """Return (inputs, labels) of a part."""
    if isinstance(data, tuple | list) and len(data) == 2:
        x, y = data
        if isinstance(x, np.memmap):
            x = as_stored(x)
        return (x if isinstance(x, Stored) else _array(x)), _array(y)
    inputs: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    size = 0
    for batch in _batches(data, split):
        if not isinstance(batch, tuple | list) or len(batch) < 2:
            raise ValueError(
                f"`data` must yield (inputs, labels). Received: {split} of "
                f"{type(data).__name__}, which yields {type(batch).__name__}."
            )
        if len(batch) > 2:
            raise ValueError(
                "`data` must yield (inputs, labels) without weights. Received: "
                f"{split} of {type(data).__name__}, which yields {len(batch)} parts."
            )
        inputs.append(_array(batch[0]))
        labels.append(_array(batch[1]))
        size += inputs[-1].nbytes
        if size > bound:
            raise ValueError(
                f"`data` must fit into memory ({bound:,} bytes): write its inputs to a "
                "file by numpy.save and give numpy.load(path, mmap_mode='r'), or give "
                f"more `memory`. Received: {split} of {type(data).__name__}."
            )
    if not inputs:
        raise ValueError(f"`data` must hold examples. Received: none in {split}.")
    single = labels[0].ndim == 0
    join = np.stack if single else np.concatenate
    return join(inputs), join(labels)


def _batches(data: Any, split: str) -> Iterable[Any]:
    """Return the batches of tf.data, a PyDataset or a torch DataLoader."""
    endless = False
    if hasattr(data, "as_numpy_iterator"):
        endless = int(data.cardinality()) == -1
        batches = data.as_numpy_iterator()
    elif hasattr(data, "num_batches"):  # a PyDataset
        endless = data.num_batches is None
        batches = (data[k] for k in range(0 if endless else data.num_batches))
    elif hasattr(data, "__iter__") and not isinstance(data, str | np.ndarray):
        batches = data
    else:
        raise ValueError(
            "`data` must be (x, y), tf.data, a PyDataset or a torch DataLoader. "
            f"Received: {split} of {type(data).__name__}."
        )
    if endless:
        raise ValueError(
            f"`data` must have an end. Received: {split} of {type(data).__name__}."
        )
    return batches


def _array(value: Any) -> np.ndarray:
    """Return an array of a list, or of a tensor of any framework."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
    return np.asarray(value)
