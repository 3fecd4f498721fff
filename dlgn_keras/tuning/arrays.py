"""KerasTuner's usual calls: `tuner.search(x, y, ...)` trains by Keras' own `fit`."""

import inspect
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import keras_tuner
import numpy as np

from dlgn_keras.data import Preprocessing, check_arrays
from dlgn_keras.data.checks import check_same_scale, count_classes
from dlgn_keras.data.dataset import Facts, stratified_indices

Options = dict[str, Any]
# What both the space and a call may say, and what to call it then.
CALLED = {
    "epochs": "epochs",
    "batch_size": "batch_size",
    "batches_per_epoch": "batch_size",
}
# Fields that Keras' own fit knows nothing of, and their usual values.
NOT_OF_KERAS = {"augmentation": "none", "num_train": None, "num_test": None}


class Described(NamedTuple):
    """Properties of the training arrays that a model needs."""

    input_shape: tuple[int, ...]
    num_classes: int
    preprocessing: Preprocessing = Preprocessing()
    name: str = "arrays"
    targets: str = "classes"

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(map(str, range(self.num_classes)))


class Unknown(keras.Model):
    """Placeholder for a model until the first arrays arrive.

    KerasTuner builds a model before it passes the training arrays.
    """

    optimizer = loss = None
    metrics = ()  # pyright: ignore[reportAssignmentType]

    def __init__(self) -> None:
        super().__init__()
        self.asked: Options = {}

    def compile(self, **asked: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Store the arguments that a tuner overrides; None is ignored."""
        self.asked = {name: value for name, value in asked.items() if value}

    def load_weights(self, *args: Any, **kwargs: Any) -> Any:
        raise keras_tuner.errors.FatalValueError(
            "`GatedHyperModel` must know its data to make a trained model again: give "
            "`data`, or `input_shape` and `num_classes`. Received: neither."
        )

    build_from_config = load_weights  # pyright: ignore[reportAssignmentType]


def arguments_of_fit(args: tuple, kwargs: Options) -> Options:
    """Return a tuner's arguments, by their names in Keras' `fit`."""
    signature = inspect.signature(keras.Model.fit)
    try:
        given = dict(signature.bind(None, *args, **kwargs).arguments)
    except TypeError as error:
        raise ValueError(f"`search` takes what Keras' `fit` takes: {error}.") from None
    del given["self"]
    return given


def check_given(given: Options, known: Facts | None) -> Facts:
    """Check arrays before training; return their description.

    Arrays in `given` become NumPy's; tf.data and the like pass as they are.

    Args:
        given: arguments of Keras' `fit`.
        known: facts given to the hypermodel, or taken from the first arrays.

    Raises:
        ValueError: arrays that do not fit, among them or to what is known.
    """
    if given.get("y") is None:
        if known is None:
            raise ValueError(
                "`GatedHyperModel` needs `input_shape` and `num_classes` where search "
                f"gets no arrays x and y. Received: x of {type(given['x']).__name__}."
            )
        return known
    num = None if known is None else known.num_classes
    x, y = given["x"], given["y"] = check_arrays(given["x"], given["y"], num)
    shape = x.shape[1:] if known is None else tuple(known.input_shape)
    labels = y
    _check_shape(x, shape, "x")
    if isinstance(given.get("validation_data"), list | tuple):
        x_val, y_val, *weights = given["validation_data"]
        names = {"x_name": "x_val", "y_name": "y_val"}
        x_val, y_val = check_arrays(x_val, y_val, num, **names)
        _check_shape(x_val, shape, "x_val")
        check_same_scale(x, x_val, "x", "x_val")
        given["validation_data"] = (x_val, y_val, *weights)
        labels = np.concatenate([y, y_val])
    return known or Described(shape, count_classes(labels))


def _check_shape(x: np.ndarray, shape: tuple[int, ...], name: str) -> None:
    if x.shape[1:] != shape:
        raise ValueError(
            f"`{name}` must be of shape (n, {', '.join(map(str, shape))}). "
            f"Received: shape {x.shape}."
        )


def hold_out(given: Options, size: float) -> None:
    """Move a stratified share of the arrays to `validation_data`, if none is there."""
    asked = given.get("validation_data") is not None or given.get("validation_split")
    if asked or not size or given.get("y") is None:
        return
    n = len(given["y"])
    num = int(size) if size >= 1 else round(size * n)
    if not 0 < num < n:
        raise ValueError(
            f"`validation` must leave some of the {n} examples to train on and hold "
            f"some out. Received: validation={size!r}."
        )
    chosen = np.zeros(n, bool)
    chosen[stratified_indices(given["y"], num, 0)] = True
    names = [k for k in ("x", "y", "sample_weight") if given.get(k) is not None]
    arrays = {name: np.asarray(given[name]) for name in names}
    given["validation_data"] = tuple(array[chosen] for array in arrays.values())
    given |= {name: array[~chosen] for name, array in arrays.items()}


def settle(given: Options, values: Options, recipe: Any) -> int:
    """Default epochs and batch size to the recipe's; return the number of steps.

    Raises:
        ValueError: what a call says though the space asks for it, or what Keras' own
            `fit` does not do.
    """
    for asked, called in CALLED.items():
        if asked in values and given.get(called) is not None:
            raise ValueError(
                f"`{called}` must be given to search or asked for by the space, not "
                f"both. Received: {called}={given[called]!r}, {asked!r} in the space."
            )
    for name, usual in NOT_OF_KERAS.items():
        if getattr(recipe, name) != usual:
            raise ValueError(
                f"`{name}` belongs to searches by recipes: Keras' fit takes arrays as "
                f"they are. Received: {name}={getattr(recipe, name)!r}."
            )
    given["epochs"] = given.get("epochs") or recipe.epochs
    if given.get("y") is not None:
        given["batch_size"] = given.get("batch_size") or recipe.batch_size
        # Keras trains on the first ones and holds the last ones out.
        n = int(len(given["y"]) * (1 - (given.get("validation_split") or 0)))
        steps = -(-n // given["batch_size"])
    else:
        steps = _batches(given["x"])
    steps = given.get("steps_per_epoch") or steps
    if not steps:
        raise ValueError(
            "`steps_per_epoch` must be given with data of unknown length. "
            f"Received: x of {type(given['x']).__name__}."
        )
    return steps * (given["epochs"] - (given.get("initial_epoch") or 0))


def _batches(x: Any) -> int | None:
    """Return the number of batches of tf.data, a PyDataset or a DataLoader."""
    count: Callable[[], int] | None = getattr(x, "__len__", None)
    try:
        return getattr(x, "num_batches", None) or (count and count())
    except TypeError:  # tf.data without an end
        return None
