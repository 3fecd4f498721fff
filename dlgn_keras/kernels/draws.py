"""Random value networks: weights of zero mean and unit variance, drawn again and again.

With such weights every logit is a random path feature: `E[y(x) y(x')]` is the
neural path kernel, for any width. Magnitudes grow with depth beyond float32's
range in deep nets, so the gates at the skeleton's top level are divided by known
numbers, and the features are multiplied by them in float64 at the end.
"""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.kernels.plan import Plan
from dlgn_keras.layers import Gated
from dlgn_keras.models import Network, value_model
from dlgn_keras.skeletons import walk

WEIGHTS = ("orthogonal", "gaussian", "signs")


def draw_kernel(rng: np.random.Generator, shape: tuple, weights: str) -> np.ndarray:
    """Return entries of zero mean and unit variance, uncorrelated with each other.

    Orthogonal ones are a uniformly random frame between the inputs (times the
    window) and the units, scaled: what one unit sees, the others see less of.
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
    """A value network of its own whose weights are set draw by draw.

    Args:
        net: the model whose skeleton and sites it has.
        plan: the model's plan: which biases count, what sums are divided by.
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
        for name in self.kernels:  # batch norm passes what comes, but for an offset
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
            if getattr(stage, "gated", False):
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
        """Return gates as tensors, divided by what keeps the numbers in range."""
        return {
            site: keras.ops.convert_to_tensor(
                (gate / self.scales.get(site, 1.0)).astype("float32")
            )
            for site, gate in gates.items()
        }

    def load(self, draw: Draw) -> None:
        """Make the network that of a draw."""
        for name, (kernel, bias) in draw.layers.items():
            layer: Any = self.network.layers[name]
            layer.affine.kernel.assign(kernel)
            # An offset stands where the model has it: in the batch norm, if any.
            norm = layer.batch_norm
            offset = layer.affine.bias if norm is None else norm.beta
            offset.assign(np.zeros(kernel.shape[-1]) if bias is None else bias)

    def features(self, draw: Draw, inputs: Any, gates: dict[str, Any]) -> np.ndarray:
        """Return (n, heads) float64: what a draw's network makes of some inputs.

        Args:
            draw: the weights.
            inputs: tensor (n, *input_shape).
            gates: what `scaled` returned.
        """
        self.load(draw)
        found = self.model.predict_on_batch([inputs, gates])
        return np.asarray(found, np.float64) @ draw.heads + draw.offsets
