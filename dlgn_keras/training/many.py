"""fit_many: several recipes of one shape trained side by side, in one program."""

import time
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.training.batches import Share
from dlgn_keras.training.callbacks import Epochs
from dlgn_keras.training.devices import dtype_policy
from dlgn_keras.training.fitting import Run, fit, load_data
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.result import Result
from dlgn_keras.training.step import fixed_variables

# The state that Keras' `train_step` takes on JAX: trainable, non-trainable, optimizer
# and metrics variables.
State = tuple[list, list, list, list]


def fit_many(
    recipes: Sequence[Recipe],
    *,
    dataset: Dataset | None = None,
    data_dir: str | None = None,
) -> list[Result]:
    """Train recipes that differ only in `seed` or `learning_rate`; return the Results.

    On JAX, one compiled program trains all of them on stacked weights (`jax.vmap` of
    the training step of `fit`), and the device holds the data once. On other backends
    they are trained one after the other. Each result equals the result of `fit`
    within float error. Nothing is written to disk.

    Args:
        recipes: the recipes. Learning rates may differ only with a constant schedule,
            where the optimizer stores the rate as a variable.
        dataset: data to use in place of the recipes' own, already split.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.

    Returns:
        A Result per recipe; its seconds are an equal share of the total time.

    Raises:
        ValueError: no recipes, or recipes that differ in something else.
        FloatingPointError: a loss or logits became NaN or infinite.

    Example:
        >>> from dlgn_keras.training import Recipe, fit_many
        >>> recipe = Recipe(skeleton="fc:depth=1,width=8", epochs=1, num_train=200)
        >>> results = fit_many([recipe.replace(seed=seed) for seed in range(3)])
        >>> [result.recipe["seed"] for result in results]
        [0, 1, 2]
    """
    check_alike(recipes)
    first = recipes[0]
    dataset = load_data(first, data_dir) if dataset is None else dataset
    plain = dtype_policy(first.precision) == "float32" and not first.ema
    alone = len(recipes) == 1 or dataset.stored
    if keras.backend.backend() != "jax" or alone or not plain:
        return [fit(recipe, dataset=dataset, progress=False) for recipe in recipes]
    return _Together(recipes, dataset).train()


def check_alike(recipes: Sequence[Recipe]) -> None:
    """Raise a ValueError unless one program can train all the recipes."""
    if not recipes:
        raise ValueError("`recipes` must hold one at least. Received: none.")
    first = recipes[0].to_config()
    free = ("seed", "learning_rate") if first["schedule"] == "constant" else ("seed",)
    for recipe in recipes:
        for name, value in recipe.to_config().items():
            if name not in free and value != first[name]:
                raise ValueError(
                    f"`recipes` must differ in {' and '.join(free)} alone. Received: "
                    f"{name}={first[name]!r} and {name}={value!r}."
                )


class _Together:
    """The runs of several recipes; the first one's trainer steps and evaluates."""

    def __init__(self, recipes: Sequence[Recipe], dataset: Dataset) -> None:
        batch_size = min(recipes[0].batch_size, len(dataset.y_train))
        self.runs: list[Run] = []
        self.weights: list[list] = []
        states = []
        for recipe in recipes:
            run = Run(recipe, dataset, batch_size, Share())
            if not self.runs:
                _make_metrics(run)
            states.append(_state(run.trainer))
            self.weights.append(_weights(run.trainer))
            if self.runs:  # one copy of the data is enough
                run.trainer = self.runs[0].trainer
            self.runs.append(run)
        self.trainer = self.runs[0].trainer
        self.state = self._stack(states)

    def train(self) -> list[Result]:
        recipe = self.runs[0].recipe
        step = self._program()
        watchers = [
            Epochs(r.chunks, r.parts, r.history, None, {}, r.recipe.score)
            for r in self.runs
        ]
        for watcher in watchers:
            watcher.set_model(self.trainer)
        for number in range(recipe.epochs // recipe.evaluate_every):
            started = time.perf_counter()
            for watcher in watchers:
                watcher.on_epoch_begin(number)
            self._begin_round()
            for k in range(len(self.runs[0].chunks)):
                parts = zip(*(run.chunks[k] for run in self.runs), strict=True)
                _, self.state = step(self.state, tuple(np.stack(p) for p in parts))
            trained = time.perf_counter() - started
            for k, watcher in enumerate(watchers):
                self._load(k)
                watcher.on_epoch_end(number, self.trainer.get_metrics_result())
            whole = time.perf_counter() - started
            for run in self.runs:
                run.history[-1]["seconds"] = round(trained / len(self.runs), 4)
                run.history[-1]["total_seconds"] = round(whole / len(self.runs), 4)
        stacked = self._stacked()
        for k, variables in enumerate(self.weights):
            for variable, values in zip(variables, stacked, strict=True):
                variable.assign(values[k])
        return [run.result(Share()) for run in self.runs]

    def _program(self) -> Any:
        import jax

        axes = self._axes()
        together = jax.vmap(
            self.trainer.train_step, in_axes=(axes, 0), out_axes=(0, axes)
        )
        return jax.jit(together)

    def _axes(self) -> tuple:
        """Return, for each variable of a state, its stacked axis; none for the data."""
        fixed = {id(variable) for variable in fixed_variables(self.trainer)}
        return tuple(
            [None if id(variable) in fixed else 0 for variable in group]
            for group in _variables(self.trainer)
        )

    def _stack(self, states: list[State]) -> State:
        stacked: Any = []
        for group, axes in enumerate(self._axes()[:3]):
            columns = zip(*(state[group] for state in states), strict=True)
            stacked.append(
                [
                    column[0] if axis is None else keras.ops.stack(column)
                    for column, axis in zip(columns, axes, strict=True)
                ]
            )
        return (*stacked, [])

    def _begin_round(self) -> None:
        """Reset the metrics, and take the data from its variable after evaluation."""
        self.trainer.reset_metrics()
        _, other, _, metrics = _variables(self.trainer)
        data = [
            variable.value if axis is None else value
            for variable, value, axis in zip(
                other, self.state[1], self._axes()[1], strict=True
            )
        ]
        fresh = [keras.ops.stack([v.value] * len(self.runs)) for v in metrics]
        self.state = (self.state[0], data, self.state[2], fresh)

    def _load(self, k: int) -> None:
        """Put the state of one run into the trainer, to be evaluated."""
        for group, values, axes in zip(
            _variables(self.trainer), self.state, self._axes(), strict=True
        ):
            for variable, value, axis in zip(group, values, axes, strict=True):
                if axis is not None:
                    variable.assign(value[k])

    def _stacked(self) -> list:
        """Return the stacked values of what `_weights` lists."""
        axes = self._axes()
        return [
            value
            for values, group in zip(self.state[:2], axes[:2], strict=True)
            for value, axis in zip(values, group, strict=True)
            if axis is not None
        ]


def _make_metrics(run: Run) -> None:
    """Let Keras make the metrics' variables, which it does at the first batch."""
    part = next(iter(run.parts.values()))
    size = slice(part.batch_size)
    run.trainer.test_on_batch(part.indices[size], part.labels[size], part.weights[size])


def _variables(trainer: keras.Model) -> tuple[list, list, list, list]:
    return (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        list(trainer.optimizer.variables),
        trainer.metrics_variables,
    )


def _state(trainer: keras.Model) -> State:
    """Return the values a trainer starts with, the resident data among them."""
    trainable, other, optimizer, _ = _variables(trainer)
    return (
        [v.value for v in trainable],
        [v.value for v in other],
        [v.value for v in optimizer],
        [],
    )


def _weights(trainer: keras.Model) -> list:
    """Return the variables of a trainer's net, without those that never change."""
    fixed = {id(variable) for variable in fixed_variables(trainer)}
    trainable, other, _, _ = _variables(trainer)
    return [*trainable, *(v for v in other if id(v) not in fixed)]
