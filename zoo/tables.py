"""Make index.json, zoo/README.md and the table of the front page from the metadata."""

import json
from pathlib import Path

from dlgn_keras.presets.files import METADATA, WEIGHTS, sha256
from dlgn_keras.presets.find import HEADER, Preset, cells, row_of
from dlgn_keras.tools.folders import recover

START, END = "<!-- zoo table -->", "<!-- end of zoo table -->"
HEAD = """\
# Zoo

Trained twins: the same skeleton, data and recipe, gated three ways. Each loads in one
line, `dk.DLGN.from_preset("dlgn_fc_mnist")`, which compares every file with its sha256.
The sha256 beside the files tells damage, not who published them.

A name is `<variant>_<skeleton>_<data>`; `config.json` has the widths and all other
options. The variants: `dnn`; `dgn`, gates trained together with the values (DLNPF);
`dgn_flnpf`, frozen gates copied from the trained DNN; `dgn_frnpf`, frozen random gates;
`dlgn`; `dlgn_sf`, gates straight from the input. With `_ones` at the end, the value
network's input is all ones: it knows the image through the gates alone.

`python zoo/build.py [names] --minutes 10` trains presets that the manifest lists and
the zoo lacks. `dlgn-keras zoo verify --accuracy` measures the presets again.
`python zoo/generate.py` writes this page.

Accuracies are those after the last epoch, mean ± standard deviation over seeds where
there are several; the weights in a folder are those of the first seed.
"""


def rows(zoo: Path) -> list[Preset]:
    """Return every preset of a zoo folder, by name."""
    recover(zoo)
    return [row_of(path.parent) for path in sorted(zoo.glob(f"*/{METADATA}"))]


def index_text(zoo: Path) -> str:
    """Return index.json; `handle` is where a copy can be fetched, if anywhere."""
    presets = [
        {
            "name": row.name,
            "family": row.family,
            "skeleton": row.skeleton,
            "data": row.data,
            "value_input": row.value_input,
            "accuracy": row.accuracy,
            "std": row.std,
            "seeds": row.seeds,
            "ratio_to_dnn": row.ratio,
            "parameters": row.parameters,
            "weights_bytes": (row.folder / WEIGHTS).stat().st_size,
            "metadata_sha256": sha256(row.folder / METADATA),
            "handle": None,
        }
        for row in rows(zoo)
    ]
    return json.dumps({"format": 1, "presets": presets}, indent=1) + "\n"


def markdown(header: tuple, lines: list[tuple]) -> str:
    """Return a markdown table, the first column left, the others right."""
    parts = [header, ("---", *["---:"] * (len(header) - 1)), *lines]
    return "\n".join(f"| {' | '.join(line)} |" for line in parts) + "\n"


def zoo_page(zoo: Path) -> str:
    """Return zoo/README.md."""
    lines = []
    for row in rows(zoo):
        name, *rest = cells(row)
        lines.append((f"[{name}]({name}/CARD.md)", *rest))
    return f"{HEAD}\n{markdown(HEADER, lines)}"


def front_table(zoo: Path) -> str:
    """Return the table of the front page: a row per kind, a column per setting."""
    found: dict[str, dict[str, Preset]] = {}
    settings: list[str] = []
    for row in rows(zoo):
        setting = f"{row.skeleton}_{row.data}"
        kind = row.name.replace(f"_{setting}", "")
        found.setdefault(kind, {})[setting] = row
        if setting not in settings:
            settings.append(setting)
    order = ["dnn", "dgn", "dlgn", "dlgn_sf", "dgn_ones", "dlgn_ones", "dlgn_sf_ones"]
    kinds = sorted(found, key=lambda k: (k not in order, (*order, k).index(k), k))
    lines = []
    for kind in kinds:
        texts = [_cell(found[kind].get(setting)) for setting in settings]
        lines.append((f"`{kind}`", *texts))
    return markdown(("test accuracy, %", *(f"`{s}`" for s in settings)), lines)


def _cell(row: Preset | None) -> str:
    return "" if row is None else cells(row)[1]


def with_table(text: str, table: str) -> str:
    """Return a page with the table between its two markers."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"The page must hold {START} and {END}, in this order.")
    return f"{before}{START}\n{table}{END}{after}"
