"""Input gradients of a Keras model: the one file here that imports a framework.

For the attributions ours are measured against; contributions need no gradient.
"""

from typing import Any

import keras
import numpy as np


def input_gradients(
    model: Any, x: Any, target: np.ndarray, batch_size: int = 64
) -> np.ndarray:
    """Return `d logits[i, target[i]] / d x[i]` for every example, float32.

    Args:
        model: one input tensor, logits (n, classes) out.
        x: inputs (n, *input_shape).
        target: (n,) classes.
        batch_size: how many examples are held at a time.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(1, 4), (3,), num_classes=2, seed=0)
        >>> input_gradients(net, np.ones((5, 3)), np.zeros(5, int)).shape
        (5, 3)
    """
    backends = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    name = keras.backend.backend()
    if name not in backends:
        raise ValueError(
            f"Gradients need one of the backends {', '.join(backends)}. "
            f"Received: backend {name!r}."
        )
    x = np.asarray(x, "float32")
    size = int(model.output_shape[-1])
    hot = np.eye(size, dtype="float32")[np.asarray(target, int)]
    if not len(x):
        return x.copy()
    return np.concatenate(
        [
            backends[name](model, x[k : k + batch_size], hot[k : k + batch_size])
            for k in range(0, len(x), batch_size)
        ]
    )


def _tensorflow(model: Any, x: np.ndarray, hot: np.ndarray) -> np.ndarray:
    import tensorflow as tf

    inputs = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        total = tf.reduce_sum(model(inputs, training=False) * hot)
    return np.asarray(tape.gradient(total, inputs))


def _jax(model: Any, x: np.ndarray, hot: np.ndarray) -> np.ndarray:
    import jax

    def total(inputs: Any) -> Any:
        return (model(inputs, training=False) * hot).sum()

    return np.asarray(jax.grad(total)(jax.numpy.asarray(x)))


def _torch(model: Any, x: np.ndarray, hot: np.ndarray) -> np.ndarray:
    import torch

    # Where Keras puts its tensors: the accelerator if there is one.
    made: Any = keras.ops.convert_to_tensor(x)
    inputs = made.detach().requires_grad_()
    total = (model(inputs, training=False) * keras.ops.convert_to_tensor(hot)).sum()
    (gradient,) = torch.autograd.grad(total, inputs)
    return np.asarray(keras.ops.convert_to_numpy(gradient))
