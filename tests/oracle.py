"""Models in plain NumPy, float64: what the library's Keras models are held to.

Two independent roads from a model's numbers to its logits, neither through Keras:
`run` walks the skeleton with loops over positions, and `logits_by_paths` sums over
every path, by `dlgn_keras.paths`. `stages` and `gates` translate a model into the
format of `dlgn_keras.paths`.
"""

import math

import numpy as np

from dlgn_keras import paths, skeletons
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
)


def windows(z, size, strides, padding, dilation=1):
    """{position: windows (n, *size, channels)} and the number of positions by axis."""
    rank = z.ndim - 2
    size = (size,) * rank if isinstance(size, int) else tuple(size)
    strides = (strides,) * rank if isinstance(strides, int) else tuple(strides)
    size = tuple((k - 1) * dilation + 1 for k in size)
    if padding != "valid":
        amounts = [(0, 0)]
        for n, k, s in zip(z.shape[1:-1], size, strides, strict=True):
            total = max((math.ceil(n / s) - 1) * s + k - n, 0)
            amounts.append((total // 2, total - total // 2))
        mode = {"same": "constant", "circular": "wrap"}[padding]
        z = np.pad(z, [*amounts, (0, 0)], mode=mode)
    axes = zip(z.shape[1:-1], size, strides, strict=True)
    shape = tuple((n - k) // s + 1 for n, k, s in axes)
    cuts = {}
    for position in np.ndindex(*shape):
        axes = zip(position, size, strides, strict=True)
        cuts[position] = z[
            (slice(None), *(slice(i * s, i * s + k, dilation) for i, k, s in axes))
        ]
    return cuts, shape


def convolve(z, kernel, strides=1, padding="same", dilation=1):
    """Convolution by a loop: z (n, *space, in), kernel (*window, in, out)."""
    rank = z.ndim - 2
    cuts, shape = windows(z, kernel.shape[:rank], strides, padding, dilation)
    out = np.zeros((len(z), *shape, kernel.shape[-1]))
    for position, cut in cuts.items():
        out[(slice(None), *position)] = np.tensordot(cut, kernel, rank + 1)
    return out


def run(skeleton, parameters, z, answer, choose=None):
    """Walk a skeleton: the features of `z`, or its logits where they are known.

    answer(name, q): what comes out of a site with pre-activations q.
    choose(name, windows): what comes out of a max pool, given (n, entries, channels)
        at every position; its maximum if None.
    """

    def affine(name, z, times):
        p = parameters[name]
        return (times(z, p.kernel) + p.bias) * p.scale + p.shift

    def pooled(stage, z):
        cuts, shape = windows(z, stage.pool_size, stage.pool_size, "valid")
        out = np.zeros((len(z), *shape, z.shape[-1]))
        for position, cut in cuts.items():
            entries = cut.reshape(len(z), -1, z.shape[-1])
            if isinstance(stage, AveragePool):
                out[(slice(None), *position)] = entries.mean(1)
            else:
                take = choose or (lambda name, position, entries: entries.max(1))
                out[(slice(None), *position)] = take(stage.name, position, entries)
        return out

    def along(stages, z):
        for stage in stages:
            if isinstance(stage, Residual):
                z = along(stage.body, z) + along(stage.shortcut, z)
            elif isinstance(stage, Dense):
                z = affine(stage.name, z, np.matmul)
            elif isinstance(stage, Conv):
                how = (stage.strides, stage.padding, stage.dilation)
                z = affine(stage.name, z, lambda z, k, how=how: convolve(z, k, *how))
            elif isinstance(stage, Flatten):
                z = z.reshape(len(z), -1)
            elif isinstance(stage, GlobalPool):
                z = z.reshape(len(z), -1, z.shape[-1]).mean(1)
            else:
                z = pooled(stage, z)
            if getattr(stage, "gated", False) and not isinstance(stage, MaxPool):
                z = answer(stage.name, z)
        return z

    features = along(skeleton.stages, np.asarray(z, np.float64))
    return affine("logits", features, np.matmul) if "logits" in parameters else features


def network_input(net, x):
    """The preprocessed input, in float64."""
    x = np.asarray(x, np.float64)
    if net.preprocessing is None:
        return x
    return x * np.asarray(net.preprocessing.scale) + net.preprocessing.offset


def value_input(net, x):
    """What the value network is fed, in float64."""
    z = network_input(net, x)
    return np.ones_like(z) if net.value_input == "ones" else z


def pre_activations(net, x):
    """{site: pre-activations (n, *shape)}: a ReLU chain, or a linear one for a DLGN.

    Of a max pool: {position: entries of the window (n, entries, channels)}.
    """
    found = {}

    def answer(name, q):
        found[name] = q
        return q if net.family == "dlgn" else np.maximum(q, 0)

    parameters = net.parameters("gating")
    parameters.pop("logits", None)

    def choose(name, position, entries):
        found.setdefault(name, {})[position] = entries
        return entries.mean(1) if net.family == "dlgn" else entries.max(1)

    run(net.skeleton, parameters, network_input(net, x), answer, choose)
    return found


def selection(windows):
    """Hard selection gates (n, *pooled, channels, entries) of {position: entries}."""
    hot = {p: np.eye(w.shape[1])[w.argmax(1)] for p, w in windows.items()}
    shape = tuple(n + 1 for n in max(hot))
    stacked = np.stack([hot[p] for p in np.ndindex(*shape)], axis=1)
    return stacked.reshape(len(stacked), *shape, *stacked.shape[2:])


def gate(q, mode, beta=4.0, scale=1.0):
    """The gate function in NumPy."""
    smooth = 1 / (1 + np.exp(-np.clip(beta * np.asarray(q, np.float64), -500, 500)))
    return scale * (smooth if mode == "soft" else (np.asarray(q) > 0).astype(float))


def value_logits(net, x, gates):
    """Logits of the value network for gates {site: (n, *shape)}."""
    parameters = net.parameters("value")

    def choose(name, position, entries):
        gate = gates[name][(slice(None), *position)]
        return np.einsum("nec,nce->nc", entries, gate)

    z = value_input(net, x)
    return run(net.skeleton, parameters, z, lambda name, q: q * gates[name], choose)


def stages(net, network="value"):
    """The stages of `dlgn_keras.paths` for one network of a model, logits included.

    Biases stand where the model has variables for them, whatever their values.
    """
    parameters = net.parameters(network)
    arguments = net.arguments
    biased = arguments.get(f"{network}_bias", arguments.get("use_bias"))

    def affine(stage):
        p = parameters[stage.name]
        bias = p.bias if biased and not stage.batch_norm else None
        if isinstance(stage, Conv):
            yield paths.Conv(
                within_groups(p.kernel, stage.groups),
                bias,
                stage.strides,
                stage.padding,
                stage.dilation,
                stage.groups,
            )
        else:
            yield paths.Dense(p.kernel, bias)
        if stage.batch_norm:
            yield paths.Scale(p.scale, p.shift)

    def along(stages):
        for stage in stages:
            if isinstance(stage, Residual):
                yield paths.Residual(
                    list(along(stage.body)), list(along(stage.shortcut))
                )
            elif isinstance(stage, Dense | Conv):
                yield from affine(stage)
            elif isinstance(stage, Flatten):
                yield paths.Flatten()
            elif isinstance(stage, GlobalPool):
                yield paths.GlobalPool()
            elif isinstance(stage, AveragePool):
                yield paths.AveragePool(stage.pool_size)
            else:
                yield paths.MaxPool(stage.pool_size)
            if getattr(stage, "gated", False) and not isinstance(stage, MaxPool):
                yield paths.Gate()

    last = Dense(net.num_classes, gated=False, name="logits")
    return [*along(net.skeleton.stages), *affine(last)]


def within_groups(kernel, groups):
    """The kernel of a convolution without the zeros between its groups."""
    inputs, units = (n // groups for n in kernel.shape[-2:])
    parts = [
        kernel[..., g * inputs : (g + 1) * inputs, g * units : (g + 1) * units]
        for g in range(groups)
    ]
    inside = sum(np.count_nonzero(part) for part in parts)
    assert np.count_nonzero(kernel) == inside
    return np.concatenate(parts, axis=-1)


def gates(net, x, mode=None, made=None):
    """For each example, the list of gates that goes with `stages(net)`.

    made: gates {site: (n, *shape)} to use in place of `net.gates(x, mode)`.
    """
    made = net.gates(x, mode) if made is None else made
    arrays = [
        made[stage.name]
        for stage in skeletons.walk(net.skeleton.stages)
        if getattr(stage, "gated", False)
    ]
    return [[array[i] for array in arrays] for i in range(len(arrays[0]))]


def logits_by_paths(net, x, mode=None, max_paths=10**5):
    """Logits (n, classes) as a sum over every path, one by one."""
    network = stages(net)
    pairs = zip(value_input(net, x), gates(net, x, mode), strict=True)
    return np.stack([paths.output(network, z, g, max_paths) for z, g in pairs])
