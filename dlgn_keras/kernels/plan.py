"""Plan: the part of the state that the kernel recursion keeps after each stage.

For two examples, the recursion carries the inner product of their path features up to
a stage. Later stages may read all of it or a small part, at costs that differ by
orders of magnitude. The plan determines this once, from the last stage to the first:

- *pairs*: whether entries between different positions are read (by pooling), or
  only the diagonal (nets that flatten: cost S instead of S^2);
- *apart*: whether channels are read one by one (by the gate after an identity
  shortcut, or by groups), or only their sum (by every other weight layer).
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

from dlgn_keras.models import DisentangledModel, as_gated_model
from dlgn_keras.skeletons import (
    AveragePool,
    Conv,
    Dense,
    Flatten,
    GlobalPool,
    MaxPool,
    Residual,
    Stage,
    output_shapes,
    walk,
)
from dlgn_keras.skeletons.rules import StageRules


class Needs(NamedTuple):
    """The parts of a stage's output that later stages read."""

    apart: bool
    pairs: bool


@dataclass(frozen=True)
class Plan:
    """A model's kernel recursion as plain data: small, and safe to send to workers.

    Args:
        stages: the skeleton's stages, without a leading Flatten.
        input_shape: shape of one value input, flattened if the skeleton starts with a
            Flatten.
        shapes: output shape by stage name.
        needs: parts of each stage's output that are read, by stage name.
        start: parts of the inputs' inner products that are read.
        biases: names of the weight stages ("logits" is one) at which a bias or a
            batch-norm offset starts paths; empty to leave those paths out.
        fan_in: divisor of each weight stage's sum over input units: their number in
            the normalised kernel, else 1.
    """

    stages: tuple[Stage, ...]
    input_shape: tuple[int, ...]
    shapes: dict[str, tuple[int, ...]]
    needs: dict[str, Needs]
    start: Needs
    biases: frozenset[str]
    fan_in: dict[str, int]

    @property
    def sites(self) -> tuple[str, ...]:
        return tuple(s.name for s in walk(self.stages) if s.gated)


def make_plan(net: Any, normalize: bool, bias_paths: bool) -> Plan:
    """Return the plan of a DNN, DGN or DLGN.

    Raises:
        ValueError: not a model of this library, or a residual block whose branches
            both have a path without weights.
    """
    check_model(net)
    NEEDS.check(net.skeleton.stages)
    stages, shape = net.skeleton.stages, tuple(net.input_shape[1:])
    shapes = output_shapes(net.skeleton, shape)
    if isinstance(stages[0], Flatten):
        shape, stages = shapes[stages[0].name], stages[1:]
    needs: dict[str, Needs] = {}
    start = _backwards(stages, Needs(apart=False, pairs=False), needs)
    arguments = net.arguments
    use_bias = bool(arguments.get("use_bias", arguments.get("value_bias", False)))
    biases = {"logits"} if use_bias else set()
    for stage in walk(stages):
        # A layer followed by batch norm has batch norm's offset in place of a bias.
        batch_norm = getattr(stage, "batch_norm", None)  # None: no weights
        batch_norm = batch_norm and arguments.get("value_norm") != "scale"
        if batch_norm or (use_bias and batch_norm is not None):
            biases.add(stage.name)
    starts = frozenset(biases if bias_paths else ())
    groups = {stage.name: getattr(stage, "groups", 1) for stage in walk(stages)}
    fan_in = {
        name: layer.kernel.shape[-2] // groups.get(name, 1) if normalize else 1
        for name, layer in net.parameters("value").items()
    }
    return Plan(stages, shape, shapes, needs, start, starts, fan_in)


def on_skeleton(net: Any) -> Any:
    """Return `net`; convert the twin of a Keras model to a model on a skeleton.

    Raises:
        ValueError: the graph of a twin is not a skeleton; the error names the layer.
    """
    return as_gated_model(net) if isinstance(net, DisentangledModel) else net


def check_model(net: Any) -> None:
    """Raise a ValueError unless `net` is a model whose paths the kernels can follow."""
    ours = all(hasattr(net, name) for name in ("skeleton", "gates", "value_inputs"))
    if not ours:
        raise ValueError(
            "`net` must be a dk.DNN, dk.DGN or dk.DLGN; a Keras model becomes one by "
            "dk.models.as_gated_model(dk.disentangle(model)). "
            f"Received: {type(net).__name__} {getattr(net, 'name', '')!r}."
        )


def _backwards(
    stages: tuple[Stage, ...], after: Needs, needs: dict[str, Needs]
) -> Needs:
    """Record the needs after each stage; return the needs of the input."""
    for stage in reversed(stages):
        needs[stage.name] = after
        after = NEEDS(stage, after, needs)
    return after


# stage, needs of its output, needs recorded so far -> needs of its input
NEEDS = StageRules("The neural path kernel")


@NEEDS.rule(MaxPool, "window")
def _select(stage: MaxPool, after: Needs, needs: dict[str, Needs]) -> Needs:
    return Needs(apart=True, pairs=True)


@NEEDS.rule(Dense, "affine", "gated")
def _dense(stage: Dense, after: Needs, needs: dict[str, Needs]) -> Needs:
    return Needs(apart=False, pairs=False)


@NEEDS.rule(Conv, "window", "affine", "gated")
def _conv(stage: Conv, after: Needs, needs: dict[str, Needs]) -> Needs:
    return Needs(apart=stage.groups > 1, pairs=after.pairs)


@NEEDS.rule(AveragePool, "window")
@NEEDS.rule(GlobalPool)
def _mean(stage: Stage, after: Needs, needs: dict[str, Needs]) -> Needs:
    return Needs(after.apart, pairs=True)


@NEEDS.rule(Flatten)
def _flatten(stage: Flatten, after: Needs, needs: dict[str, Needs]) -> Needs:
    return Needs(after.apart, pairs=False)


@NEEDS.rule(Residual, "body", "shortcut", "gated")
def _add(stage: Residual, after: Needs, needs: dict[str, Needs]) -> Needs:
    if _weight_free(stage.body) and _weight_free(stage.shortcut):
        raise ValueError(
            f"A branch of {stage.name!r} must have weights on all of its ways: two "
            "ways without any make one path, and their features add before they are "
            "multiplied. Put a Dense or Conv stage into the body."
        )
    inside = Needs(after.apart or stage.gated, after.pairs)
    body = _backwards(stage.body, inside, needs)
    shortcut = _backwards(stage.shortcut, inside, needs)
    return Needs(body.apart or shortcut.apart, body.pairs or shortcut.pairs)


def _weight_free(stages: tuple[Stage, ...]) -> bool:
    """Return whether some path through the stages has no weights."""
    for stage in stages:
        if hasattr(stage, "batch_norm"):
            return False
        if isinstance(stage, Residual):
            if not (_weight_free(stage.body) or _weight_free(stage.shortcut)):
                return False
    return True
