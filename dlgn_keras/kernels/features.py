"""Random path features: the neural path kernel at the scale of whole data sets."""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.kernels.draws import WEIGHTS, Draw, RandomNetwork
from dlgn_keras.kernels.examples import check_examples, forward_size, read_examples
from dlgn_keras.kernels.plan import make_plan, on_skeleton
from dlgn_keras.tools.messages import check_choice, check_count
from dlgn_keras.tools.terminal import progress_bar


class Estimate(NamedTuple):
    """A Gram from random path features, and how far off it may be.

    gram: (n, m), the mean over draws.
    standard_error: (n, m), of each entry, from the scatter between draws.
    num_draws: independent draws behind it.
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

    Each draw is a value network with random weights of zero mean and unit
    variance under the model's gates; its heads share all lower layers, so that
    many heads per draw are cheap, and correlated. The same `seed` makes the same
    features of any inputs: those of training and test examples belong together.

    Args:
        net: a DNN, DGN or DLGN without max pooling.
        x: raw inputs (n, *input_shape).
        num_features: columns of F.
        seed: integer for the draws.
        heads: features per draw, at most the width of the last feature layer,
            which is the default: with orthogonal weights they are then that layer
            itself, the mean over all last layers.
        weights: "orthogonal" (scatters least), "gaussian" or "signs".
        normalize, bias_paths, mode: as in `npk`.
        batch_size: examples per forward pass; 32 to 512, by the size of the model,
            if None.
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
            # Keras on torch takes nested inputs as tensors all or none.
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
    """Return the NPK of `x` with `y` from random path features, with its error.

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
    # A last draw of fewer heads counts as much as it has heads.
    shares = [min(cut.stop, num_features) - cut.start for cut in cuts]
    gram = left @ right.T / num_features
    squares = np.zeros_like(gram)
    for cut, share in zip(cuts, shares, strict=True):
        one = left[:, cut] @ right[:, cut].T / share
        squares += (share / num_features) ** 2 * (one - gram) ** 2
    error = np.sqrt(squares * len(cuts) / (len(cuts) - 1))
    return Estimate(gram, error, len(cuts))


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
