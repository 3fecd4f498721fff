"""GatedHyperModel: from KerasTuner's hyperparameters to a Recipe, and no further."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras
import keras_tuner

from dlgn_keras.data import Dataset
from dlgn_keras.skeletons import Skeleton
from dlgn_keras.training import Recipe, build_model, fit, load_data
from dlgn_keras.training.ingredients import make_loss, make_optimizer
from dlgn_keras.tuning.spaces import (
    Space,
    architecture_of,
    ask,
    check_names,
    check_space,
    is_open,
    named_space,
    read_space,
    size_options,
    tidy,
)

SpaceFunction = Callable[[keras_tuner.HyperParameters], dict[str, Any]]


class GatedHyperModel(keras_tuner.HyperModel):
    """A family and a skeleton whose hyperparameters are open.

    It fills a Recipe: `dk.training` builds and trains what the recipe says, so
    a trial is an ordinary run and its recipe makes it again. `dk.tuning.search`
    takes it; so does any tuner of KerasTuner.

    Args:
        family: dnn, dgn or dlgn.
        skeleton: architecture as a short text ("fc", "c4gap:width=32"), whose
            options the space may ask for, or a Skeleton, whose size is fixed.
        data: name of a data set, or a Dataset.
        space: a named space (see `named_space`), a dictionary, a json file, or a
            function from `keras_tuner.HyperParameters` to a dictionary of values.
        validation: share or number of training examples held out for the
            objective, if the data has no validation part of its own.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        fields: further fields of the Recipe that stay as they are, such as
            `epochs=20` or `seed=1`.

    Raises:
        ValueError: no validation data; a space that cannot be asked.

    Example:
        >>> from dlgn_keras import tuning
        >>> import keras_tuner
        >>> model = tuning.GatedHyperModel(
        ...     "dlgn", "fc:depth=2", space={"width": [8, 16], "beta": [3, 30]})
        >>> hp = keras_tuner.HyperParameters()
        >>> model.recipe(hp).beta, sorted(hp.values)
        (3, ['beta', 'width'])
    """

    def __init__(
        self,
        family: str = "dlgn",
        skeleton: str | Skeleton = "fc",
        data: str | Dataset = "digits",
        space: str | Path | Space | SpaceFunction = "default",
        validation: float = 0.2,
        data_dir: str | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name=f"{family}_hypermodel")
        name = data.name if isinstance(data, Dataset) else data
        self.base = Recipe(
            family=family,
            skeleton=skeleton,  # pyright: ignore[reportArgumentType]
            data=name,
            validation=validation,
            **fields,
        )
        self.text = skeleton
        self.architecture = architecture_of(skeleton)
        self.dataset = _with_validation(data, self.base, data_dir)
        self.space, self._ask = self._read(space)

    def _read(self, space: Any) -> tuple[Space | None, SpaceFunction]:
        """Return the space as data (None for a function) and as a function."""
        if not isinstance(space, str | Path | dict):
            if not callable(space):
                raise ValueError(
                    "`space` must be a name, a dictionary, a json file or a function. "
                    f"Received: space={space!r}."
                )
            return None, cast(SpaceFunction, space)
        if isinstance(space, str | Path) and str(space).endswith(".json"):
            space = read_space(space)
        elif isinstance(space, str):
            shape = self.dataset.input_shape
            family, skeleton = self.base.family, self.architecture or ""
            space = named_space(space, family, skeleton, shape)
        checked = check_space(space, self.architecture)
        # One space can serve all families.
        checked = {k: v for k, v in checked.items() if is_open(k, self.base.family)}
        return checked, lambda hp: ask(hp, checked)

    def recipe(self, hp: keras_tuner.HyperParameters) -> Recipe:
        """Return the recipe that a trial's values make."""
        values = self._ask(hp)
        if not isinstance(values, dict):
            raise ValueError(
                "The function `space` must return a dictionary of recipe fields. "
                f"Received: {values!r}."
            )
        if self.space is None:
            check_names(values, self.architecture)
        changes = {name: tidy(value) for name, value in values.items()}
        sizes = {
            name: changes.pop(name)
            for name in size_options(self.architecture)
            if name in changes
        }
        if sizes:
            changes["skeleton"] = _resized(str(self.text), sizes)
        if "batches_per_epoch" in changes:
            batches = changes.pop("batches_per_epoch")
            changes["batch_size"] = -(-len(self.dataset.y_train) // batches)
        return self.base.replace(**changes)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Tell KerasTuner the space without building anything."""
        self._ask(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of a trial, for a tuner of KerasTuner."""
        recipe = self.recipe(hp)
        net = build_model(recipe, self.dataset)
        steps = recipe.epochs * -(-len(self.dataset.y_train) // recipe.batch_size)
        net.compile(
            make_optimizer(recipe, steps),
            make_loss(recipe, self.dataset.num_classes),
            weighted_metrics=["accuracy"],
        )
        return net

    def fit(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        epochs: int | None = None,
        callbacks: list | tuple = (),
        **ignored: Any,
    ) -> dict[str, float]:
        """Train a trial by its recipe, for a tuner of KerasTuner.

        Training starts from the recipe's seed, not from `model`, which receives
        the trained weights; callbacks see the last epoch. Returns
        `{"val_accuracy": ...}` after the last epoch.
        """
        recipe = self.recipe(hp)
        recipe = recipe.replace(epochs=epochs) if epochs else recipe
        result = fit(recipe, dataset=self.blind(), progress=False)
        if result.model is not None:
            model.set_weights(result.model.get_weights())
        loss = result.history[-1]["loss"]
        logs = {"val_accuracy": result.test_accuracy, "loss": loss}
        seen = keras.callbacks.CallbackList(list(callbacks), model=model)
        seen.on_epoch_end(recipe.epochs - 1, logs)
        return logs

    def blind(self) -> Dataset:
        """Return the data with its validation part in place of its test part."""
        return replace(
            self.dataset,
            x_test=self.dataset.x_validation,
            y_test=self.dataset.y_validation,
            x_validation=None,
            y_validation=None,
        )

    def facts(self) -> dict[str, Any]:
        """Return the json-able facts that decide what a score means."""
        hp = keras_tuner.HyperParameters()
        recipe = self.recipe(hp).to_config()
        held = {name: value for name, value in recipe.items() if name not in hp.values}
        held["skeleton"] = self.text if isinstance(self.text, str) else held["skeleton"]
        space = [
            {"kind": type(entry).__name__, **entry.get_config()} for entry in hp.space
        ]
        return json.loads(json.dumps({"recipe": held, "space": space}, default=str))


def _with_validation(
    data: str | Dataset, base: Recipe, data_dir: str | None
) -> Dataset:
    if isinstance(data, Dataset):
        dataset = data
        if base.num_train or base.num_test:
            dataset = dataset.take(base.num_train, base.num_test)
        if base.validation and dataset.x_validation is None:
            size = base.validation
            dataset = dataset.with_validation(int(size) if size >= 1 else size)
    else:
        dataset = load_data(base, data_dir)
    if dataset.x_validation is None:
        raise ValueError(
            "`validation` must hold some training examples out for the objective: "
            f"{dataset.name} has no validation part of its own. "
            f"Received: validation={base.validation!r}."
        )
    return dataset


def _resized(text: str, sizes: dict[str, Any]) -> str:
    """Return the skeleton's text with some options set; the last one counts."""
    options = ",".join(f"{name}={value}" for name, value in sizes.items())
    name, _, given = text.partition(":")
    if name.startswith("resnet") and name[6:].isdigit():  # resnet20: a depth
        given = ",".join(filter(None, [f"depth={name[6:]}", given]))
        name = "resnet"
    return f"{name}:{given},{options}" if given else f"{name}:{options}"
