"""Readable: what any gated model says of itself, whatever it was made of."""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.models.predicting import predict_arrays
from dlgn_keras.models.served import QUANTIZED, Served


class Site(NamedTuple):
    """A place where a gate stands: its name and the shape of its gates."""

    name: str
    shape: tuple[int, ...]


class Readable(Served):
    """A Keras model read by its gates; base of our models and of Keras models' twins.

    `_parts` holds what it is made of: `arguments`, `sites`, `pre_activations`
    ({site: tensor}) and `views`.
    """

    _parts: Any

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments the model was made with, resolved."""
        return dict(self._parts.arguments)

    @property
    def sites(self) -> tuple[Site, ...]:
        """Every gate's name and shape, in the order data meets them."""
        return self._parts.sites

    @property
    def gate_mode(self) -> str:
        """The gate the model uses: "hard", "soft" or "straight_through"."""
        return self._parts.arguments.get("gate", "hard")

    @property
    def value_input(self) -> str:
        """What the value network is fed: the "input" itself or all "ones"."""
        return self._parts.arguments.get("value_input", "input")

    def raw_inputs(self, x: Any) -> np.ndarray:
        """Return raw inputs as an array, or say in one line what is wrong with it."""
        return check_inputs(x, self.input_shape[1:])

    def pre_activations(self, x: Any, batch_size: int = 256) -> dict[str, np.ndarray]:
        """Return {site: pre-activations (n, *shape)}, float32, as made at the site.

        Of a max pooling it is what is to be pooled.

        Args:
            x: raw inputs (n, *input_shape), as `predict` takes them.
            batch_size: how many go through the network at a time.
        """
        view = self.view(
            "pre_activations",
            lambda: keras.Model(self.input, self._parts.pre_activations),
        )
        q = predict_arrays(view, self.raw_inputs(x), batch_size)
        names = [name for name, _ in self.sites if name in q]
        return {name: np.asarray(q[name], "float32") for name in names}

    def explain(self, x: Any, target: Any = None, batch_size: int = 32) -> Any:
        """Return `dk.interpret.explain(self, x, target)`: logits taken apart, exactly.

        Args:
            x: raw inputs (n, *input_shape).
            target: class to explain, one for all or one per example; the
                predicted class if None.
            batch_size: how many examples are held at a time.
        """
        # A convenience upwards: the models themselves know nothing of interpret.
        from dlgn_keras.interpret import explain

        return explain(self, x, target, batch_size)

    def view(self, name: str, make: Callable[[], keras.Model]) -> keras.Model:
        """Return another model over the same layers, made when first asked for."""
        if name not in self._parts.views:
            self._parts.views[name] = make()
        return self._parts.views[name]

    # -- saving --------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        config = {**self._parts.arguments, "name": self.name}
        config |= self.quantized_config()
        frozen = [
            name
            for name in ("gating_network", "value_network")
            if not self._parts.views.get(name, self).trainable
        ]
        return {**config, "frozen": frozen} if frozen else config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        config = dict(config)
        frozen, quantized = config.pop("frozen", []), config.pop(QUANTIZED, False)
        net = cls._made_of(config)
        if quantized:
            net.quantize("int8")
        for name in frozen:
            getattr(net, name).trainable = False
        return net

    @classmethod
    def _made_of(cls, config: dict[str, Any]) -> Any:
        """Return the model of a config that holds its arguments alone."""
        return cls(**config)


def check_inputs(x: Any, input_shape: tuple) -> np.ndarray:
    """Return `x` as an array, or say in one line what is wrong with it."""
    x = np.asarray(x)
    if x.shape[1:] != tuple(input_shape) or x.ndim == 0:
        raise ValueError(
            f"`x` must have shape (n, {', '.join(map(str, input_shape))}). "
            f"Received: x of shape {x.shape}."
        )
    if len(x) == 0:
        raise ValueError(
            f"`x` must hold at least one example. Received: x of shape {x.shape}."
        )
    if x.dtype.kind not in "fiub":
        raise ValueError(f"`x` must be numbers. Received: x of dtype {x.dtype}.")
    if x.dtype.kind == "f" and not np.isfinite(x).all():
        bad = int((~np.isfinite(x)).sum())
        raise ValueError(f"`x` must be finite. Received: x with {bad} NaN or infinite.")
    return x
