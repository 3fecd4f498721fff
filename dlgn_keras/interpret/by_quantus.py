"""Scores of attributions by the toolkit Quantus, on the torch backend.

Quantus takes a torch module of channels first and multiplies some attributions by
changes of its inputs. It is given the network behind preprocessing, whose baseline is
all zeros, and for such measures an attribution's weights, `attribution / input`.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np

from dlgn_keras.interpret.attributions import METHODS, Attribution, baseline
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.passes import Model, check_net, value_inputs, value_logits

MEASURES = (
    "faithfulness correlation",
    "infidelity",
    "sensitivity",
    "completeness",
    "completeness gap",
    "randomisation",
    "complexity",
)
SIGNED = ("contributions", "input x gradient", "integrated gradients", "occlusion")


def quantus_scores(
    net: Model,
    x: Any,
    y: Any,
    methods: Mapping[str, Attribution] | None = None,
    patch: int = 4,
    runs: int = 50,
    seed: int = 0,
) -> dict[str, dict[str, np.ndarray]]:
    """Score attributions by six metrics of Quantus.

    - faithfulness correlation (higher is better): of the sum of attributions over
      random tenths of the entries with the drop of the logit without them;
    - infidelity (lower): mean squared difference between the drop of the logit and
      weights times change, while squares of `patch` pixels are blanked one by one;
    - sensitivity (lower): largest relative change of the attribution under noise;
    - completeness (higher): 1 where the attributions sum to the logit less that of
      the baseline, bit for bit; its gap (lower), which is ours, is their distance
      over that difference. Contributions sum to the logit less their bias instead;
    - randomisation (lower): similarity to the attribution of a random other class;
    - complexity (lower): entropy of the attribution's shares.

    Args:
        net: any model of this library that takes images.
        x, y: raw images and the classes to explain.
        methods: {name: attribution}, signed sums; the four of `METHODS` if None.
        patch: side of the squares; it must divide height and width.
        runs: random subsets of the faithfulness correlation.
        seed: of all that is random.

    Returns:
        {method: {measure: (n,)}}.

    Raises:
        ImportError: Quantus is not installed.
        ValueError: another Keras backend than torch, or no images.

    Reference: Hedström et al., "Quantus", JMLR 24 (2023).
    """
    if keras.backend.backend() != "torch":
        raise ValueError(
            "Quantus needs the Keras backend torch: set KERAS_BACKEND=torch. "
            f"Received: {keras.backend.backend()}."
        )
    if len(check_net(net).input_shape) != 4:
        raise ValueError(
            f"`net` must take images. Received: inputs of {net.input_shape[1:]}."
        )
    chosen = {k: METHODS[k] for k in SIGNED} if methods is None else methods
    side, y = _Side(net), np.asarray(y, int)
    z = side.first(net.preprocessed(np.asarray(x, "float32")))
    scores = {}
    for name, method in chosen.items():
        made = side.explainer(method)
        scores[name] = _measured(side.module(), z, y, made, (patch, runs, seed))
    return scores


def _measured(
    module: Any, z: np.ndarray, y: np.ndarray, made: Callable, sizes: tuple
) -> dict[str, np.ndarray]:
    """Return the measures of one method."""
    import quantus  # pyright: ignore[reportMissingImports]

    patch, runs, seed = sizes
    quiet = {"disable_warnings": True, "normalise": False, "return_aggregate": False}
    blank = {"perturb_baseline": 0.0, **quiet}
    tenth = max(z[0].size // 10, 1)
    shares = made(module, z, y)
    weights = np.where(z == 0, 0, shares / np.where(z == 0, 1, z))
    metrics = {
        "faithfulness correlation": quantus.FaithfulnessCorrelation(
            nr_runs=runs, subset_size=tenth, **blank
        ),
        "infidelity": quantus.Infidelity(
            perturb_patch_sizes=[patch], n_perturb_samples=1, **blank
        ),
        "sensitivity": quantus.MaxSensitivity(nr_samples=5, **quiet),
        "completeness": quantus.Completeness(**blank),
        "randomisation": quantus.RandomLogit(num_classes=module.num_classes, **quiet),
        "complexity": quantus.Complexity(**quiet),
    }
    found = {}
    for name, metric in metrics.items():
        np.random.seed(seed)  # noqa: NPY002 (Quantus draws from the global generator)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scores = metric(
                model=module,
                x_batch=z,
                y_batch=y,
                a_batch=weights if name == "infidelity" else shares,
                explain_func=made,
                channel_first=True,
                softmax=False,
                batch_size=len(z),
            )
        found[name] = np.asarray(scores, float)
    change = _logits(module, z, y) - _logits(module, np.zeros_like(z), y)
    gap = np.abs(shares.reshape(len(z), -1).sum(1, dtype=float) - change)
    found["completeness gap"] = gap / np.maximum(np.abs(change), 1e-6)
    return {name: found[name] for name in MEASURES}


def _logits(module: Any, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    import torch

    with torch.no_grad():
        found = module(torch.as_tensor(z, dtype=torch.float32)).cpu().numpy()
    return found[np.arange(len(y)), y].astype(float)


class _Side:
    """A model as Quantus sees it: preprocessed inputs, channels first."""

    def __init__(self, net: Model) -> None:
        self.net, self.zero = net, baseline(net)
        with warnings.catch_warnings():  # the probe is no image
            warnings.simplefilter("ignore")
            self.scale = net.preprocessed(self.zero[None] + 1)[0]
        self.last = channel_axis(net) == -1

    def first(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, -1, 1) if self.last else x

    def own(self, x: np.ndarray) -> np.ndarray:
        return np.moveaxis(x, 1, -1) if self.last else x

    def explainer(self, method: Attribution) -> Callable[..., np.ndarray]:
        """Return a method as Quantus calls it."""

        def explain(model: Any, inputs: Any, targets: Any, **_: Any) -> np.ndarray:
            raw = self.own(np.asarray(inputs, "float32")) / self.scale + self.zero
            with warnings.catch_warnings():  # noise leaves the range of pixels
                warnings.filterwarnings("ignore", message=".*: raw inputs lie in")
                return self.first(method(self.net, raw, np.asarray(targets, int)))

        return explain

    def module(self) -> Any:
        import torch

        net, last = self.net, self.last

        class Logits(torch.nn.Module):
            """The network behind preprocessing; its parts are no parts of this one."""

            num_classes = net.num_classes

            def forward(self, z: Any) -> Any:
                z = torch.movedim(z, 1, -1) if last else z
                return value_logits(net, *value_inputs(net, z))

        return Logits().eval()
