"""The manifest: which presets the zoo wants, and the recipe of each."""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dlgn_keras.tools.messages import closest
from dlgn_keras.training import Recipe
from dlgn_keras.training.named import NAMED
from dlgn_keras.training.recipe import from_dict

ONES = "_ones"


@dataclass(frozen=True)
class Entry:
    """A preset the zoo wants.

    Args:
        name: <variant>_<skeleton>_<data>, and _ones for all-ones value input.
        variant: how gates are made: dnn, dgn, dgn_flnpf, dgn_frnpf, dlgn, dlgn_sf.
        setting: <skeleton>_<data>; presets of a setting are twins.
        fields: the recipe's fields, without a seed.
        seeds: how many runs its accuracy is the mean of.
        needs_accelerator: whether a CPU would take many hours, or days.
        table: whether it is wanted for its figures alone, its weights being too many.
    """

    name: str
    variant: str
    setting: str
    fields: dict[str, Any]
    seeds: int
    needs_accelerator: bool
    table: bool = False

    @property
    def twin(self) -> str:
        """The DNN of the same setting: what the accuracy is compared with."""
        return f"dnn_{self.setting}"

    @property
    def gates_from(self) -> str | None:
        """The preset whose trained weights make the gates, if any."""
        return self.twin if self.fields.get("regime") == "flnpf" else None

    def recipe(self, seed: int, gates_from: str | None = None) -> Recipe:
        """Return the recipe of one seed.

        Args:
            seed: 0 is the one whose weights the preset holds.
            gates_from: run folder of the trained DNN of this seed, where needed.
        """
        source = self.gates_from and (gates_from or self.gates_from)
        return from_dict({**self.fields, "gates_from": source, "seed": seed})


@cache
def entries() -> dict[str, Entry]:
    """Return every wanted preset by name, most wanted first."""
    text = json.loads((Path(__file__).parent / "manifest.json").read_text())
    found: dict[str, Entry] = {}
    for group in text["presets"]:
        for setting in group["settings"]:
            names = [(v, "") for v in group["variants"]]
            names += [(v, ONES) for v in group["ones"]]
            for variant, suffix in names:
                fields = dict(text["settings"][setting])
                fields = {**NAMED.get(fields.pop("recipe", ""), {}), **fields}
                fields |= text["variants"][variant]
                fields |= {"value_input": "ones"} if suffix else {}
                name = f"{variant}_{setting}{suffix}"
                found[name] = Entry(
                    name,
                    variant,
                    setting,
                    fields,
                    group["seeds"],
                    group.get("needs_accelerator", False),
                    group.get("table", False),
                )
    return found


def entry(name: str) -> Entry:
    """Return the wanted preset of this name, or say which one is close."""
    known = entries()
    if name not in known:
        raise ValueError(
            f"The manifest has no preset {name!r}.{closest(name, known)} "
            "The names: `python zoo/build.py --list`."
        )
    return known[name]


TRIED = ("dnn", "dlgn")
HELD_OUT = 5_000


def trials() -> dict[str, Recipe]:
    """Return the recipes to choose from, by name, most wanted first.

    Each is judged on training images held out, as a DNN and as a DLGN.
    """
    text = json.loads((Path(__file__).parent / "manifest.json").read_text())
    found: dict[str, Recipe] = {}
    for setting, several in text["trials"].items():
        for k, changes in enumerate(several):
            for family in TRIED:
                fields = entry(f"{family}_{setting}").fields
                fields = {**fields, **changes, "validation": HELD_OUT}
                found[f"{setting}-{k}-{family}"] = from_dict({**fields, "seed": 0})
    return found
