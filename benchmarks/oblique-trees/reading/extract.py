"""Decision trees read off a DLGN on sdi or sdii: accuracy and seconds of each way.

    python benchmarks/oblique-trees/reading/extract.py sdi --ways 2
    python benchmarks/oblique-trees/reading/extract.py sdii --net RUN_FOLDER

Takes the net from a run folder of `dlgn-keras reproduce`, or trains the published
skeleton as `node_trainer` does by default (200 epochs); reads trees off it and writes
trees-<set>.json and trees-<set>.md beside this file. Nothing is chosen by the
validation or the test part.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import keras
import numpy as np

import dlgn_keras as dk
from dlgn_keras.training import build_model, load_trained, named_recipe

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent.parent))  # where the benchmarks' machine.py lies
from machine import header  # noqa: E402

SWEEPS = 10
WAYS = {
    "own hyperplanes, best fit": {"choose": "fit", "train_levels": 1},
    "a net a node on 3 levels, best fit": {"choose": "fit", "train_levels": 3},
    "published: a net a node, largest cluster": {},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", choices=("sdi", "sdii"))
    parser.add_argument("--net", help="run folder of a trained DLGN")
    parser.add_argument("--ways", type=int, default=1, help="how many of the ways")
    parser.add_argument("--seed", type=int, default=0, help="of the nets")
    options = parser.parse_args()
    dataset, _ = dk.data.oblique_dataset(options.data)
    x, y = dataset.x_train, dataset.y_train
    start = time.perf_counter()
    if options.net:
        net = load_trained(options.net)
    else:
        recipe = named_recipe(f"p4-dlgn-{options.data}", seed=options.seed)
        blank = build_model(recipe, dataset)
        net = dk.training.node_trainer(blank, seed=options.seed)(x, y)
    seconds = 0.0 if options.net else time.perf_counter() - start
    found = {"data": options.data, "seed": options.seed, "machine": header()}
    found |= {"backend": keras.backend.backend(), "rows": []}

    def row(way: str, predicted: tuple[np.ndarray, np.ndarray], took: float) -> None:
        truth = y, dataset.y_test
        train, test = (
            round(100 * float((a == b).mean()), 2)
            for a, b in zip(predicted, truth, strict=True)
        )
        line = {"way": way, "train %": train, "test %": test}
        found["rows"].append(line | {"seconds": round(took, 1)})
        print(found["rows"][-1], flush=True)
        write(found)

    both = x, dataset.x_test
    row("DLGN", tuple(net.predict(p, verbose=0).argmax(1) for p in both), seconds)
    for way, choices in list(WAYS.items())[: options.ways]:
        start = time.perf_counter()
        train = dk.training.node_trainer(net, seed=options.seed + 1)
        tree = dk.interpret.oblique_tree(net, x, y, train=train, **choices)
        took = time.perf_counter() - start
        row(way, tuple(map(tree.predict, both)), took)
        tree = dk.interpret.refine_tree(tree, x, y, SWEEPS)
        took = time.perf_counter() - start
        row(f"{way}; refined", tuple(map(tree.predict, both)), took)


def write(found: dict) -> None:
    path = HERE / f"trees-{found['data']}"
    path.with_suffix(".json").write_text(json.dumps(found, indent=2) + "\n")
    lines = found["rows"]
    table = [list(lines[0]), ["---"] * 4, *(list(line.values()) for line in lines)]
    text = "\n".join(f"| {' | '.join(map(str, cells))} |" for cells in table)
    head = f"# Trees read off a DLGN on {found['data']}, seed {found['seed']}"
    path.with_suffix(".md").write_text(f"{head}\n\n{text}\n")


if __name__ == "__main__":
    main()
