"""Explanation: what `explain` returns, how it prints and how it is drawn."""

from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.interpret.channels import channels_last
from dlgn_keras.interpret.sites import INPUT

TINY = float(np.finfo("float32").tiny)


class Explanation(NamedTuple):
    """`logit(i) = contributions[i].sum() + bias[i] + skipped[i]`, but for rounding.

    logits: (n, num_classes) float32; (n, *output_shape) of a model that ends in a map.
        With a `mode` those at its gates, which the terms add up to.
    contributions: (n, *input_shape) float32, `A(x) * z`: what each entry of the
        value network's input z adds to the logit at the gates of x. Of several inputs
        a list or {name: array}, as the model takes them. At a site (n, *its shape):
        the sum of all paths through each gate.
    bias: (n,) float64, `b(x)`: what biases and batch norm shifts add; at a site those
        whose paths start behind it. `bias_maps` takes them apart.
    target: (n,) int64, the class whose logit is explained; (n, axes of the output) in
        a map, the entry.
    value_input: "input": z is the preprocessed image and contributions are of its
        pixels; "ones": z is all ones, entry i is the sum of the paths that start
        at place i, and x acts through the gates alone (see `gate_contributions`).
    residual: (n,) float64, `logit - (contributions.sum() + bias + skipped)` where it
        was measured: sums are in float64, and the bias is the value network's own
        answer to an input of zeros at the same gates. At a site all are measured. At
        the input one example of each batch is, every one whose absolute contributions
        sum to more than 100 times its largest logit, and all where one of these is off
        by 1 %, or in half precision. For the others the bias is what the sum leaves of
        the logit, and this is NaN.
    at: "input" or the site.
    against: the class whose logit is subtracted, as `target`, or None.
    skipped: (n,) float64, what paths from the input add that do not cross the site; 0
        where all cross it.
    mode, beta: of the gates, where these are not the model's own; else None.
    own_logits: what the model itself answers, as `logits`: the same but with a `mode`.
    channels: axes of the channels of one example, at the input and in contributions:
        -1, or 0 in a Keras model with channels first.
    source: where `ladder` and `bias_maps` get more from: the model and the inputs. It
        is left behind when an explanation is pickled.
    """

    logits: np.ndarray
    contributions: Any
    bias: np.ndarray
    target: np.ndarray
    value_input: str
    residual: np.ndarray
    at: str = INPUT
    against: np.ndarray | None = None
    skipped: Any = 0.0
    channels: tuple[int, int] = (-1, -1)
    source: Any = None
    mode: str | None = None
    beta: float | None = None
    own_logits: Any = None

    def __repr__(self) -> str:
        """Return one line an example, ten at most."""
        sums = total(self.contributions)
        where = "" if self.at == INPUT else f" at {self.at}"
        skipped = np.broadcast_to(self.skipped, self.bias.shape)
        lines = []
        for i in range(min(10, len(self.target))):
            terms = f"{sums[i]:.4g} + bias {self.bias[i]:.4g}"
            if skipped[i]:
                terms += f" + paths that skip it {skipped[i]:.4g}"
            if not np.isnan(self.residual[i]):
                terms += f" + residual {self.residual[i]:.2g}"
            what = f"logit {self.logit(i):.4g} of {self.label(i)}"
            what += f" at {self.gates}" if self.gates else ""
            lines.append(f"{i}: {what} = contributions{where} {terms}")
        more = len(self.target) - len(lines)
        return "\n".join([*lines, f"... and {more} more"] if more > 0 else lines)

    @property
    def gates(self) -> str:
        """The gates that it holds at, such as "soft gates, beta 4"; "" for its own."""
        if self.mode is None:
            return ""
        slope = "" if self.beta is None else f", beta {self.beta:g}"
        return f"{self.mode} gates{slope}"

    def logit(self, i: int) -> float:
        """Return what is explained of example i: a logit, or a difference of two."""
        found = self.logits[(i, *np.atleast_1d(self.target[i]))]
        if self.against is not None:
            found = found - self.logits[(i, *np.atleast_1d(self.against[i]))]
        return float(found)

    def label(self, i: int, class_names: Any = None) -> str:
        """Return the name of what is explained of example i."""
        label = _name(self.target[i], class_names)
        if self.against is None:
            return label
        return f"{label} less {_name(self.against[i], class_names)}"

    def places(self, i: int) -> np.ndarray:
        """Return the contributions of example i, channels last."""
        return channels_last(self.contributions[i], self.channels[1])

    def missed(self) -> np.ndarray:
        """Return the absolute residual over the largest logit, (n,); NaN as there."""
        return np.abs(self.residual) / largest(self.logits)

    def cancelling(self) -> np.ndarray:
        """Return the sum of absolute contributions over the largest logit, (n,)."""
        absolute = keras.tree.map_structure(np.abs, self.contributions)
        return total(absolute) / largest(self.logits)

    def ladder(self, rungs: int = 6) -> dict[str, "Explanation"]:
        """Return {"input": ..., site: ...}: the same sum cut at ever later sites.

        Each rung adds up to the same logit. Pixels are the finest and cancel the most;
        nearer the output maps are coarser and less of them cancels. Sites are those
        that all paths from the input cross, at most `rungs - 1`, the last one included.
        The bias of a rung is what its sum leaves of the logit; `explain(at=site)`
        measures it.

        Raises:
            ValueError: an explanation that was pickled, or whose model has changed.
        """
        return self._more().ladder(rungs)

    def bias_maps(self) -> dict[str, np.ndarray]:
        """Return {layer: (n, *shape)}: what each shift adds; all sum to the bias.

        A bias, a batch norm shift or a constant starts paths at a layer, a place and a
        unit. Layers are named as in the value network, in the order of the data; those
        that add nothing are left out.

        Raises:
            ValueError: as `ladder`.

        Example:
            >>> import numpy as np, dlgn_keras as dk
            >>> net = dk.DNN(dk.skeletons.c4gap(4, depth=2), (6, 6, 1), 2, seed=0)
            >>> found = net.explain(np.ones((1, 6, 6, 1)))
            >>> maps = found.bias_maps()  # none: biases start at 0
            >>> bool(np.isclose(sum(m.sum() for m in maps.values()), found.bias[0]))
            True
        """
        return self._more().bias_maps()

    def plot(
        self, x: Any = None, class_names: Any = None, ladder: bool | None = None
    ) -> Any:
        """Draw inputs beside their contribution maps; return the Figure.

        Args:
            x: the raw inputs that were explained, (n, *input_shape); not needed if
                the explanation was not pickled.
            class_names: names for the classes, such as `net.class_names`.
            ladder: whether to draw a map for each rung of the ladder, from pixels to
                the last site, or this one alone; None draws it where it is at hand.
        """
        from dlgn_keras.interpret.plots import plot_contributions

        x = self._more().x if x is None else x
        one = isinstance(self.contributions, np.ndarray)
        at_hand = self.source is not None and one
        if at_hand if ladder is None else ladder:
            return plot_contributions(x, self.ladder(), class_names)
        return plot_contributions(x, self, class_names)

    def _more(self) -> Any:
        if self.source is None:
            raise ValueError(
                "An explanation that was pickled has left its model behind: explain "
                "the inputs again. Received: source=None."
            )
        return self.source


def total(contributions: Any) -> np.ndarray:
    """Return the sum over all entries of all inputs, (n,) float64."""
    parts = [
        part.reshape(len(part), -1).sum(axis=1, dtype="float64")
        for part in keras.tree.flatten(contributions)
    ]
    return np.sum(parts, axis=0)


def largest(logits: np.ndarray) -> np.ndarray:
    """Return the size of the largest logit of every example, never 0, (n,) float64."""
    size = np.abs(logits).reshape(len(logits), -1).max(axis=1)
    return np.maximum(size.astype("float64"), TINY)


def _name(output: Any, class_names: Any) -> str:
    if np.ndim(output):
        return f"entry {tuple(output.tolist())}"
    return class_names[int(output)] if class_names else f"class {int(output)}"
