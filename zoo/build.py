"""Train what the manifest wants and the zoo lacks, most wanted first.

python zoo/build.py                            all a CPU can do, 10 minutes of it
python zoo/build.py dlgn_fc_mnist --minutes 5  one preset (and the DNN it needs)
python zoo/build.py --data-dir folder          data from folder/<name>.npz
python zoo/build.py --measure                  anew: accuracy at hard gates, pixels
python zoo/build.py --again dirty              train anew what is not from a commit
python zoo/build.py --accelerator --minutes 8 --out folder   what ends in 8 minutes

Runs are kept in --runs: kill it, start it again, and it goes on from the last epoch.
Needs Keras, one backend and NumPy; matplotlib for the curves.
"""

import argparse
import importlib.util
import os
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="presets; all of the manifest if none")
    parser.add_argument("--minutes", type=float, default=10.0, help="time to use")
    parser.add_argument("--out", type=Path, help="zoo; with --accelerator, accelerator")
    parser.add_argument(
        "--runs", type=Path, help="runs/zoo; with --accelerator, OUT/runs"
    )
    parser.add_argument("--data-dir", help="tensorflow-datasets or npz folder")
    parser.add_argument("--seeds", type=int, default=None, help="instead of its own")
    parser.add_argument("--measure", action="store_true", help="train nothing")
    parser.add_argument(
        "--again", choices=("dirty",), help="retrain presets not made from a commit"
    )
    parser.add_argument(
        "--accelerator",
        action="store_true",
        help="start only what ends in the time; runs, compilations and packed parts "
        "go below --out",
    )
    parser.add_argument(
        "--trials",
        action="store_true",
        help="with --accelerator: the recipes to choose from, on images held out",
    )
    parser.add_argument("--list", action="store_true", help="say what is missing")
    return parser.parse_args()


def set_up(cache: Path) -> None:
    """Choose a backend that is there, and keep JAX's compilations in a folder."""
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(cache.resolve()))


def jobs(
    names: list[str],
    out: Path,
    seeds: int | None,
    strong: bool,
    clean: bool = False,
    tables: bool = False,
) -> list[tuple]:
    """Return (entry, seed) of every missing run: first seeds first.

    Args:
        names: presets to build; none means all that this machine can.
        out: the zoo folder, to see what is there.
        seeds: how many instead of the manifest's number, or None.
        strong: whether there is an accelerator.
        clean: whether a run of changed code counts as missing, in presets there are.
        tables: whether entries wanted for their figures alone count.
    """
    import shelf
    from manifest import entries, entry

    wanted = [entry(name) for name in names] or [
        e for e in entries().values() if strong or not e.needs_accelerator
    ]
    if clean:
        wanted = [e for e in wanted if (out / e.name).is_dir()]
    wanted = [e for e in wanted if tables or not e.table]
    most = max((seeds or e.seeds for e in wanted), default=0)
    found = []
    for seed in range(most):
        for e in wanted:
            done = shelf.seeds_done(out / e.name, clean)
            if seed < (seeds or e.seeds) and seed not in done:
                found.append((e, seed))
    return found


def measure(names: list[str], out: Path, data_dir: str | None) -> None:
    """Measure presets that are there: usual pixels, accuracy at hard gates."""
    import keras
    import shelf

    from dlgn_keras import data
    from dlgn_keras.presets.files import METADATA, read_metadata

    sets: dict[str, Any] = {}
    for path in sorted(out.glob(f"*/{METADATA}")):
        folder = path.parent
        if names and folder.name not in names:
            continue
        name = read_metadata(folder)["data"]["name"]
        if name not in sets:
            sets[name] = data.load(name, data_dir=data_dir)
        shelf.measure(folder, sets[name])
        results = read_metadata(folder)["results"]
        print(f"{folder.name}: {100 * results['hard_gates']:.2f} %", flush=True)
        keras.backend.clear_session()


def build(given: argparse.Namespace) -> None:
    """Train what is missing, most wanted first, until the time is used."""
    import generate
    import keras
    import shelf
    from runs import Runs, TimeIsUp, stop_at

    from dlgn_keras.training.devices import on_accelerator
    from dlgn_keras.training.result import source_commit

    clean, commit = given.again is not None, source_commit()
    if clean:
        if commit is None or commit.endswith(shelf.DIRTY):
            raise ValueError(f"--again needs a clean commit. Received: {commit}.")
        given.runs = given.runs / commit  # runs of other code stay apart
    missing = jobs(given.names, given.out, given.seeds, on_accelerator(), clean)
    if given.list:
        print("\n".join(f"{e.name} seed {seed}" for e, seed in missing) or "none")
        return
    given.out.mkdir(parents=True, exist_ok=True)
    runs = Runs(given.runs, given.data_dir)
    deadline = time.monotonic() + 60 * given.minutes
    try:
        for k, (wanted, seed) in enumerate(missing):
            recipe, result = runs.train(wanted, seed, [stop_at(deadline)])
            shelf.put(wanted, recipe, result, runs.dataset(recipe), given.out)
            print(
                f"[{k + 1}/{len(missing)}] {wanted.name} seed {seed}: "
                f"{100 * result.test_accuracy:.2f} % in {result.seconds:.0f} s",
                flush=True,
            )
            keras.backend.clear_session()
    except TimeIsUp:
        print("The time is used; the same command goes on from here.")
    generate.write(given.out, front_page(given.out))


def build_in_short_time(given: argparse.Namespace) -> None:
    """Run what ends in the time, and pack presets, tables, runs and compilations."""
    import accelerator
    import keras
    import shelf
    from manifest import trials
    from runs import Runs, write_table, write_trial

    deadline = time.monotonic() + 60 * given.minutes - accelerator.PACKING
    presets, tables = given.out / "presets", given.out / "tables"
    runs = Runs(given.runs, given.data_dir)
    paces = accelerator.Paces(given.runs / "pace.json")
    queue = []

    def add(name: str, recipe: Any, train: Any) -> None:
        def then_forget(callbacks: list) -> None:
            train(callbacks)
            keras.backend.clear_session()

        queue.append((name, recipe, then_forget))

    def preset(wanted: Any, seed: int, callbacks: list) -> None:
        recipe, result = runs.train(wanted, seed, callbacks)
        dataset = runs.dataset(recipe)
        if not wanted.table:
            shelf.put(wanted, recipe, result, dataset, presets)
        write_table(tables, f"{wanted.name}-{seed}", result, dataset)

    def trial(name: str, recipe: Any, callbacks: list) -> None:
        write_trial(tables, name, runs.fit(name, recipe, callbacks))

    if given.trials:
        for name, recipe in trials().items():
            if not given.names or any(name.startswith(part) for part in given.names):
                add(name, recipe, partial(trial, name, recipe))
    else:
        missing = jobs(given.names, presets, given.seeds, strong=True, tables=True)
        missing.sort(key=lambda job: not job[0].needs_accelerator)
        for wanted, seed in missing:
            name, recipe = f"{wanted.name}-{seed}", wanted.recipe(seed)
            add(name, recipe, partial(preset, wanted, seed))
    if given.list:
        print("\n".join(name for name, _, _ in queue) or "none")
        return
    accelerator.run_queue(queue, paces, deadline)
    shelf.refresh(presets)
    cache = Path(os.environ["JAX_COMPILATION_CACHE_DIR"])
    shelves = {"presets": presets, "tables": tables, "runs": given.runs, "cache": cache}
    for part in accelerator.pack(shelves, given.out / "parts"):
        print(f"{part} {part.stat().st_size / 2**20:.1f} MiB")


def front_page(out: Path) -> Path | None:
    """Return the README, whose table follows the zoo of the checkout alone."""
    import generate

    return CHECKOUT / "README.md" if out.resolve() == generate.ZOO else None


def main() -> int:
    given = arguments()
    if given.accelerator:
        given.out = given.out or Path("accelerator")
        given.runs = given.runs or given.out / "runs"
        set_up(given.out / "cache")
    else:
        given.out = given.out or CHECKOUT / "zoo"
        given.runs = given.runs or Path("runs/zoo")
        set_up(given.runs / ".jax")
    import generate

    try:
        if given.measure:
            measure(given.names, given.out, given.data_dir)
            generate.write(given.out, front_page(given.out))
        elif given.accelerator:
            build_in_short_time(given)
        else:
            build(given)
    except (ValueError, FileNotFoundError, ImportError, FloatingPointError) as error:
        print(f"build.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
