"""GatedHyperModel: turn KerasTuner's hyperparameters into a Recipe."""

import json
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import keras
import keras_tuner

from dlgn_keras.data import Dataset, Preprocessing, given
from dlgn_keras.data.dataset import Facts
from dlgn_keras.data.scores import targets_of
from dlgn_keras.skeletons import Skeleton
from dlgn_keras.training import Recipe, build_model, evaluate, fit, load_data
from dlgn_keras.training.devices import computing_in
from dlgn_keras.training.fitting import prepared_for
from dlgn_keras.training.ingredients import make_loss, make_optimizer, make_schedule
from dlgn_keras.tuning.arrays import (
    Described,
    Unknown,
    arguments_of_fit,
    check_given,
    hold_out,
    settle,
)
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
    """A family and a skeleton with open hyperparameters.

    It fills a Recipe: `dk.training` builds and trains what the recipe says, so
    a trial is an ordinary run and its recipe makes it again. `dk.tuning.search`
    takes it.

    So does any tuner of KerasTuner, called as usual: `tuner.search(x, y, epochs=...,
    validation_data=...)` trains by Keras' `fit`, to which all arguments go, on
    arrays or tf.data; epochs and batch size not given are the recipe's. Arrays go in
    as they are. Input shape and number of classes are those of the first arrays,
    unless given here. Without arrays a tuner trains by the recipes, on `data`.

    Args:
        family: dnn, dgn or dlgn.
        skeleton: architecture as a short text ("fc", "c4gap:width=32"), whose
            options the space may ask for, or a Skeleton, whose size is fixed.
        data: name of a data set, a Dataset, or whatever `dk.data.given` takes; default:
            the arrays that a tuner's `search` gets, digits where there are none.
        space: a named space (see `named_space`), a dictionary, a json file, or a
            function from `keras_tuner.HyperParameters` to a dictionary of values.
        validation: share or number of training examples held out for the
            objective, if there is no other validation part; stratified.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        input_shape: shape of the arrays to come, without the batch axis; it and
            `num_classes` replace `data`.
        num_classes: number of classes of the labels to come.
        preprocessing: preprocessing of the arrays to come; default: none.
        data_options: further arguments of `dk.data.load`: memory, skip_unreadable.
        fields: further fields of the Recipe that stay as they are, such as
            `epochs=20` or `seed=1`; without a seed, models that a tuner builds draw
            new weights each.

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
        >>> x, y = [[0.0], [0.1], [0.8], [0.9]] * 5, [0, 0, 1, 1] * 5
        >>> tuner = keras_tuner.RandomSearch(
        ...     model, objective="val_loss", max_trials=1, directory="kt")
        >>> tuner.search(x, y, epochs=1, validation_split=0.2, verbose=0)
        >>> tuner.get_best_models()[0].input_shape
        (None, 1)
    """

    def __init__(
        self,
        family: str = "dlgn",
        skeleton: str | Skeleton = "fc",
        data: Any = None,
        space: str | Path | Space | SpaceFunction = "default",
        validation: float = 0.2,
        data_dir: str | None = None,
        *,
        input_shape: tuple[int, ...] | None = None,
        num_classes: int | None = None,
        preprocessing: Preprocessing | None = None,
        data_options: dict[str, Any] | None = None,
        **fields: Any,
    ) -> None:
        super().__init__(name=f"{family}_hypermodel")
        described = _described(data, input_shape, num_classes, preprocessing)
        if data is None:
            name = described.name if described else "digits"
        else:
            kind = targets_of(fields.get("loss", "crossentropy"))
            data = data if isinstance(data, str) else given(data, targets=kind)
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
        self._seeded = "seed" in fields
        self._described = described
        self._options = {"data_dir": data_dir, **(data_options or {})}
        self._dataset: Dataset | None = None
        if data is not None:
            self._dataset = _with_validation(data, self.base, self._options)
        # What models are built for: told here, or learnt from the first arrays.
        self._known: Facts | None = self._dataset or described
        self._optimizer: keras.optimizers.Optimizer | None = None
        self.space, self._ask = self._read(space)

    @property
    def dataset(self) -> Dataset:
        """The data of searches by recipes."""
        if self._described is not None:
            raise ValueError(
                "`data` must be given for a search by recipes; `input_shape` describes "
                "arrays that a tuner of KerasTuner gets. Received: data=None."
            )
        if self._dataset is None:
            self._dataset = _with_validation("digits", self.base, self._options)
        return self._dataset

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
            # Augmentation is asked of known images alone.
            known = self._known
            shape = known.input_shape if isinstance(known, Dataset) else ()
            family, skeleton = self.base.family, self.architecture or ""
            space = named_space(space, family, skeleton, shape)
        checked = check_space(space, self.architecture)
        # One space can serve all families.
        checked = {k: v for k, v in checked.items() if is_open(k, self.base.family)}
        return checked, lambda hp: ask(hp, checked)

    def recipe(
        self, hp: keras_tuner.HyperParameters, examples: int | None = None
    ) -> Recipe:
        """Return the recipe of a trial's values.

        Args:
            hp: the values.
            examples: number of training examples; default: those of the data.
        """
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
            examples = examples or len(self.dataset.y_train)
            changes["batch_size"] = -(-examples // batches)
        return self.base.replace(**changes)

    def declare_hyperparameters(self, hp: keras_tuner.HyperParameters) -> None:
        """Declare the space to KerasTuner without building a model."""
        self._ask(hp)

    def build(self, hp: keras_tuner.HyperParameters) -> keras.Model:
        """Return the compiled model of a trial, for a tuner of KerasTuner.

        Before the first arrays, if nothing tells of them, it is one that stands for it.
        """
        if self._known is None:
            self._ask(hp)
            return Unknown()
        return self._compiled(hp)

    def _compiled(
        self, hp: keras_tuner.HyperParameters, asked: dict[str, Any] | None = None
    ) -> keras.Model:
        """Return a model for known arrays; `asked` holds a tuner's overrides."""
        recipe = self.recipe(hp, examples=1)
        if not self._seeded:
            recipe = recipe.replace(seed=random.randrange(2**31))
        with computing_in(recipe.precision):
            net = build_model(recipe, cast(Facts, self._known))
        self._optimizer = make_optimizer(recipe, steps=1)  # `fit` knows the steps
        options = {
            "optimizer": self._optimizer,
            "loss": make_loss(recipe, net.num_classes),
            "metrics": [_metric(recipe)],
        }
        net.compile(**{**options, **(asked or {})})
        net.optimizer.build(net.trainable_variables)  # Hyperband loads its state too
        return net

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: keras.Model,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Train a trial, for a tuner of KerasTuner.

        With x (and y), by Keras' `fit`, to which all arguments go; returns its
        History. Without, by the recipe on the hypermodel's data: training starts from
        the recipe's seed, not from `model`, which receives the trained weights;
        callbacks see the last epoch; returns its val_accuracy, val_loss and loss.

        Raises:
            keras_tuner.errors.FatalValueError: arguments or arrays that do not fit.
        """
        try:
            given = arguments_of_fit(args, kwargs)
            if given.get("x") is None:
                return self._fit_by_recipe(hp, model, given)
            self._known = check_given(given, self._known)
            hold_out(given, self.base.validation)
            examples = 1 if given.get("y") is None else len(given["y"])
            recipe = self.recipe(hp, examples)
            # Hyperband tells the epochs itself, through the hyperparameters.
            steps = settle(given, hp.values, recipe)
            if isinstance(model, Unknown):
                model = self._compiled(hp, model.asked)
        except ValueError as error:
            raise keras_tuner.errors.FatalValueError(str(error)) from None
        # Keras wraps the optimizer where float16 needs its loss scaled.
        optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        if optimizer is self._optimizer:  # and not one that the tuner overrides
            steps += int(keras.ops.convert_to_numpy(optimizer.iterations))
            optimizer.learning_rate = make_schedule(recipe, steps)
        return model.fit(**given)

    def _fit_by_recipe(
        self, hp: keras_tuner.HyperParameters, model: keras.Model, given: dict[str, Any]
    ) -> dict[str, float]:
        taken = ("epochs", "callbacks", "verbose", "initial_epoch")
        for name in given:
            if name not in taken:
                raise ValueError(
                    f"`{name}` goes with x: without it a search trains by recipes, "
                    f"which takes epochs and callbacks. Received: {name} and no x."
                )
        if isinstance(model, Unknown):
            self._known = self.dataset
            model = self._compiled(hp, model.asked)
        recipe = self.recipe(hp)
        recipe = recipe.replace(epochs=given.get("epochs") or recipe.epochs)
        blind = self.blind()
        result = fit(recipe, dataset=blind, progress=False)
        logs = {
            "val_accuracy": result.test_accuracy,
            "loss": result.history[-1]["loss"],
        }
        if result.model is not None:
            model.set_weights(result.model.get_weights())
            measured = evaluate(result.model, blind.x_test, blind.y_test)
            logs["val_loss"] = measured["loss"]
        callbacks = list(given.get("callbacks") or ())
        seen = keras.callbacks.CallbackList(callbacks, model=model)
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
        """Return the json-able facts that comparable scores must share."""
        hp = keras_tuner.HyperParameters()
        recipe = self.recipe(hp).to_config()
        held = {name: value for name, value in recipe.items() if name not in hp.values}
        held["skeleton"] = self.text if isinstance(self.text, str) else held["skeleton"]
        space = [
            {"kind": type(entry).__name__, **entry.get_config()} for entry in hp.space
        ]
        return json.loads(json.dumps({"recipe": held, "space": space}, default=str))


def _described(
    data: Any, input_shape: Any, num_classes: Any, preprocessing: Any
) -> Described | None:
    """Return what is told of arrays to come, None if nothing is."""
    given = (input_shape, num_classes)
    if given == (None, None) and preprocessing is None:
        return None
    if data is not None or None in given:
        raise ValueError(
            "`input_shape` and `num_classes` must be given together, and in place of "
            f"`data`. Received: input_shape={input_shape!r}, "
            f"num_classes={num_classes!r}, data={data!r}."
        )
    return Described(tuple(input_shape), num_classes, preprocessing or Preprocessing())


def _with_validation(data: Any, base: Recipe, options: dict[str, Any]) -> Dataset:
    if isinstance(data, str):
        dataset = load_data(base, **options)
    else:
        dataset = prepared_for(base, data)
    if dataset.x_validation is None:
        raise ValueError(
            "`validation` must hold some training examples out for the objective: "
            f"{dataset.name} has no validation part of its own. "
            f"Received: validation={base.validation!r}."
        )
    return dataset


def _metric(recipe: Recipe) -> Any:
    """Return the metric of a recipe's loss for Keras' own `fit`."""
    if recipe.loss == "binary":
        return keras.metrics.BinaryAccuracy("accuracy", threshold=0.0)
    return "accuracy" if recipe.loss == "crossentropy" else "r2_score"


def _resized(text: str, sizes: dict[str, Any]) -> str:
    """Return the skeleton's text with some options set; the last one counts."""
    options = ",".join(f"{name}={value}" for name, value in sizes.items())
    name, _, given = text.partition(":")
    if name.startswith("resnet") and name[6:].isdigit():  # resnet20: a depth
        given = ",".join(filter(None, [f"depth={name[6:]}", given]))
        name = "resnet"
    return f"{name}:{given},{options}" if given else f"{name}:{options}"
