"""KeptModel: a Keras model that keeps its weights after an error or Ctrl-C.

On JAX, Keras' trainer takes the values out of the variables while it runs, donates
them to the compiled step (which reuses their memory), and puts them back only when it
ends normally. An error or Ctrl-C before that loses a trained model.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras

GROUPS = tuple(
    f"{kind}_variables"
    for kind in ("trainable", "non_trainable", "optimizer", "metrics")
)


@keras.saving.register_keras_serializable(package="dlgn_keras")
class KeptModel(keras.Model):
    """A Keras model that restores its variables after an error inside its trainer.

    They get their values after the last finished step. During a step, JAX holds two
    copies of the values that the step changes.

    Example:
        >>> import keras, numpy as np
        >>> from dlgn_keras.models.kept import KeptModel
        >>> x = keras.Input((3,))
        >>> net = KeptModel(x, keras.layers.Dense(2)(x))
        >>> net.predict(np.ones((0, 3)))
        Traceback (most recent call last):
        ...
        ValueError: `x` must hold an example at least. Received: x of shape (0, 3).
    """

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.fit` does; the weights outlive an error."""
        with self._kept(x):
            return super().fit(x, *args, **kwargs)

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.evaluate` does; the weights outlive an error."""
        with self._kept(x):
            return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.predict` does; the weights outlive an error."""
        with self._kept(x):
            return super().predict(x, *args, **kwargs)

    def train_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.train_on_batch` does; the weights outlive an error."""
        with self._kept(x):
            return super().train_on_batch(x, *args, **kwargs)

    def test_on_batch(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Do what `keras.Model.test_on_batch` does; the weights outlive an error."""
        with self._kept(x):
            return super().test_on_batch(x, *args, **kwargs)

    def predict_on_batch(self, x: Any) -> Any:
        """Do what `keras.Model.predict_on_batch` does; the weights outlive an error."""
        with self._kept(x):
            return super().predict_on_batch(x)

    @contextmanager
    def _kept(self, x: Any) -> Iterator[None]:
        """Refuse no rows; put the last known state back after an error."""
        check_rows(x)
        self._put_back()  # also for a callback that calls the model it trains
        try:
            yield
        except UnboundLocalError as error:  # Keras', of a generator that yields none
            if "batch_outputs" not in str(error):
                raise
            raise ValueError(
                f"`x` must hold an example at least. Received: none in {x!r}."
            ) from None
        finally:
            self._put_back()

    def _put_back(self) -> None:
        """Restore the values that the trainer took; do nothing after a normal end."""
        if keras.backend.backend() == "jax":
            self.jax_state_sync()
            self._jax_state = None

    if keras.backend.backend() == "jax":

        def _get_jax_state(
            self, purge_model_variables: bool = False, **groups: bool
        ) -> tuple:
            """Return the state for a step; note it before the variables lose it."""
            state = super()._get_jax_state(**groups)
            names = [name for name in GROUPS if groups.get(name)]
            self._jax_state = dict(zip(names, state, strict=True))
            self._jax_state_synced = False
            if purge_model_variables:
                self._purge_model_variables(**groups)
            return state

        def _make_function(self, step_function: Any, **options: Any) -> Callable:
            """Make Keras' loop of a step that keeps the state it is given."""
            compiled = hasattr(step_function, "lower")
            # Over many devices Keras says where the new state lies: its own step.
            if compiled and keras.distribution.distribution() is None:
                step_function = keeping(step_function.__wrapped__)
            return super()._make_function(step_function, **options)


@keras.saving.register_keras_serializable(package="dlgn_keras")
class Functional(KeptModel):
    """A network inside a model, or a view of one.

    Keras files the weights of a nested model under the name of its class: this is the
    name that its own functional models have, in every weight file there is.
    """


def keeping(step: Callable) -> Callable:
    """Return `step`, (state, data) -> (outputs, state), compiled by JAX.

    The program returns only the values that it changes: weights in `predict` are not
    copied.
    """
    import jax

    @jax.jit
    def changed(state: tuple, data: Any) -> tuple[Any, list]:
        outputs, after = step(state, data)
        return outputs, [
            [None if new is old else new for old, new in zip(*group, strict=True)]
            for group in zip(state, after, strict=True)
        ]

    def kept(state: tuple, data: Any) -> tuple[Any, tuple]:
        outputs, after = changed(state, data)
        return outputs, tuple(
            [old if new is None else new for old, new in zip(*group, strict=True)]
            for group in zip(state, after, strict=True)
        )

    return kept


def check_rows(x: Any) -> None:
    """Raise a ValueError if a model is called on no rows.

    For a data set, the number of batches is checked if it is known.
    """
    shapes = [getattr(part, "shape", (1,)) for part in keras.tree.flatten(x)]
    empty = [tuple(shape) for shape in shapes if len(shape) and shape[0] == 0]
    if empty:
        received = f"x of shape {empty[0]}"
    elif hasattr(x, "cardinality") and int(x.cardinality()) == 0:
        received = f"none in {x!r}"
    elif isinstance(x, keras.utils.PyDataset) and x.num_batches == 0:
        received = f"none in {x!r}"
    else:
        return
    raise ValueError(f"`x` must hold an example at least. Received: {received}.")
