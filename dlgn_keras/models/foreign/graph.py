"""A functional Keras model as pure data: its layers and the order they are called in.

What a skeleton is to our own models: two trunks are built from it, and it goes to
json and back. Nested models are inlined, fused activations are steps of their own,
and a softmax at the end is left out.
"""

from dataclasses import dataclass
from typing import Any

STEP = "__step__"  # marks a tensor in a step's arguments, as json holds them


@dataclass(frozen=True)
class Step:
    """One call of one layer.

    name: its own, also where a layer is called twice.
    kind: "affine" (at inference), "site" (where a ReLU-like activation stands),
        "pool" (max pooling), or "part" (one of the tensors that its only input
        makes: number `arguments`); "input" for step 0.
    layer: key of the layer in `Graph.layers`; calls with one key share weights.
    inputs: steps whose outputs it reads.
    arguments: [args, kwargs] of the call, tensors as {STEP: number}.
    """

    name: str
    kind: str
    layer: str = ""
    inputs: tuple[int, ...] = ()
    arguments: Any = None


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
        """Return the steps where gates stand: activations and max poolings."""
        return tuple(s for s in self.steps if s.kind in ("site", "pool"))

    def needed_for(self, targets: set[int]) -> set[int]:
        """Return the steps that the outputs of `targets` depend on, themselves too."""
        needed = set(targets)
        for k in range(len(self.steps) - 1, -1, -1):
            if k in needed:
                needed |= set(self.steps[k].inputs)
        return needed

    def to_config(self) -> dict[str, Any]:
        """Return plain dictionaries and lists, ready for json."""
        steps = [{**vars(step), "inputs": list(step.inputs)} for step in self.steps]
        return {**vars(self), "input_shape": list(self.input_shape), "steps": steps}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Graph":
        steps = tuple(
            Step(**{**step, "inputs": tuple(step["inputs"])})
            for step in config["steps"]
        )
        shape = tuple(config["input_shape"])
        return cls(**{**config, "input_shape": shape, "steps": steps})
