"""ntk: the neural tangent kernel of a model, or of its value network alone."""

from typing import Any

import numpy as np

from dlgn_keras.autodiff import Gradients, per_example_gradients
from dlgn_keras.kernels.tiles import (
    available,
    check_examples,
    read_examples,
    readable,
)
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.terminal import progress_bar

NETWORKS = ("value", "full")


def ntk(
    net: Any,
    x: Any,
    y: Any = None,
    *,
    network: str = "value",
    output: str | int = "sum",
    mode: str | None = None,
    batch_size: int = 32,
    memory: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Return a model's neural tangent kernel `<dy(x)/dw, dy(x')/dw>` at its weights.

    `network="value"` differentiates with respect to the value network's weights at
    fixed gates (K_v); "full" with respect to all trainable variables of the model
    (K_v + K_f). K_f comes from soft gates and is zero with hard gates. Variables that
    are not trainable are left out. Batch norm uses its moving averages.

    Args:
        net: a DNN, DGN or DLGN.
        x: raw inputs (n, *input_shape).
        y: raw inputs (m, *input_shape); None for `x` itself.
        network: "value" or "full".
        output: "sum", for the sum of the kernels of all logits, or the index of one.
        mode: gates to use with "value"; the model's own if None.
        batch_size: number of examples whose gradients are held at a time, per side.
        memory: bytes that gradients and Gram may take; a quarter of the free memory
            if None.
        progress: whether to draw a progress bar; on a terminal if None.

    Returns:
        array (n, m), float64 sums of float32 gradients.

    Raises:
        ValueError: an argument out of range, inputs that do not fit, or gradients and
            a Gram too large for memory.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (4,), num_classes=3)
        >>> dk.kernels.ntk(net, np.ones((2, 4)), output=0).shape
        (2, 2)

    Reference: arXiv 2006.10529, section 4 (K = K_v + K_f); Jacot et al., NeurIPS 2018.
    """
    x = check_examples(net, "x", x)
    columns = x if y is None else check_examples(net, "y", y)
    check_choice("network", network, NETWORKS)
    if network == "full" and mode not in (None, net.gate_mode):
        raise ValueError(
            "`mode` must be the model's own gate for the full kernel, "
            f"{net.gate_mode!r}. Received: mode={mode!r}."
        )
    logits = _logits(net, output)
    size = check_count("batch_size", batch_size)
    model = net.value_network if network == "value" else net
    _check_memory(model, size, (len(x), len(columns)), memory)
    gradients = per_example_gradients(model)

    def inputs(part: np.ndarray) -> Any:
        # One size for every batch: the gradient is compiled once.
        full = np.resize(part, (size, *part.shape[1:]))
        if network == "full":
            return full.astype("float32")
        made = read_examples(net, full, mode)
        return [made.inputs, made.gates]

    gram = np.zeros((len(x), len(columns)))
    cuts = [slice(k, min(k + size, len(x))) for k in range(0, len(x), size)]
    others = [
        slice(k, min(k + size, len(columns))) for k in range(0, len(columns), size)
    ]
    steps = len(cuts) * len(others) * len(logits)
    with progress_bar("neural tangent kernel", steps, progress) as advance:
        for rows in cuts:
            left = inputs(x[rows])
            for cut in others:
                if y is None and cut.start < rows.start:
                    advance(len(logits))
                    continue
                same = y is None and cut == rows
                right = left if same else inputs(columns[cut])
                for logit in logits:
                    a = _flat(gradients, left, logit)[: rows.stop - rows.start]
                    b = a if same else _flat(gradients, right, logit)
                    gram[rows, cut] += a @ b[: cut.stop - cut.start].T
                    advance(1)
                if y is None:
                    gram[cut, rows] = gram[rows, cut].T
    return gram


def _check_memory(
    model: Any, size: int, shape: tuple[int, int], memory: int | None
) -> None:
    """Raise a ValueError if gradients and Gram do not fit the memory."""
    weights = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    # The gradients of both sides in float64, and of one side in float32 as computed.
    gradients = size * weights * (2 * 8 + 4)
    needed, memory = gradients + 8 * shape[0] * shape[1], available(memory)
    if needed > memory:
        raise ValueError(
            f"A tangent kernel of shape {shape} needs {readable(needed)} of memory, "
            f"{readable(gradients)} of them for the gradients of {size} examples by "
            f"{weights:,} weights; `memory` is {readable(memory)}. Raise it, or give a "
            "smaller batch_size."
        )


def _logits(net: Any, output: str | int) -> list[int]:
    whole = isinstance(output, int) and not isinstance(output, bool)
    if output == "sum":
        return list(range(net.num_classes))
    if not whole or not 0 <= int(output) < net.num_classes:
        raise ValueError(
            f"`output` must be 'sum' or a logit from 0 to {net.num_classes - 1}. "
            f"Received: output={output!r}."
        )
    return [int(output)]


def _flat(gradients: Gradients, inputs: Any, logit: int) -> np.ndarray:
    """Return all gradients as one float64 array (n, parameters)."""
    found = gradients(inputs, logit)
    return np.concatenate(
        [g.reshape(len(g), -1) for g in found], axis=1, dtype=np.float64
    )
