"""DNN, DGN and DLGN: one skeleton, three ways to gate."""

from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from dlgn_keras import gates as gate_functions
from dlgn_keras.data.preprocessing import Preprocessing
from dlgn_keras.models.arguments import (
    check_arguments,
    check_gate_order,
    check_value,
    check_value_input,
    check_value_norm,
)
from dlgn_keras.models.base import GatedModel, Parts
from dlgn_keras.models.builder import (
    TENSOR,
    Network,
    as_float32,
    gate_layer,
    gating_model,
    preprocess,
    record,
    relu_model,
    shallow_gating_model,
    tensor_model,
    value_model,
)
from dlgn_keras.models.shallow import shallow_skeletons
from dlgn_keras.models.sizes import count_weights
from dlgn_keras.presets.load import register
from dlgn_keras.skeletons import Skeleton, walk


@keras.saving.register_keras_serializable(package="dlgn_keras")
class DNN(GatedModel):
    """A ReLU network on a skeleton: every site is gated by its own pre-activation.

    Its gating network and its value network are the same layers seen twice:
    `gates(x)` are the ReLUs' on and off, `value_network` is affine at fixed gates.

    Args:
        skeleton: what the network is made of, see `dk.skeletons`, or its text.
        input_shape: (dim,), (steps, channels) or (height, width, channels).
        num_classes: number of logits.
        use_bias: whether affine maps add a bias (not where batch norm follows).
        batch_norm: True or False puts it everywhere or nowhere; None leaves it
            where the skeleton has it.
        preprocessing: `dk.data.Preprocessing` from raw input to network input.
        kernel_initializer: Keras initializer of every kernel.
        seed: integer for reproducible weights; None draws afresh.

    Raises:
        ValueError: an argument out of range, or a skeleton the input does not fit.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DNN(dk.skeletons.fc(2, 16), (8, 8, 1), num_classes=10, seed=0)
        >>> net.gates(np.ones((3, 8, 8, 1)))["dense_1"].shape
        (3, 16)

    Reference: arXiv 2006.10529, section 2.
    """

    family = "dnn"
    has_gating_network = False

    def __init__(
        self,
        skeleton: Skeleton | str,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        use_bias: bool = True,
        batch_norm: bool | None = None,
        preprocessing: Preprocessing | None = None,
        kernel_initializer: Any = "he_normal",
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        arguments, sites = check_arguments(
            skeleton, input_shape, num_classes, batch_norm, preprocessing, seed
        )
        network = Network(
            arguments["skeleton"], num_classes, use_bias, kernel_initializer, seed
        )
        q: dict[str, Any] = {}
        inputs = keras.Input(arguments["input_shape"], name="inputs")
        x = preprocess(inputs, preprocessing)
        logits = network.walk(x, record(q, rectify=True))
        super().__init__(inputs, as_float32(logits), name=name or self.family)
        arguments |= {"use_bias": use_bias, "kernel_initializer": kernel_initializer}
        self._parts = Parts(arguments, sites, q, network.layers, network)

    @property
    def relu_network(self) -> keras.Model:
        """Preprocessed input -> logits, gated by its own ReLUs."""
        return self.view(
            "relu_network",
            lambda: relu_model(self._parts.value, self.input_shape[1:]),
        )

    def _make_gating_network(self) -> keras.Model:
        return gating_model(self._parts.value, self.input_shape[1:], rectify=True)


class _GatedPair(GatedModel):
    """A gating network beside a value network; what DGN and DLGN share."""

    def __init__(
        self,
        skeleton: Skeleton | str,
        input_shape: Sequence[int],
        num_classes: int,
        *,
        gate: str = "soft",
        beta: float = 4.0,
        gate_scale: float = 1.0,
        value_input: str = "input",
        value: str = "network",
        gate_order: Sequence[int] | None = None,
        shallow: bool = False,
        max_pool: str | None = None,
        gating_bias: bool = True,
        value_bias: bool = False,
        value_norm: str = "batch",
        batch_norm: bool | None = None,
        preprocessing: Preprocessing | None = None,
        kernel_initializer: Any = "he_normal",
        gating_initializer: Any = None,
        seed: int | None = None,
        name: str | None = None,
    ) -> None:
        gate_functions.check(gate, beta, gate_scale)
        arguments, sites = check_arguments(
            skeleton, input_shape, num_classes, batch_norm, preprocessing, seed
        )
        built: Skeleton = arguments["skeleton"]
        shape = arguments["input_shape"]
        self._check_skeleton(built, shallow, max_pool)
        check_value_input(value_input, built)
        check_value(value, value_input, built, dict(sites))
        check_value_norm(value_norm, value_bias)
        order = check_gate_order(gate_order, sites)
        gating_initializer = gating_initializer or (
            "lecun_normal" if self.has_linear_gates else kernel_initializer
        )
        gating_seed = None if seed is None else seed + GATING_SEED_OFFSET

        def network(part: Skeleton) -> Network:
            return Network(part, None, gating_bias, gating_initializer, gating_seed)

        paths = Network(
            built, num_classes, value_bias, kernel_initializer, seed, value_norm
        )
        # Name scopes keep the variables' paths apart: both networks have the same
        # stage names, and Keras on torch loses one of two variables of one path.
        with keras.name_scope("gating_network"):
            if shallow:
                parts = shallow_skeletons(built, shape)
                gating, gating_layers = shallow_gating_model(
                    {site: network(part) for site, part in parts.items()}, shape
                )
            else:
                chain = network(built)
                gating = gating_model(chain, shape, not self.has_linear_gates)
                gating_layers = chain.layers
        with keras.name_scope("value_network"):
            if value == "tensor":
                tensor = paths.value_tensor()
                value_view = tensor_model(tensor, shape, dict(sites))
            else:
                value_view = value_model(paths, shape, dict(sites))

        inputs = keras.Input(shape, name="inputs")
        x = preprocess(inputs, preprocessing)
        q = gating(x)
        made = {
            stage.name: gate_layer(stage, gate, beta, gate_scale)(q[stage.name])
            for stage in walk(built.stages)
            if stage.name in q
        }
        # In the order of the sites: on torch a dictionary's order counts.
        used = {s.name: made[sites[order.index(k)].name] for k, s in enumerate(sites)}
        # One row of ones is enough: all examples share it up to the first gate.
        z = ops.ones_like(ops.take(x, [0], axis=0)) if value_input == "ones" else x
        # A layer of this model's own: `net.layers[-2].output` cuts it as it cuts a DNN.
        logits = keras.layers.Identity(name="logits")(value_view([z, used]))
        super().__init__(inputs, as_float32(logits), name=name or self.family)
        arguments |= {
            "gate": gate,
            "beta": beta,
            "gate_scale": gate_scale,
            "value_input": value_input,
            "value": value,
            "gate_order": None if gate_order is None else order,
            "shallow": shallow,
            "gating_bias": gating_bias,
            "value_bias": value_bias,
            "value_norm": value_norm,
            "kernel_initializer": kernel_initializer,
            "gating_initializer": gating_initializer,
        }
        if max_pool is not None:
            arguments["max_pool"] = max_pool
        views = {"gating_network": gating, "value_network": value_view}
        self._parts = Parts(
            arguments, sites, q, gating_layers, paths, views, fed=[z, used]
        )

    @property
    def value_tensor(self) -> Any:
        """The path values of `value="tensor"`, (*widths, num_classes); else None."""
        layer = self._parts.value.layers.get(TENSOR)
        return None if layer is None else ops.convert_to_numpy(layer.path_values)

    def parameters(self, network: str | bool = True) -> Any:
        if network == "value" and self._parts.arguments["value"] == "tensor":
            raise ValueError(
                f"{self.name!r} has a value tensor in place of a value network: "
                "`value_tensor` holds its path values, no layer makes them."
            )
        return super().parameters(network)

    def _check_skeleton(
        self, skeleton: Skeleton, shallow: bool, max_pool: str | None
    ) -> None:
        allowed = (None, "average") if self.has_linear_gates else (None,)
        if max_pool not in allowed:
            raise ValueError(
                f"`max_pool` must be {' or '.join(map(repr, allowed))} for a "
                f"{self.family.upper()}. Received: max_pool={max_pool!r}."
            )
        if skeleton.has_max_pool and self.has_linear_gates and max_pool is None:
            raise ValueError(
                "`max_pool` must be 'average' for a DLGN, whose gating network is "
                "linear, or the skeleton have average pooling. "
                f"Received: skeleton {skeleton.name!r} with MaxPool stages."
            )
        if shallow and not self.has_linear_gates:
            raise ValueError(
                "`shallow` needs a linear gating network: use dk.DLGN. "
                "Received: shallow=True for a DGN."
            )

    def source_site(self, name: str) -> str:
        order = self._parts.arguments["gate_order"]
        if order is None:
            return name
        names = [site.name for site in self.sites]
        return names[order.index(names.index(name))]


_GATED_ARGUMENTS = """
    Args:
        skeleton: what both networks are made of, see `dk.skeletons`, or its text,
            such as "fc:depth=4,width=20".
        input_shape: (dim,), (steps, channels) or (height, width, channels).
        num_classes: number of logits.
        gate: "soft" (`sigmoid(beta q)`, for a gating network that is trained),
            "hard" (`1{q > 0}`, for a frozen one) or "straight_through".
        beta: slope of the soft gate, per unit of pre-activation; 4 for fc and
            c4gap, 10 for vgg16 in the papers.
        gate_scale: factor on every gate.
        value_input: "input", or "ones" for an all-ones tensor: then all that is
            known of the input comes through the gates, and the first stage takes
            no batch norm (a padded convolution may).
        value: "network", or "tensor" for one free value per path in place of a
            value network (DLGN-VT; dense sites, all-ones value input, at most a
            million paths). Gates, hyperplanes, presets and `collapse` are there as
            ever, and `value_tensor` holds the values; what reads the weights of a
            value network (contributions, top paths, path kernels) is not.
        gate_order: permutation of the sites; gates made at site k are applied
            at site `gate_order[k]`. None leaves them in place.
        shallow: whether each site's pre-activations come straight from the
            input, by a map of their own (DLGN-SF).
        max_pool: "average" lets a DLGN stand on a skeleton with MaxPool stages: its
            gating network averages there, and the value network selects the entry
            of each window where that network's values are largest. None refuses. A
            DGN's gating network takes the maxima.
        gating_bias, value_bias: whether affine maps add a bias.
        value_norm: "batch", or "scale": the value network's norms neither centre nor
            add an offset (`dk.layers.ScaleNorm`). All paths start at the input then,
            and contributions sum to the whole logit, `logits = A(x) z`.
        batch_norm: True or False puts it everywhere or nowhere; None leaves it
            where the skeleton has it.
        preprocessing: `dk.data.Preprocessing` from raw input to network input.
        kernel_initializer, gating_initializer: Keras initializers of the value
            and of the gating kernels.
        seed: integer for reproducible weights; None draws afresh.

    Raises:
        ValueError: an argument out of range, a gate order that is no permutation or
            whose shapes clash.
"""

# The two networks draw from seeds far apart, so that no seed gives both the same.
GATING_SEED_OFFSET = 1_000_003


@keras.saving.register_keras_serializable(package="dlgn_keras")
class DGN(_GatedPair):
    __doc__ = f"""Deep gated network: a ReLU gating network, a linear value network.
{_GATED_ARGUMENTS}
    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DGN(dk.skeletons.c4gap(8), (32, 32, 3), num_classes=10)
        >>> net.sites[0]
        Site(name='conv_1', shape=(32, 32, 8))

    Reference: arXiv 2006.10529, section 3; arXiv 2110.03403, section 2.
    """

    family = "dgn"


@keras.saving.register_keras_serializable(package="dlgn_keras")
class DLGN(_GatedPair):
    __doc__ = f"""Deep linearly gated network: a DGN whose gating network is linear.
{_GATED_ARGUMENTS}
    Example:
        >>> import dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 16), (64,), num_classes=10, beta=10.0)
        >>> sorted(net.gating_network.output)
        ['dense_1', 'dense_2']

    Reference: arXiv 2110.03403, section 3.
    """

    family = "dlgn"
    has_linear_gates = True


FAMILIES = {"dnn": DNN, "dgn": DGN, "dlgn": DLGN}
register(count_weights, *FAMILIES.values())
