"""Measure presets anew: hashes, goldens, and accuracy on the real test set.

python zoo/verify.py [names] [--data folder-of-npz]
"""

import argparse
import os
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(CHECKOUT))
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="presets; all of the zoo if none")
    parser.add_argument("--zoo", type=Path, default=CHECKOUT / "zoo")
    parser.add_argument("--data", default=None, help="npz file, or folder of them")
    given = parser.parse_args()

    import keras
    from sets import load_set

    from dlgn_keras.presets import verify
    from dlgn_keras.presets.files import METADATA, read_metadata

    paths = sorted(given.zoo.glob(f"*/{METADATA}"))
    names = given.names or [path.parent.name for path in paths]
    sets, bad = {}, 0
    for name in names:
        try:
            data = read_metadata(given.zoo / name)["data"]["name"]
            if data not in sets:
                sets[data] = load_set(data, given.data)
            found = verify(given.zoo / name, sets[data])
            print(
                f"{name}: {100 * found.accuracy:.2f} %, goldens within "
                f"{found.golden_error:.1e}",
                flush=True,
            )
        except (ValueError, FileNotFoundError, ImportError) as error:
            bad += 1
            print(f"{name}: {' '.join(str(error).split())}", file=sys.stderr)
        keras.backend.clear_session()
    backend = keras.backend.backend()
    print(f"{len(names) - bad} of {len(names)} presets hold on {backend}.")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
