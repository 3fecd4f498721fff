"""Gradients on TensorFlow, JAX and PyTorch, compiled where the backend can.

Keras has no backend-neutral gradient. The rest of the package takes every gradient
here, and imports no framework for one.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np

# (inputs, logit) -> for each trainable variable an array (n, *its shape)
Gradients = Callable[[Any, int], list[np.ndarray]]


def vjp(function: Callable, inputs: Any) -> tuple[Any, Callable]:
    """Return `function(inputs)` and the product of its Jacobian with cotangents.

    Args:
        function: tensors in, one tensor out; it must not change variables.
        inputs: a float tensor, or a nested structure of them.

    Returns:
        The output, and the function `cotangent -> gradients`: one gradient for each
        input, in the structure of `inputs`. Zero where the output does not depend on
        an input. The function can be called once.

    Raises:
        ValueError: a Keras backend that has no gradients.

    Example:
        >>> from keras import ops
        >>> square, pull_back = vjp(lambda z: z * z, ops.convert_to_tensor([3.0]))
        >>> ops.convert_to_numpy(pull_back(ops.ones((1,)))).tolist()
        [6.0]
    """
    backend = _backend()
    if backend == "jax":
        import jax

        output, pull = jax.vjp(function, inputs)
        return output, lambda cotangent: pull(cotangent)[0]
    if backend == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(inputs)
            output = function(inputs)
        zero = tf.UnconnectedGradients.ZERO
        return output, lambda cotangent: tape.gradient(output, inputs, cotangent, zero)
    import torch

    leaves = keras.tree.map_structure(lambda t: t.detach().requires_grad_(), inputs)
    with torch.enable_grad():
        output = function(leaves)

    def pull_back(cotangent: Any) -> Any:
        flat = keras.tree.flatten(leaves)
        found = [None] * len(flat)
        if output.requires_grad:  # else it is constant
            found = torch.autograd.grad(output, flat, cotangent, allow_unused=True)
        filled = [
            torch.zeros_like(leaf) if gradient is None else gradient
            for leaf, gradient in zip(flat, found, strict=True)
        ]
        return keras.tree.pack_sequence_as(leaves, filled)

    return output.detach(), pull_back


def compiled(function: Callable, model: keras.Model) -> Callable[..., Any]:
    """Return `function` compiled for the backend, arrays in and arrays out.

    The result is called as `found(*arrays, batch_size=32)`, arrays (n, ...). Batches
    have one size, a power of two for few examples, and the last one is filled up: few
    sizes are compiled.

    Args:
        function: tensors (n, ...) in, a nested structure of tensors (n, ...) out. It
            may call `vjp`, and the layers of `model` at inference.
        model: the model whose variables the function reads, anew at each call.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(1, 4), (3,), num_classes=2, seed=0)
        >>> compiled(lambda x: 2 * net(x), net)(np.ones((5, 3)), batch_size=2).shape
        (5, 2)
    """
    run = {"jax": _jit, "tensorflow": _tf_function, "torch": _eager}[_backend()](
        function, model
    )

    def in_batches(*arrays: np.ndarray, batch_size: int) -> Any:
        count = len(arrays[0])
        size = min(batch_size, 1 << (count - 1).bit_length())
        parts = []
        for start in range(0, count, size):
            rows = np.minimum(np.arange(start, start + size), count - 1)
            batch = [keras.ops.convert_to_tensor(_single(a[rows])) for a in arrays]
            found = run(*batch)
            parts.append(
                keras.tree.map_structure(
                    lambda t: np.asarray(keras.ops.convert_to_numpy(t)), found
                )
            )
        return keras.tree.map_structure(lambda *p: np.concatenate(p)[:count], *parts)

    return in_batches


def _single(array: np.ndarray) -> np.ndarray:
    return array.astype("float32") if array.dtype == np.float64 else array


def _jit(function: Callable, model: keras.Model) -> Callable:
    import jax

    @jax.jit
    def pure(values: list, *inputs: Any) -> Any:
        state = list(zip(model.variables, values, strict=True))
        with keras.StatelessScope(state_mapping=state):
            return function(*inputs)

    return lambda *inputs: pure([v.value for v in model.variables], *inputs)


def _tf_function(function: Callable, model: keras.Model) -> Callable:
    import tensorflow as tf

    # As `predict` compiles the model.
    return tf.function(function, jit_compile=model.jit_compile, reduce_retracing=True)


def _eager(function: Callable, model: keras.Model) -> Callable:
    import torch

    return torch.no_grad()(function)


def vector_jacobian(model: keras.Model) -> Callable[..., Any]:
    """Return (inputs, cotangents) -> (outputs, cotangents times Jacobian), compiled.

    Each example has its own cotangent, in the shape of its output. One-hot cotangents
    give rows of the Jacobian. The model runs at inference; see `compiled` for how the
    result is called.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(1, 4), (3,), num_classes=2, seed=0)
        >>> x = np.ones((2, 3))
        >>> outputs, rows = vector_jacobian(net)(x, np.eye(2), batch_size=2)
        >>> outputs.shape, rows.shape
        ((2, 2), (2, 3))
    """

    def pull(inputs: Any, cotangents: Any) -> Any:
        outputs, pull_back = vjp(lambda z: model(z, training=False), inputs)
        return outputs, pull_back(keras.ops.cast(cotangents, outputs.dtype))

    return compiled(pull, model)


def per_example_gradients(model: keras.Model) -> Gradients:
    """Return a function that differentiates one logit by all trainable variables.

    The model runs at inference (batch norm by its averages).

    Raises:
        ValueError: a Keras backend that has no gradients.
    """
    adapters = {"tensorflow": _tf_rows, "jax": _jax_rows, "torch": _torch_rows}
    return adapters[_backend()](model)


def _jax_rows(model: keras.Model) -> Gradients:
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


def _torch_rows(model: keras.Model) -> Gradients:
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


def _tf_rows(model: keras.Model) -> Gradients:
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


def _backend() -> str:
    name = keras.backend.backend()
    if name not in ("tensorflow", "jax", "torch"):
        raise ValueError(
            "The Keras backend must be tensorflow, jax or torch for gradients. "
            f"Received: {name}."
        )
    return name
