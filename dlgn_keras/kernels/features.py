"""Random path features: the neural path kernel at the scale of whole data sets.

With weights of zero mean and unit variance every logit is a random path feature:
`E[y(x) y(x')]` is the neural path kernel, for any width. In deep nets magnitudes
exceed the range of float32, so the gates at the skeleton's top level are divided by
known scales, and the features are multiplied by these scales in float64 at the end.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.kernels.plan import Plan, make_plan, on_skeleton
from dlgn_keras.kernels.tiles import check_examples, forward_size, read_examples
from dlgn_keras.layers import Gated
from dlgn_keras.models import Network, value_model
from dlgn_keras.skeletons import walk
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.terminal import progress_bar

WEIGHTS = ("orthogonal", "gaussian", "signs")


class Estimate(NamedTuple):
    """A Gram from random path features, with its standard error.

    gram: (n, m), the mean over draws.
    standard_error: (n, m), of each entry, from the spread between draws.
    num_draws: number of independent draws.
    """

    gram: np.ndarray
    standard_error: np.ndarray
    num_draws: int


def path_features(
    net: Any,
    x: Any,
    num_features: int = 2048,
    seed: int = 0,
    *,
    heads: int | None = None,
    weights: str = "orthogonal",
    normalize: bool = False,
    bias_paths: bool = True,
    mode: str | None = None,
    batch_size: int | None = None,
    progress: bool | None = None,
) -> np.ndarray:
    """Return features F with `F F^T / num_features` an unbiased estimate of the NPK.

    Each draw is a value network under the model's gates, with random weights of zero
    mean and unit variance. Its heads share all lower layers, so many heads per draw
    are cheap, but correlated. The same `seed` draws the same networks for any inputs:
    training and test features made with one seed share a feature space.

    Args:
        net: a DNN, DGN or DLGN.
        x: raw inputs (n, *input_shape).
        num_features: columns of F.
        seed: integer for the draws.
        heads: features per draw, at most the width of the last feature layer,
            which is the default: with orthogonal weights the heads then rotate that
            layer and keep its inner products, the mean over all last layers.
        weights: "orthogonal" (least variance), "gaussian" or "signs".
        normalize, bias_paths, mode: as in `npk`.
        batch_size: examples per forward pass; if None, 32 to 512, by the size of the
            model.
        progress: whether to draw a progress bar; on a terminal if None.

    Returns:
        array (n, num_features), float64.

    Raises:
        ValueError: as `npk`, or heads beyond the width of the last layer.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(4), (8, 8, 1), num_classes=2)
        >>> x = np.random.default_rng(0).normal(size=(5, 8, 8, 1))
        >>> dk.kernels.path_features(net, x, num_features=12).shape
        (5, 12)

    Reference: E[y y'] = H for unit weights, see arXiv 2006.10529, section 3.
    """
    net = on_skeleton(net)
    x = check_examples(net, "x", x)
    random, draws = _draws(
        net, num_features, seed, heads, weights, normalize, bias_paths
    )
    features = np.empty((len(x), num_features))
    size = forward_size(net) if batch_size is None else batch_size
    size = min(check_count("batch_size", size), len(x))
    steps = -(-len(x) // size) * len(draws)
    with progress_bar("path features", steps, progress) as advance:
        for start in range(0, len(x), size):
            rows = slice(start, min(start + size, len(x)))
            number = rows.stop - rows.start
            # Every pass has the same size, so that it is compiled once.
            repeated = np.resize(x[rows], (size, *x.shape[1:]))
            made, end = read_examples(net, repeated, mode), 0
            # On torch, Keras takes nested inputs only if all or none are tensors.
            inputs = keras.ops.convert_to_tensor(made.inputs)
            gates = random.scaled(made.gates)
            for draw in draws:
                found = random.features(draw, inputs, gates)[:number]
                features[rows, end : end + found.shape[1]] = found
                end += found.shape[1]
                advance(1)
    if not np.isfinite(features).all():
        raise ValueError(
            "`net` must be shallow enough for its paths to be summed in float32; "
            f"its {len(net.sites)} sites are too many. Use npk, or normalize=True."
        )
    return features


def npk_estimate(
    net: Any,
    x: Any,
    y: Any = None,
    num_features: int = 2048,
    seed: int = 0,
    **options: Any,
) -> Estimate:
    """Estimate the NPK of `x` with `y`, and the standard error, from path features.

    Args:
        net, x, num_features, seed: as in `path_features`.
        y: raw inputs (m, *input_shape); None for `x` itself.
        options: further arguments of `path_features`.

    Raises:
        ValueError: as `path_features`, or fewer than two draws.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 4), (3,), num_classes=2)
        >>> dk.kernels.npk_estimate(net, np.ones((2, 3)), num_features=40).num_draws
        10
    """
    net = on_skeleton(net)
    left = path_features(net, x, num_features, seed, **options)
    right = left if y is None else path_features(net, y, num_features, seed, **options)
    heads = options.get("heads") or _width(net)
    cuts = [slice(k, k + heads) for k in range(0, num_features, heads)]
    if len(cuts) < 2:
        raise ValueError(
            "`num_features` must be more than `heads`, for two draws at least. "
            f"Received: num_features={num_features}, heads={heads}."
        )
    # Draws are weighted by their number of heads: the last may have fewer.
    shares = [min(cut.stop, num_features) - cut.start for cut in cuts]
    gram = left @ right.T / num_features
    squares = np.zeros_like(gram)
    for cut, share in zip(cuts, shares, strict=True):
        one = left[:, cut] @ right[:, cut].T / share
        squares += (share / num_features) ** 2 * (one - gram) ** 2
    error = np.sqrt(squares * len(cuts) / (len(cuts) - 1))
    return Estimate(gram, error, len(cuts))


def draw_kernel(rng: np.random.Generator, shape: tuple, weights: str) -> np.ndarray:
    """Return entries of zero mean and unit variance, uncorrelated with each other.

    An orthogonal kernel, reshaped to (window * inputs, units), is a scaled, uniformly
    random frame.
    """
    if weights == "signs":
        return rng.choice([-1.0, 1.0], shape)
    normal = rng.standard_normal((int(np.prod(shape[:-1])), shape[-1]))
    if weights == "gaussian":
        return normal.reshape(shape)
    tall = normal if normal.shape[0] >= normal.shape[1] else normal.T
    frame, triangle = np.linalg.qr(tall)
    frame = frame * np.where(np.diag(triangle) < 0, -1, 1) * np.sqrt(len(frame))
    return (frame if tall is normal else frame.T).reshape(shape)


class Draw(NamedTuple):
    """Weights of one random value network.

    layers: {stage: (kernel, bias or None)}; a bias stands for a batch-norm offset.
    heads: (features, heads), the last layer. offsets: (heads,), its biases.
    """

    layers: dict[str, tuple[np.ndarray, np.ndarray | None]]
    heads: np.ndarray
    offsets: np.ndarray


class RandomNetwork:
    """A separate value network whose weights are set draw by draw.

    Args:
        net: the model whose skeleton and sites the network shares.
        plan: the model's plan: its biases, and the divisors of its sums.
        weights: kind of the draws, see `draw_kernel`.
    """

    def __init__(self, net: Any, plan: Plan, weights: str) -> None:
        self.plan, self.weights = plan, weights
        self.network = Network(net.skeleton, None, True, "zeros", None)
        shape = tuple(net.input_shape[1:])
        self.model = value_model(self.network, shape, dict(net.sites))
        self.num_units = int(self.model.output_shape[-1])
        self.kernels = {
            name: tuple(layer.affine.kernel.shape)
            for name, layer in self.network.layers.items()
            if isinstance(layer, Gated)
        }
        for name in self.kernels:  # batch norm only adds an offset
            norm: Any = self.network.layers[name].batch_norm
            if norm is not None:
                one = np.ones(norm.moving_variance.shape)
                norm.moving_variance.assign(one - norm.epsilon)
        self.scales, self.scale_after = self._scales()

    def _scales(self) -> tuple[dict[str, float], dict[str, float]]:
        """Return {site: divisor of its gates}, {stage: product of those before it}."""
        divisors, before, product = {}, {}, 1.0
        for stage in self.plan.stages:
            growth = 1.0
            for part in walk((stage,)):
                before[part.name] = product
                if part.name in self.kernels:
                    fan = np.prod(self.kernels[part.name][:-1])
                    growth *= max(1.0, fan / 2 / self.plan.fan_in[part.name]) ** 0.5
            if stage.gated:
                divisors[stage.name] = growth
                product *= growth
        return divisors, {**before, "features": product}

    def draw(self, rng: np.random.Generator, heads: int) -> Draw:
        """Draw all weights of one network with some heads."""
        plan, layers = self.plan, {}
        for name, shape in self.kernels.items():
            kernel = draw_kernel(rng, shape, self.weights) / plan.fan_in[name] ** 0.5
            bias = None
            if name in plan.biases:
                bias = rng.choice([-1.0, 1.0], shape[-1]) / self.scale_after[name]
            layers[name] = kernel.astype("float32"), bias
        last = draw_kernel(rng, (self.num_units, heads), self.weights)
        last = last * self.scale_after["features"] / plan.fan_in["logits"] ** 0.5
        offsets = rng.choice([-1.0, 1.0], heads) * ("logits" in plan.biases)
        return Draw(layers, last, offsets)

    def scaled(self, gates: dict[str, np.ndarray]) -> dict[str, Any]:
        """Return gates as tensors, divided by the known scales."""
        return {
            site: keras.ops.convert_to_tensor(
                (gate / self.scales.get(site, 1.0)).astype("float32")
            )
            for site, gate in gates.items()
        }

    def load(self, draw: Draw) -> None:
        """Give the network the weights of a draw."""
        for name, (kernel, bias) in draw.layers.items():
            layer: Any = self.network.layers[name]
            layer.affine.kernel.assign(kernel)
            # As in the model, the offset is in the batch norm if there is one.
            norm = layer.batch_norm
            offset = layer.affine.bias if norm is None else norm.beta
            offset.assign(np.zeros(kernel.shape[-1]) if bias is None else bias)

    def features(self, draw: Draw, inputs: Any, gates: dict[str, Any]) -> np.ndarray:
        """Return the outputs of a draw's network, (n, heads) float64.

        Args:
            draw: the weights.
            inputs: tensor (n, *input_shape).
            gates: as `scaled` returns them.
        """
        self.load(draw)
        found = self.model.predict_on_batch([inputs, gates])
        return np.asarray(found, np.float64) @ draw.heads + draw.offsets


def _width(net: Any) -> int:
    return int(net.parameters("value")["logits"].kernel.shape[0])


def _draws(
    net: Any,
    num_features: int,
    seed: int,
    heads: int | None,
    weights: str,
    normalize: bool,
    bias_paths: bool,
) -> tuple[RandomNetwork, list[Draw]]:
    check_count("num_features", num_features)
    check_choice("weights", weights, WEIGHTS)
    width = _width(net)
    heads = width if heads is None else check_count("heads", heads)
    if heads > width:
        raise ValueError(
            f"`heads` must be at most the width of the last feature layer, {width}. "
            f"Received: heads={heads}."
        )
    random = RandomNetwork(net, make_plan(net, normalize, bias_paths), weights)
    rng = np.random.default_rng(seed)
    starts = range(0, num_features, heads)
    draws = [random.draw(rng, min(heads, num_features - k)) for k in starts]
    return random, draws
