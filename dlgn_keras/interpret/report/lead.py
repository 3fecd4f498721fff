"""The first line about an image: the answer, how clear it is, what carries it."""

import numpy as np

from dlgn_keras.interpret.explanation import Explanation, total
from dlgn_keras.interpret.report.gates import largest_units
from dlgn_keras.interpret.sites import INPUT


def lead(i: int, ladder: dict[str, Explanation], names: list[str]) -> str:
    """Return one sentence: class, logit, runner-up, gap, and what carries it.

    Of a single output it is the output, which may be a number or a logit below 0.
    """
    found = ladder[INPUT]
    logits, target = found.own_logits[i].astype(float), int(found.target[i])
    order = np.argsort(-logits, kind="stable")
    best = int(order[0])
    second = int(order[1]) if len(order) > 1 else best
    said = f"The answer is {names[best]}, with a logit of {logits[best]:.2f}"
    if len(order) == 1:
        said = f"The output for {names[best]} is {logits[best]:.2f}"
    else:
        said += f", {logits[best] - logits[second]:.2f} above {names[second]}"
    if target != best or found.against is not None or found.gates:
        gates = f" at {found.gates}" if found.gates else ""
        said += f"; explained is {found.label(i, names)}{gates}, {found.logit(i):.2f}"
    at = carrying(i, ladder)
    values = ladder[at].contributions[i]
    unit = (largest_units(values, 1) or [(0,) * values.ndim])[0]
    place = ",".join(map(str, unit))
    who = "the pixels" if at == INPUT else f"the paths through the gates of {at}"
    one = f"pixel {place}" if at == INPUT else f"gate {place}"
    return (
        f"{said}; {who} carry {total(values[None])[0]:+.2f} of it, most of all {one} "
        f"with {values[unit]:+.2f}, and constants {ladder[at].bias[i]:+.2f}."
    )


def carrying(i: int, ladder: dict[str, Explanation]) -> str:
    """Return the rung where least cancels for example i, constants counted."""
    sizes = {
        at: float(np.abs(e.contributions[i]).sum()) + abs(float(e.bias[i]))
        for at, e in ladder.items()
    }
    return min(sizes, key=lambda at: sizes[at])
