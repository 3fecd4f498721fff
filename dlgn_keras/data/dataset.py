"""A classification data set: its arrays, their classes and preprocessing."""

from dataclasses import dataclass, field, replace
from numbers import Integral
from typing import Any, Protocol

import numpy as np

from dlgn_keras.data.checks import (
    MOST_CLASSES,
    check_arrays,
    check_numbers,
    check_same_scale,
)
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.data.stored import Rows, Stored, select
from dlgn_keras.tools.messages import check_choice


class Facts(Protocol):
    """What a model needs to know of data: a `Dataset`, or arrays still to come."""

    @property
    def name(self) -> str: ...

    @property
    def input_shape(self) -> tuple[int, ...]: ...

    @property
    def num_classes(self) -> int: ...

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def preprocessing(self) -> Preprocessing: ...

    @property
    def targets(self) -> str: ...


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Raw inputs and labels of a classification problem, checked.

    Args:
        name: short name, such as "mnist".
        x_train: (n, ...) raw training inputs; images (n, height, width, channels).
            An array, or `Stored` inputs that are read when they are used; a memory-
            mapped array becomes such.
        y_train: (n,) class numbers, 0 to `num_classes - 1`.
        x_test: test inputs, of the shape of the training inputs.
        y_test: test labels.
        num_classes: number of classes, 2 to a million.
        class_names: one name per class; default "0", "1", ...
        preprocessing: the map from raw to network inputs; default: none.
        terms: who made the data, licence or citation.
        x_validation: validation inputs, or None.
        y_validation: validation labels, or None.
        targets: "classes", or "numbers" for regression: labels are then (n,) or
            (n, outputs) numbers, `num_classes` is the number of outputs, and
            `class_names` are theirs.

    Raises:
        ValueError: arrays that do not fit together or hold bad values, see
            `check_arrays`; parts on different scales, or on another than that of
            `preprocessing`.

    Example:
        >>> from dlgn_keras import data
        >>> data.load("digits").with_validation(0.1).take(100)
        Dataset('digits', 100 train, 144 validation, 360 test, input (8, 8, 1), \
10 classes)
    """

    name: str
    x_train: Any
    y_train: np.ndarray
    x_test: Any
    y_test: np.ndarray
    num_classes: int
    class_names: tuple[str, ...] = ()
    preprocessing: Preprocessing = field(default_factory=Preprocessing)
    terms: str = ""
    x_validation: Any = None
    y_validation: np.ndarray | None = None
    targets: str = "classes"

    def __post_init__(self) -> None:
        check_choice("targets", self.targets, ("classes", "numbers"))
        least, check = 2, check_arrays
        if self.targets == "numbers":
            least, check = 1, check_numbers
        num, whole = self.num_classes, isinstance(self.num_classes, Integral)
        if not whole or not least <= num <= MOST_CLASSES:
            raise ValueError(
                f"`num_classes` must be at least {least} and at most {MOST_CLASSES}. "
                f"Received: num_classes={num!r}."
            )
        names = tuple(self.class_names) or tuple(map(str, range(self.num_classes)))
        if len(names) != self.num_classes:
            raise ValueError(
                f"`class_names` must hold {self.num_classes} names, one per class. "
                f"Received: {len(names)} names."
            )
        object.__setattr__(self, "class_names", names)
        if (self.x_validation is None) != (self.y_validation is None):
            raise ValueError(
                "`x_validation` and `y_validation` must be given together. "
                "Received: one of them."
            )
        for split in self.splits:
            x_name, y_name = f"x_{split}", f"y_{split}"
            if isinstance(getattr(self, x_name), np.memmap):
                mapped = getattr(self, x_name)
                stored = Stored(Rows(mapped), np.arange(len(mapped)))
                object.__setattr__(self, x_name, stored)
            x, y = check(
                getattr(self, x_name),
                getattr(self, y_name),
                self.num_classes,
                x_name=x_name,
                y_name=y_name,
            )
            if x.shape[1:] != self.input_shape:
                raise ValueError(
                    f"`{x_name}` must be shaped like x_train, (n, "
                    f"{', '.join(map(str, self.input_shape))}). "
                    f"Received: shape {x.shape}."
                )
            object.__setattr__(self, x_name, x)
            object.__setattr__(self, y_name, y)
            if isinstance(x, Stored) or isinstance(self.x_train, Stored):
                continue
            check_same_scale(self.x_train, x, "x_train", x_name)
            problem = self.preprocessing.scale_problem(x)
            if problem:
                raise ValueError(
                    f"`{x_name}` must be on the scale of `preprocessing`. "
                    f"Received: {problem}"
                )

    @property
    def splits(self) -> tuple[str, ...]:
        """Names of the parts there are, "validation" only if it was made."""
        has_validation = self.x_validation is not None
        return ("train", "validation", "test") if has_validation else ("train", "test")

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one raw input, without the batch axis."""
        x = self.x_train
        return tuple(x.shape if isinstance(x, Stored) else np.shape(x))[1:]

    @property
    def stored(self) -> bool:
        """Whether inputs are read from disk when they are used."""
        parts = (getattr(self, f"x_{split}") for split in self.splits)
        return any(isinstance(x, Stored) for x in parts)

    def with_validation(self, size: float = 0.1, *, seed: int = 0) -> "Dataset":
        """Return the data set with a validation part taken out of its training part.

        Stratified: every class gives its share. The test part is not touched.

        Args:
            size: share of the training examples, above 0 and below 1, or a whole
                number of examples.
            seed: seed of the random choice.
        """
        if self.x_validation is not None:
            raise ValueError(
                "`with_validation` needs a data set without a validation part. "
                f"Received: {self!r}."
            )
        n = len(self.y_train)
        if isinstance(size, Integral):
            num = 0 if isinstance(size, bool) else int(size)
        else:
            num = round(size * n) if 0 < size < 1 else 0
        if not 0 < num < n:
            raise ValueError(
                f"`size` must be a share between 0 and 1, or a number from 1 to "
                f"{n - 1} examples. Received: size={size!r}."
            )
        chosen = np.zeros(n, bool)
        chosen[stratified_indices(self._strata("train"), num, seed)] = True
        return replace(
            self,
            x_train=select(self.x_train, ~chosen),
            y_train=self.y_train[~chosen],
            x_validation=select(self.x_train, chosen),
            y_validation=self.y_train[chosen],
        )

    def take(
        self,
        num_train: int | None = None,
        num_test: int | None = None,
        num_validation: int | None = None,
    ) -> "Dataset":
        """Return a smaller data set: the first examples of each class, equally many.

        Args:
            num_train: training examples to keep; None keeps all.
            num_test: test examples to keep; None keeps all.
            num_validation: validation examples to keep; None keeps all.
        """
        wanted = {"train": num_train, "validation": num_validation, "test": num_test}
        parts: dict[str, Any] = {}
        for split, num in wanted.items():
            if num is None:
                continue
            n = len(getattr(self, f"y_{split}")) if split in self.splits else 0
            if isinstance(num, bool) or not isinstance(num, Integral):
                fits = False
            else:
                fits = 1 <= num <= n
            if not fits:
                raise ValueError(
                    f"`num_{split}` must be a whole number from 1 to the {n} examples "
                    f"there are. Received: num_{split}={num!r}."
                )
            index = balanced_indices(self._strata(split), int(num))
            for part in (f"x_{split}", f"y_{split}"):
                parts[part] = select(getattr(self, part), index)
        return replace(self, **parts)

    def binary(self, classes: tuple[int, int] = (4, 7)) -> "Dataset":
        """Return the two-class data set of `classes[0]` (label 0) against `classes[1]`.

        Args:
            classes: two different class numbers; (4, 7) on MNIST is the kernel
                alignment experiment.
        """
        if self.targets != "classes":
            raise ValueError(f"`binary` needs classes. Received: {self!r}.")
        known = range(self.num_classes)
        if len(set(classes)) != 2 or not all(c in known for c in classes):
            raise ValueError(
                f"`classes` must be two different numbers from 0 to "
                f"{self.num_classes - 1}. Received: classes={classes!r}."
            )
        first, second = classes
        parts: dict[str, Any] = {}
        for split in self.splits:
            x, y = getattr(self, f"x_{split}"), getattr(self, f"y_{split}")
            keep = (y == first) | (y == second)
            parts[f"x_{split}"] = select(x, keep)
            parts[f"y_{split}"] = (y[keep] == second).astype(np.int64)
        names = (self.class_names[first], self.class_names[second])
        return replace(
            self,
            name=f"{self.name}-{names[0]}-vs-{names[1]}",
            num_classes=2,
            class_names=names,
            **parts,
        )

    def _strata(self, split: str) -> np.ndarray:
        """Return the classes whose shares a choice keeps; numbers are all one."""
        y = getattr(self, f"y_{split}")
        return y if self.targets == "classes" else np.zeros(len(y), np.int64)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{len(getattr(self, f'y_{s}'))} {s}" for s in self.splits)
        what = "classes" if self.targets == "classes" else "outputs"
        return (
            f"Dataset({self.name!r}, {sizes}, input {self.input_shape}, "
            f"{self.num_classes} {what})"
        )


# -- choice of examples: the same on every machine ------------------------------


def class_ranks(labels: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return each example's place (0, 1, ...) among its class, counted along `order`.

    Args:
        labels: (n,) class numbers.
        order: (n,) a permutation of 0 to n - 1.
    """
    by_class = order[np.argsort(labels[order], kind="stable")]
    _, starts, counts = np.unique(
        labels[by_class], return_index=True, return_counts=True
    )
    ranks = np.empty(len(labels), np.int64)
    ranks[by_class] = np.arange(len(labels)) - np.repeat(starts, counts)
    return ranks


def balanced_indices(labels: np.ndarray, num: int) -> np.ndarray:
    """Return `num` indices, rising: the first ones of each class, equally many.

    Classes take turns, so counts differ by at most one. If a class runs out of
    examples, the other classes supply the rest.

    Args:
        labels: (n,) class numbers.
        num: number to choose, 1 to n.
    """
    ranks = class_ranks(labels, np.arange(len(labels)))
    return np.sort(np.lexsort((labels, ranks))[:num])


def stratified_indices(labels: np.ndarray, num: int, seed: int) -> np.ndarray:
    """Return `num` indices, rising, drawn at random with the class shares of `labels`.

    The r-th of the n_c examples of a class, in random order, gets the rank
    (r + 1/2) / n_c; the `num` lowest ranks are chosen. Each class contributes its
    share within one example, whatever the class sizes.

    Args:
        labels: (n,) class numbers.
        num: number to choose, 1 to n.
        seed: seed of the random order.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    _, classes, counts = np.unique(labels, return_inverse=True, return_counts=True)
    places = (class_ranks(labels, order) + 0.5) / counts[classes]
    # Classes of one size tie; the random order decides among them, not the label.
    return np.sort(order[np.argsort(places[order], kind="stable")[:num]])
