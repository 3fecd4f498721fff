"""The one place that knows TensorFlow, JAX and PyTorch: gradients and devices.

Keras has no backend-neutral gradient. Each adapter makes a function from inputs
and a logit's index to that logit's gradient, for every example apart.
"""

import importlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from dlgn_keras.kernels.plan import Plan
from dlgn_keras.kernels.recursion import Side, block_kernel

# (inputs, logit) -> for each trainable variable an array (n, *its shape)
Gradients = Callable[[Any, int], list[np.ndarray]]


def per_example_gradients(model: keras.Model) -> Gradients:
    """Return a function that differentiates one logit by all trainable variables.

    The model runs at inference (batch norm by its averages).

    Raises:
        ValueError: a backend that has no gradients.
    """
    adapters = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    backend = keras.backend.backend()
    if backend not in adapters:
        raise ValueError(
            "The Keras backend must be tensorflow, jax or torch for gradients. "
            f"Received: {backend}."
        )
    return adapters[backend](model)


def _jax(model: keras.Model) -> Gradients:
    import jax

    def logit(trainable: list, fixed: list, example: Any, index: Any) -> Any:
        batch = jax.tree_util.tree_map(lambda array: array[None], example)
        logits, _ = model.stateless_call(trainable, fixed, batch, training=False)
        return logits[0, index]

    gradient = jax.jit(jax.vmap(jax.grad(logit), in_axes=(None, None, 0, None)))

    def gradients(inputs: Any, index: int) -> list[np.ndarray]:
        trainable = [v.value for v in model.trainable_variables]
        fixed = [v.value for v in model.non_trainable_variables]
        return [np.asarray(g) for g in gradient(trainable, fixed, inputs, index)]

    return gradients


def _torch(model: keras.Model) -> Gradients:
    import torch

    # One pass forward, one back per example: torch.func.functional_call returns
    # zeros on Keras models (keras issue 20279) and vmap lacks channels-last clones.
    def gradients(inputs: Any, index: int) -> list[np.ndarray]:
        variables = [v.value for v in model.trainable_variables]
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        rows: list[list[np.ndarray]] = [[] for _ in variables]
        with torch.enable_grad():
            logits = model(tensors, training=False)[:, index]
            for logit in logits:
                found = torch.autograd.grad(
                    logit, variables, retain_graph=True, allow_unused=True
                )
                for row, variable, part in zip(rows, variables, found, strict=True):
                    part = torch.zeros_like(variable) if part is None else part
                    row.append(part.detach().cpu().numpy())
        return [np.stack(row) for row in rows]

    return gradients


def _tensorflow(model: keras.Model) -> Gradients:
    import tensorflow as tf

    @tf.function(reduce_retracing=True)
    def jacobian(inputs: Any, index: Any) -> list:
        with tf.GradientTape() as tape:
            logits = tf.gather(model(inputs, training=False), index, axis=1)
        variables = [v.value for v in model.trainable_variables]
        zero = tf.UnconnectedGradients.ZERO
        return tape.jacobian(logits, variables, unconnected_gradients=zero)

    def gradients(inputs: Any, index: int) -> list[np.ndarray]:
        tensors = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
        return [g.numpy() for g in jacobian(tensors, tf.constant(index))]

    return gradients


def num_devices() -> int:
    """Return how many devices a compiled block is spread over."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.device_count()


def compile_blocks(plan: Plan, dtype: str) -> Callable[[Side, Side], np.ndarray]:
    """Return the block kernel compiled by the backend, rows spread over devices."""
    if keras.backend.backend() != "jax":
        return lambda left, right: keras.ops.convert_to_numpy(
            block_kernel(plan, _tensors(left), _tensors(right), keras.ops)
        )
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    # JAX has moved it out of its experimental part.
    place: Any = jax
    if not hasattr(jax, "enable_x64"):
        place = importlib.import_module("jax.experimental")
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    whole = NamedSharding(mesh, PartitionSpec())

    def spread(array: np.ndarray) -> Any:
        axes = [None] * array.ndim
        spec = PartitionSpec(*axes[:-2], "rows", None)
        return jax.device_put(array, NamedSharding(mesh, spec))

    compiled = jax.jit(lambda left, right: block_kernel(plan, left, right, jax.numpy))

    def compute(left: Side, right: Side) -> np.ndarray:
        with place.enable_x64(dtype == "float64"):
            left = jax.tree_util.tree_map(spread, left)
            right = jax.device_put(right, whole)
            return np.asarray(compiled(left, right))

    return compute


def _tensors(side: Side) -> Side:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, side)
