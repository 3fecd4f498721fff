"""A functional Keras model as pure data: its layers and the order they are called in.

What a skeleton is to our own models: two trunks are built from it, and it goes to
json and back. Nested models are inlined, fused activations are steps of their own,
and a softmax at the end is left out.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

STEP = "__step__"  # marks a tensor in a step's arguments, as json holds them


class Gate(NamedTuple):
    """An operand of a product that multiplies the others.

    step: whose output it is. made: the bounded activation that it ends in, behind
    which there are steps that scale and reshape alone; None for none.
    shape, dtype: its own, without the batch. mean: what stands for it in a linear
    gating network. linear: whether the product is linear in it, so that paths go
    through each of its entries; it is not where it divides or chooses.
    """

    step: int
    made: int | None
    shape: tuple[int, ...]
    dtype: str
    mean: float
    linear: bool = True


@dataclass(frozen=True)
class Step:
    """One call of one layer.

    name: its own, also where a layer is called twice.
    kind: "affine" (at inference), "site" (where an activation or a normalisation
        stands), "pool" (max pooling), "product" (affine in some of its inputs at fixed
        others, `gates`), "free" (anything: only gates are made of it), or "part" (one
        of the tensors that its only input makes: number `arguments`); "input" for
        step 0.
    layer: key of the layer in `Graph.layers`; calls with one key share weights.
    inputs: steps whose outputs it reads.
    arguments: [args, kwargs] of the call, tensors as {STEP: number}.
    """

    name: str
    kind: str
    layer: str = ""
    inputs: tuple[int, ...] = ()
    arguments: Any = None
    gates: tuple[Gate, ...] = ()

    @property
    def value_inputs(self) -> tuple[int, ...]:
        """The inputs that it is affine in."""
        gates = {gate.step for gate in self.gates}
        return tuple(k for k in self.inputs if k not in gates)

    def divisors(self) -> list[str]:
        """Return the names of those gates of a product that it is not linear in."""
        pairs = zip(self.gate_names(), self.gates, strict=False)
        return [name for name, gate in pairs if not gate.linear]

    def gate_names(self) -> list[str]:
        """Return the names of a product's gates."""
        count = len(self.gates)
        return [self.name, *(f"{self.name}_{k}" for k in range(2, count + 1))]


@dataclass(frozen=True)
class Graph:
    """The steps of a model, in an order in which they can be called.

    input_shape, input_dtype: of step 0, without the batch.
    layers: {key: layer as Keras serialises it}, activations split off.
    steps: step 0 is the input.
    value_input: the step whose output the value network is fed: what the
        preprocessing makes of the raw input, 0 where there is none.
    output: the step whose output are the logits.
    head: what followed the logits and was left out, such as "softmax"; or None.
    several: of a model of several inputs [key, name, shape, dtype] of each, key None in
        a list of inputs. Step 0 is all of them, and the next ones are its parts.
    """

    input_shape: tuple[int, ...]
    input_dtype: str
    layers: dict[str, Any]
    steps: tuple[Step, ...]
    value_input: int
    output: int
    head: str | None
    several: Any = None

    def ends(self) -> list[tuple[str, tuple[int, ...], str]]:
        """Return name, shape and dtype of each input."""
        if self.several is None:
            return [("inputs", self.input_shape, self.input_dtype)]
        return [(name, tuple(shape), dtype) for _, name, shape, dtype in self.several]

    def packed(self, inputs: Any) -> Any:
        """Return what is given for each input as the model takes it."""
        if self.several is None:
            return inputs[0]
        keys = [key for key, *_ in self.several]
        return list(inputs) if None in keys else dict(zip(keys, inputs, strict=True))

    def sites(self) -> tuple[Step, ...]:
        """Return the steps where gates stand, of those that values pass."""
        passed = behind(self.steps, {self.output}, through_gates=False)
        kinds = ("site", "pool", "product")
        steps = enumerate(self.steps)
        return tuple(s for k, s in steps if k in passed and s.kind in kinds)

    def making(self, gate: Gate) -> tuple[list[int], list[int]]:
        """Return the steps a gate is made of, and the steps that these are made of.

        The latter, its pre-activations, are linear in the input where activations are
        the identity, poolings averages and other gates constants.
        """
        curved: set[int] = set()
        needed = behind(self.steps, {gate.step})
        for k in sorted(needed):
            step = self.steps[k]
            if k == gate.made or step.kind == "free" or curved & {*step.value_inputs}:
                curved.add(k)
        curved = behind(self.steps, {gate.step}, within=curved)
        if not curved:
            return [], [gate.step]
        read = {r for k in curved for r in self.steps[k].inputs} - curved
        return sorted(curved), sorted(read)

    def to_config(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for json."""
        steps = [
            {**vars(s), "inputs": list(s.inputs), "gates": [list(g) for g in s.gates]}
            for s in self.steps
        ]
        return {**vars(self), "input_shape": list(self.input_shape), "steps": steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Graph":
        steps = tuple(
            Step(
                **{
                    **step,
                    "inputs": tuple(step["inputs"]),
                    "gates": tuple(Gate(*g) for g in step.get("gates", ())),
                }
            )
            for step in config["steps"]
        )
        shape = tuple(config["input_shape"])
        return cls(**{**config, "input_shape": shape, "steps": steps})


def behind(
    steps: Any, targets: set[int], through_gates: bool = True, within: Any = None
) -> set[int]:
    """Return the steps that the outputs of `targets` depend on, themselves too.

    Args:
        steps: of a graph.
        targets: numbers of steps.
        through_gates: whether what gates are made of counts.
        within: numbers of the steps to go through; all if None.
    """
    needed = set(targets) if within is None else targets & within
    for k in range(len(steps) - 1, -1, -1):
        if k in needed:
            step = steps[k]
            read = {*(step.inputs if through_gates else step.value_inputs)}
            needed |= read if within is None else read & within
    return needed
