"""What a table of attributions says of ours: where they win, tie and lose."""

from typing import Any

from dlgn_keras.interpret.faithfulness import Interval

OURS, SOFT = "contributions", "soft"  # those at soft gates make other logits


def columns(name: str, found: Interval | None) -> dict[str, float | None]:
    """Return the columns of a mean and half its interval."""
    if found is None:
        return {name: None, f"{name} ±": None}
    half = round(found.high - found.mean, 5)
    return {name: round(found.mean, 5), f"{name} ±": half}


def verdicts(lines: list[dict[str, Any]], measures: list[str]) -> list[str]:
    """Return a sentence a row and net: where exact contributions win, tie and lose.

    A measure is better the higher it is, but for deletion.
    """
    said = []
    for name in dict.fromkeys(map(_name, lines)):
        parts = []
        for measure in measures:
            sign = -1 if measure == "deletion" else 1
            known = [o for o in lines if _name(o) == name and o[measure] is not None]
            sides = [[o for o in known if o["method"].startswith(OURS)]]
            sides += [[o for o in known if not o["method"].startswith((OURS, SOFT))]]
            if not all(sides):
                continue
            ours, other = (max(s, key=lambda o: sign * o[measure]) for s in sides)
            gap = sign * (ours[measure] - other[measure])
            clear = abs(gap) > ours[f"{measure} ±"] + other[f"{measure} ±"]
            word = ("win" if gap > 0 else "lose") if clear else "tie"
            both = " against ".join(
                f"{o['method']} {o[measure]:.3f}" for o in (ours, other)
            )
            parts.append(f"{measure} {word} ({both})")
        said.append(f"{name}, the best of ours: {'; '.join(parts)}.")
    return said


def _name(one: dict[str, Any]) -> str:
    return " ".join(one[key] for key in ("row", "net") if key in one)
