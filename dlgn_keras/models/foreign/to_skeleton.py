"""From a DisentangledModel to a DGN or DLGN on a skeleton, where its graph is one."""

from typing import Any

import numpy as np
from keras import ops

from dlgn_keras import skeletons
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.layers import Gated
from dlgn_keras.layers.gated import BATCH_NORM
from dlgn_keras.models.base import GatedModel
from dlgn_keras.models.families import DGN, DLGN
from dlgn_keras.models.foreign.trunk import Trunk
from dlgn_keras.models.foreign.twin import DisentangledModel
from dlgn_keras.skeletons import Residual, Skeleton, Stage

SKIPPED = ("Dropout", "SpatialDropout1D", "SpatialDropout2D", "Identity")
POOLS = {"AveragePooling": skeletons.AveragePool, "MaxPooling": skeletons.MaxPool}
Keys = tuple[str, str | None]  # of the affine layer, and of its batch norm


def as_gated_model(twin: DisentangledModel) -> GatedModel:
    """Return a `dk.DGN` or `dk.DLGN` with the logits and gates of a twin.

    Then all that reads skeletons reads the model: kernels, paths, filters. Batch
    norm's numbers are written in the form that the skeleton's layers have, and
    dropout goes: it is the same function at inference, not the same to train.

    Args:
        twin: of a chain, or of residual blocks of two branches, made of dense and
            square convolutions with batch norm behind them, ReLUs, and poolings whose
            windows stand side by side.

    Raises:
        ValueError: a graph that is no skeleton, with the first layer in the way.

    Example:
        >>> import keras, dlgn_keras as dk
        >>> model = keras.Sequential([keras.Input((4,)),
        ...     keras.layers.Dense(8, activation="relu"), keras.layers.Dense(3)])
        >>> dk.models.as_gated_model(dk.disentangle(model)).skeleton.stages
        (Dense(units=8, batch_norm=False, gated=True, name='stage_1'),)
    """
    reader = _Reader(twin)
    skeleton = Skeleton(reader.stages(), "from_keras")
    known = twin.arguments
    family = {"dgn": DGN, "dlgn": DLGN}[known.pop("family")]
    if family is DLGN and skeleton.has_max_pool:
        known["max_pool"] = "average"
    net = family(
        skeleton,
        twin.source_graph.input_shape,
        twin.num_classes,
        gating_bias=True,
        value_bias=True,
        preprocessing=reader.preprocessing(),
        **known,
    )
    for network in ("value", "gating"):
        trunk: Trunk = getattr(twin._parts, network)
        for name, layer in net.network_layers(network).items():
            if isinstance(layer, Gated):
                _copy(trunk, reader.keys[name], layer)
    return net


def _copy(trunk: Trunk, keys: Keys, layer: Any) -> None:
    """Write an affine layer, and the batch norm behind it, into a layer of ours."""
    source = trunk.layers[keys[0]]
    kernel = _array(source.kernel)
    bias = _array(source.bias) if source.use_bias else np.zeros(kernel.shape[-1])
    layer.affine.kernel.assign(kernel)
    if keys[1] is None:
        layer.affine.bias.assign(bias)
        return
    norm, ours = trunk.layers[keys[1]], layer.batch_norm
    if norm.scale:
        ours.gamma.assign(_array(norm.gamma))
    if norm.center:
        ours.beta.assign(_array(norm.beta))
    ours.moving_mean.assign(_array(norm.moving_mean) - bias)
    shift = norm.epsilon - BATCH_NORM["epsilon"]
    ours.moving_variance.assign(_array(norm.moving_variance) + shift)


def _array(variable: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(variable))


class _Reader:
    """Walks the steps of a graph and notes stages and where their weights are."""

    def __init__(self, twin: DisentangledModel) -> None:
        self.graph = twin.source_graph
        self.name = twin.name
        self.keys: dict[str, Keys] = {}
        self.readers: dict[int, list[int]] = {}
        for k, step in enumerate(self.graph.steps):
            for read in step.inputs:
                self.readers.setdefault(read, []).append(k)

    def refuse(self, k: int, reason: str) -> ValueError:
        step = self.graph.steps[k]
        return ValueError(
            f"The graph of {self.name!r} is no skeleton: {step.name} {reason}."
        )

    def described(self, k: int) -> tuple[str, dict[str, Any]]:
        """Return the class and the config of a step's layer."""
        step = self.graph.steps[k]
        layer = self.graph.layers[step.layer]
        return layer["class_name"], layer["config"]

    def stages(self) -> tuple[Stage, ...]:
        last = self.graph.output
        stages, end = self.chain(self.graph.value_input, last)
        kind, _ = self.described(last)
        if end != last or kind != "Dense":
            raise self.refuse(last, "is no dense layer, as logits must be")
        self.keys["logits"] = (self.graph.steps[last].layer, None)
        return tuple(stages)

    def chain(self, now: int, stop: int) -> tuple[list[Stage], int]:
        """Return the stages behind step `now`, up to `stop` or an addition."""
        stages: list[Stage] = []
        while True:
            readers = self.readers.get(now, [])
            if len(readers) == 2:
                block, now = self.block(now, readers)
                stages.append(block)
                continue
            if len(readers) != 1:
                raise self.refuse(now, f"is read by {len(readers)} layers")
            (k,) = readers
            if k == stop or self.described(k)[0] in ("Add", "GatedAdd"):
                return stages, k
            stage, now = self.stage(k)
            stages += stage

    def block(self, now: int, readers: list[int]) -> tuple[Stage, int]:
        branches = []
        for k in readers:
            if self.described(k)[0] == "Add":
                branches.append(([], k))
                continue
            first, end = self.stage(k)
            rest, join = self.chain(end, -1)
            branches.append((first + rest, join))
        (body, join), (shortcut, other) = sorted(branches, key=lambda b: -len(b[0]))
        if join != other or len(self.graph.steps[join].inputs) != 2:
            raise self.refuse(join, "does not join two branches of one layer")
        gated, end = self.gate(join)
        name = f"stage_{join}"
        return Residual(tuple(body), tuple(shortcut), gated, name), end

    def gate(self, k: int) -> tuple[bool, int]:
        """Return whether a ReLU follows step k, and the last step of the two."""
        readers = self.readers.get(k, [])
        if len(readers) != 1 or self.graph.steps[readers[0]].kind != "site":
            return False, k
        kind, config = self.described(readers[0])
        plain = kind == "ReLU" and not config["negative_slope"]
        if not plain or config["max_value"] is not None or config["threshold"]:
            raise self.refuse(readers[0], "is another activation than ReLU")
        return True, readers[0]

    def stage(self, k: int) -> tuple[list[Stage], int]:
        """Return the stage (or none) that begins at step k, and its last step."""
        kind, config = self.described(k)
        if kind in SKIPPED or kind == "Activation":
            return [], k
        name, channels_last = (
            f"stage_{k}",
            config.get("data_format") != "channels_first",
        )
        if kind == "Flatten" and channels_last:
            return [skeletons.Flatten(name)], k
        if kind in ("GlobalAveragePooling1D", "GlobalAveragePooling2D"):
            if channels_last and not config["keepdims"]:
                return [skeletons.GlobalPool(name)], k
        if kind[:-2] in POOLS and kind[-2:] in ("1D", "2D"):
            size = _square(config["pool_size"])
            same = _square(config["strides"]) == size and config["padding"] == "valid"
            if size and same and channels_last:
                return [POOLS[kind[:-2]](size, name)], k
        if kind == "Dense":
            norm, gated, end = self.behind(k)
            self.keys[name] = (self.graph.steps[k].layer, norm)
            return [
                skeletons.Dense(config["units"], norm is not None, gated, name)
            ], end
        if kind in ("Conv1D", "Conv2D") and channels_last:
            sizes = ("kernel_size", "strides", "dilation_rate")
            windows = [size for key in sizes if (size := _square(config[key]))]
            padded = config["padding"] in ("same", "valid")
            if len(windows) == len(sizes) and padded and config["groups"] == 1:
                norm, gated, end = self.behind(k)
                self.keys[name] = (self.graph.steps[k].layer, norm)
                size, stride, dilation = windows
                options = (config["padding"], norm is not None, gated, name, dilation)
                conv = skeletons.Conv(config["filters"], size, stride, *options)
                return [conv], end
        raise self.refuse(k, f"({kind}) is no stage")

    def behind(self, k: int) -> tuple[str | None, bool, int]:
        """Return the batch norm behind step k, whether a ReLU follows, the end."""
        norm, readers = None, self.readers.get(k, [])
        if len(readers) == 1 and self.graph.steps[readers[0]].kind == "affine":
            if self.described(readers[0])[0] == "BatchNormalization":
                norm, k = self.graph.steps[readers[0]].layer, readers[0]
        gated, end = self.gate(k)
        return norm, gated, end

    def preprocessing(self) -> Preprocessing | None:
        scale, offset = np.float64(1), np.float64(0)
        for k in range(1, self.graph.value_input + 1):
            kind, config = self.described(k)
            along_channels = kind == "ChannelRescaling"
            if not along_channels and (kind != "Rescaling" or np.ndim(config["scale"])):
                raise self.refuse(k, f"({kind}) is no preprocessing by one number")
            factor = np.asarray(config["scale"])
            scale, offset = scale * factor, offset * factor + config["offset"]
        if not self.graph.value_input:
            return None
        return Preprocessing(scale.tolist(), offset.tolist())


def _square(size: Any) -> int | None:
    """Return the one number of a size that is the same on each axis, or None."""
    sizes = {size} if isinstance(size, int) else set(size)
    return int(sizes.pop()) if len(sizes) == 1 else None
