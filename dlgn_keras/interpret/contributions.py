"""Exact contributions: every logit as a sum over the value network's input and gates.

At the gates of an input the value network is affine in its own input z,
`logits = A(x) z + b(x)`. Its gradient is the row of A, whatever the model is made of.
It is affine in the gates of a site too: the paths through each gate add up.
"""

import warnings
from typing import Any

import keras
import numpy as np

from dlgn_keras.interpret.bias_maps import bias_maps
from dlgn_keras.interpret.channels import channel_axis
from dlgn_keras.interpret.explanation import Explanation, largest, total
from dlgn_keras.interpret.passes import (
    Model,
    Passes,
    constants,
    explaining,
    explaining_all,
    explaining_gates,
    explaining_site,
)
from dlgn_keras.interpret.sites import (
    AUTO,
    INPUT,
    check_at,
    crossed_sites,
    cuttable,
    rungs,
)
from dlgn_keras.tools.messages import check_count

# Float32 keeps about 1e-7 of the sum of absolute contributions, times a factor that
# grows with the depth. It is measured from this multiple of the largest logit on, and
# a residual above this share of it is told.
CANCELLING, TOLERANCE = 100.0, 0.01
# at="auto": the sum of absolute contributions is at most this many largest logits.
LIMIT = 3.0


def explain(
    net: Model,
    x: Any,
    target: Any = None,
    at: str = INPUT,
    against: Any = None,
    batch_size: int = 32,
    mode: str | None = None,
    beta: float | None = None,
) -> Explanation:
    """Take logits apart, exactly: `logit = sum(contributions) + bias`.

    At the gates of x the value network is affine in its input z,
    `logits = A(x) z + b(x)`. One forward pass gives the gates, one backward pass
    the row of A; `b = logit - A z`. z is x after preprocessing, `x * scale + offset`:
    a pixel that preprocessing maps to 0 contributes nothing.

    The logit is linear in the gates G of a site too. `at=site` gives
    `c[u] = G[u] dlogit/dG[u]`, the sum of all paths through gate u, and the bias is
    what starts behind the site. Maps nearer the output are coarser, less of them
    cancels, and they lie where the evidence is. Where paths skip the site (inside a
    residual block), `skipped` is what these add.

    The sum is exact but for rounding, which grows with the contributions that cancel:
    some 1e-6 of the logit in float32. A `mixed_bfloat16` model computes with 8 bits,
    and there a sum may miss the logit by 1 %; explain it in float32 for more.
    `residual` is what is left over: b is computed on its own for one example of each
    batch and wherever contributions cancel to less than a hundredth. A warning tells
    if a residual exceeds 1 % of the largest logit.

    `mode="soft"` feeds the value network of a hard-gated model with soft gates,
    `sigmoid(beta q)` of the same pre-activations q (and a softmax where a pooling
    selects). Units near their threshold then count in part, and maps are smoother.
    The row of A is the gradient with soft gates in the backward pass alone, known as a
    pullback. Contributions and bias add up to the logit *at the soft gates*, `logits`,
    which is not the model's own, `own_logits`; for a large beta it is.

    Args:
        net: a DNN, DGN or DLGN, or the twin that `dk.disentangle` makes of a Keras
            model; batch norm runs at inference.
        x: raw inputs (n, *input_shape), as `predict` takes them.
        target: class to explain, one for all or one per example; None takes each
            example's predicted class. Of a model that ends in a map, such as a
            segmentation, an entry (row, column, channel); None takes the largest.
        at: "input", a site of `net.sites`, or "auto": of the input and the sites that
            all paths cross, the first one where absolute contributions sum to no more
            than 3 times the largest logit (in the median example; else the one with
            the least).
        against: a second class, as `target`, or "next", the largest other logit:
            contributions are to the difference of the two logits.
        batch_size: number of examples held at a time; 32 stay in a
            processor's cache.
        mode: gates of the value network, "hard" or "soft"; None takes the model's own.
            The predicted class is the model's own either way.
        beta: slope of soft gates, per unit of pre-activation; the model's own, else 4,
            if None.

    Returns:
        Explanation, a NamedTuple.

    Raises:
        TypeError: `net` is no model of this library.
        ValueError: x of another shape, a target that is no class, no such site; a mode
            for a model without gates that switch.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(8), (8, 8, 3), num_classes=10, seed=0)
        >>> e = explain(net, np.ones((2, 8, 8, 3)), target=3, at="conv_4", against=5)
        >>> e.contributions.shape
        (2, 8, 8, 8)
        >>> difference = e.logits[:, 3] - e.logits[:, 5]
        >>> np.allclose(e.contributions.sum((1, 2, 3)) + e.bias, difference, atol=1e-6)
        True

    Reference: arXiv 2110.03403, section 2 (dual linearity); arXiv
    2507.22832 (pullbacks).
    """
    run = Passes(net, x, target, batch_size, against, mode, beta)
    if check_at(net, at) == AUTO:
        at = _finest(run)
    found = _at_input(run) if at == INPUT else _at_site(run, at)
    explanation = _explanation(run, at, **found)
    _warn_of_rounding(net.name, explanation.missed())
    return explanation


def gate_contributions(
    net: Model,
    x: Any,
    target: Any = None,
    batch_size: int = 64,
    mode: str | None = None,
    beta: float | None = None,
) -> dict[str, np.ndarray]:
    """Return, for every gate, the sum of all paths through it.

    `c[u] = G[u] dlogit/dG[u]`: the logit is linear in each gate, so this part of it
    would go if gate u closed and the other gates stayed. At a site that every path
    crosses (any chain; the gate after a residual addition) the entries add up to the
    logit less the biases behind the site.

    Args:
        net, x, target, batch_size, mode, beta: as in `explain`.

    Returns:
        {site: (n, *shape) float32}, less the sites of a twin whose gates divide.

    Raises:
        TypeError, ValueError: as `explain`.

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.fc(2, 8), (4,), 3, value_input="ones", seed=0)
        >>> gate_contributions(net, np.ones((5, 4)))["dense_1"].shape
        (5, 8)

    Reference: arXiv 2006.10529, section 2 (a path is a product of its gates).
    """
    run = Passes(net, x, target, batch_size, None, mode, beta)
    found = run("gate_contributions", explaining_gates)
    return {site: found[site] for site in cuttable(net)}


class _Source:
    """Where an explanation gets more from: the passes it came of, what they chose."""

    def __init__(self, run: Passes, logits: np.ndarray, at: str) -> None:
        self.run = run
        self.logits = logits
        self.at = at

    def __reduce__(self) -> Any:
        return type(None), ()  # a pickled explanation has its numbers and no model

    @property
    def x(self) -> Any:
        return self.run.x

    def ladder(self, number: int) -> dict[str, Explanation]:
        sites = rungs(self.run.net)
        few = min(check_count("rungs", number) - 1, len(sites))
        picked = np.linspace(len(sites) / max(few, 1) - 1, len(sites) - 1, few)
        return self.same(_rungs(self.run, tuple(sites[int(k + 0.5)] for k in picked)))

    def bias_maps(self) -> dict[str, np.ndarray]:
        self.same(_rungs(self.run, ()))
        made = self.run(f"bias maps at {self.at}", lambda net: bias_maps(net, self.at))
        return {name: values for name, values in made.items() if values.any()}

    def same(self, found: dict[str, Explanation]) -> dict[str, Explanation]:
        """Return explanations if the model still gives the same logits."""
        now = next(iter(found.values())).logits
        if np.abs(now - self.logits).max() > TOLERANCE * largest(self.logits).max():
            raise ValueError(
                "The model has changed since it was explained: explain the inputs "
                "again. Received: other logits."
            )
        return found


def _explanation(run: Passes, at: str, **found: Any) -> Explanation:
    """Return the fields in the shapes of the model's outputs."""
    net, shape = run.net, run.net.output_shape[1:]

    def places(flat: np.ndarray) -> np.ndarray:
        flat = flat.astype("int64")
        if len(shape) == 1:
            return flat
        return np.stack(np.unravel_index(flat, shape), axis=1)

    against = places(run.against) if (run.against >= 0).any() else None
    logits = found.pop("logits").reshape(-1, *shape)
    own = logits if run.mode is None else run.own_logits.reshape(-1, *shape)
    return Explanation(
        logits=logits,
        target=places(run.target),
        value_input=net.value_input,
        at=at,
        against=against,
        channels=(channel_axis(net), channel_axis(net, at)),
        source=_Source(run, logits, at),
        mode=run.mode,
        beta=run.beta,
        own_logits=own,
        **found,
    )


def _explained(run: Passes, found: dict[str, Any]) -> np.ndarray:
    """Keep the classes that the passes chose; return what is explained, (n,)."""
    run.target, run.against = found["target"], found["against"]
    rows, logits = np.arange(len(run.target)), found["logits"].astype("float64")
    second = np.where(run.against < 0, 0, logits[rows, run.against])
    return logits[rows, run.target] - second


def _at_input(run: Passes) -> dict[str, Any]:
    """Return the fields at the input; the bias is measured where much cancels."""
    found = run("explain", explaining)
    logit, contributions = _explained(run, found), found["contributions"]
    bias, sums = found["bias"].astype("float64"), total(contributions)
    size = largest(found["logits"])
    absolute = total(keras.tree.map_structure(np.abs, contributions))
    doubtful = absolute > _cancelling(run.net) * size
    if (np.abs(logit - sums - bias) > TOLERANCE * size).any():
        doubtful[:] = True
    doubtful &= np.isnan(bias)
    if doubtful.any():
        bias[doubtful] = run("bias", constants, doubtful)
    residual = logit - sums - bias
    return {
        "logits": found["logits"],
        "contributions": contributions,
        "bias": np.where(np.isnan(bias), logit - sums, bias),
        "skipped": np.zeros(len(bias)),
        "residual": residual,
    }


def _at_site(run: Passes, site: str) -> dict[str, Any]:
    """Return the fields at a site; what does not cross it is measured."""
    skips = site not in crossed_sites(run.net)
    found = run(f"explain at {site}", lambda net: explaining_site(net, site, skips))
    rest = _explained(run, found) - total(found["contributions"])
    bias, skipped = (found[k].astype("float64") for k in ("bias", "skipped"))
    fields = {k: found[k] for k in ("logits", "contributions")}
    residual = rest - bias - skipped
    return {**fields, "bias": bias, "skipped": skipped, "residual": residual}


def _rungs(run: Passes, sites: Any) -> dict[str, Explanation]:
    """Return the explanations at the input and at sites that all paths cross."""
    name = f"explain at {' '.join(sites)}, all"
    found = run(name, lambda net: explaining_all(net, sites))
    logit, made = _explained(run, found), {}
    for at in (INPUT, *sites):
        values = found["contributions"][at]
        fields = {"logits": found["logits"], "contributions": values}
        unknown = np.full(len(logit), np.nan)
        fields |= {"bias": logit - total(values), "residual": unknown}
        made[at] = _explanation(run, at, skipped=np.zeros(len(logit)), **fields)
    return made


def _finest(run: Passes) -> str:
    """Return the first rung where little cancels, or the one where least does."""
    found = _rungs(run, rungs(run.net))
    shares = {at: float(np.median(e.cancelling())) for at, e in found.items()}
    few = [at for at, share in shares.items() if share <= LIMIT]
    return few[0] if few else min(shares, key=lambda at: shares[at])


def _cancelling(net: Any) -> float:
    """Return the sum of absolute contributions, in logits, that calls for a check."""
    known = {getattr(layer, "compute_dtype", "") for layer in net._flatten_layers()}
    return 0 if known & {"float16", "bfloat16"} else CANCELLING


def _warn_of_rounding(name: str, missed: np.ndarray) -> None:
    number = int((missed > TOLERANCE).sum())
    if number:
        warnings.warn(
            f"{name}: contributions and bias miss the logit in {number} of "
            f"{len(missed)} examples, by up to {np.nanmax(missed):.0%} of the largest "
            "logit: so much cancels that rounding shows. See `residual`.",
            stacklevel=3,
        )
