"""Train what the manifest wants and the zoo lacks, most wanted first.

python zoo/build.py                            all a CPU can do, 10 minutes of it
python zoo/build.py dlgn_fc_mnist --minutes 5  one preset (and the DNN it needs)
python zoo/build.py --data-dir folder          data from folder/<name>.npz
python zoo/build.py --measure                  anew: accuracy at hard gates, pixels
python zoo/build.py --again dirty              train anew what is not from a commit

Runs are kept in --runs: kill it, start it again, and it goes on from the last epoch.
Needs Keras, one backend and NumPy; matplotlib for the curves.
"""

import argparse
import importlib.util
import os
import sys
import time
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
    parser.add_argument("--out", type=Path, default=CHECKOUT / "zoo")
    parser.add_argument("--runs", type=Path, default=Path("runs/zoo"))
    parser.add_argument("--data-dir", help="tensorflow-datasets or npz folder")
    parser.add_argument("--seeds", type=int, default=None, help="instead of its own")
    parser.add_argument("--measure", action="store_true", help="train nothing")
    parser.add_argument(
        "--again", choices=("dirty",), help="retrain presets not made from a commit"
    )
    parser.add_argument("--list", action="store_true", help="say what is missing")
    return parser.parse_args()


def set_up(runs: Path) -> None:
    """Choose a backend that is there, and keep JAX's compilations."""
    if importlib.util.find_spec("tensorflow") is None:
        os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(runs.resolve() / ".jax"))


class TimeIsUp(Exception):
    """The time given is used; the run can go on later."""


def jobs(
    names: list[str], out: Path, seeds: int | None, strong: bool, clean: bool = False
) -> list[tuple]:
    """Return (entry, seed) of every missing run: first seeds first.

    Args:
        names: presets to build; none means all that this machine can.
        out: the zoo folder, to see what is there.
        seeds: how many instead of the manifest's number, or None.
        strong: whether there is an accelerator.
        clean: whether a run of changed code counts as missing, in presets there are.
    """
    import shelf
    from manifest import entries, entry

    wanted = [entry(name) for name in names] or [
        e for e in entries().values() if strong or not e.needs_accelerator
    ]
    if clean:
        wanted = [e for e in wanted if (out / e.name).is_dir()]
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


def main() -> int:
    given = arguments()
    set_up(given.runs)
    import generate
    import keras
    import shelf
    from manifest import entry

    from dlgn_keras import data
    from dlgn_keras.training import Result, fit
    from dlgn_keras.training.devices import on_accelerator
    from dlgn_keras.training.result import source_commit

    strong = on_accelerator()
    deadline = time.monotonic() + 60 * given.minutes
    sets: dict[str, Any] = {}

    class Deadline(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            if time.monotonic() > deadline and epoch + 1 < self.params["epochs"]:
                raise TimeIsUp

    def train(name: str, seed: int) -> tuple[Any, Result]:
        wanted = entry(name)
        if time.monotonic() > deadline:
            raise TimeIsUp
        source = None
        if wanted.gates_from:
            train(wanted.gates_from, seed)
            source = str(given.runs / f"{wanted.gates_from}-{seed}")
        recipe = wanted.recipe(seed, source)
        if recipe.data not in sets:
            sets[recipe.data] = data.load(recipe.data, data_dir=given.data_dir)
        result = fit(
            recipe,
            given.runs / f"{name}-{seed}",
            dataset=sets[recipe.data],
            progress=False,
            callbacks=[Deadline()],
        )
        return recipe, result

    front = CHECKOUT / "README.md"
    front = front if given.out.resolve() == generate.ZOO else None
    try:
        if given.measure:
            measure(given.names, given.out, given.data_dir)
            generate.write(given.out, front)
            return 0
        clean, commit = given.again is not None, source_commit()
        if clean:
            if commit is None or commit.endswith(shelf.DIRTY):
                raise ValueError(f"--again needs a clean commit. Received: {commit}.")
            given.runs = given.runs / commit  # runs of other code stay apart
        missing = jobs(given.names, given.out, given.seeds, strong, clean)
        if given.list:
            print("\n".join(f"{e.name} seed {seed}" for e, seed in missing) or "none")
            return 0
        given.out.mkdir(parents=True, exist_ok=True)
        for k, (wanted, seed) in enumerate(missing):
            recipe, result = train(wanted.name, seed)
            shelf.put(wanted, recipe, result, sets[recipe.data], given.out)
            print(
                f"[{k + 1}/{len(missing)}] {wanted.name} seed {seed}: "
                f"{100 * result.test_accuracy:.2f} % in {result.seconds:.0f} s",
                flush=True,
            )
            keras.backend.clear_session()
    except TimeIsUp:
        print("The time is used; the same command goes on from here.")
    except (ValueError, FileNotFoundError, ImportError, FloatingPointError) as error:
        print(f"build.py: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    generate.write(given.out, front)
    return 0


if __name__ == "__main__":
    sys.exit(main())
