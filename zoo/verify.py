"""Measure presets anew: hashes, goldens, and accuracy on the real test set.

python zoo/verify.py [names] [--data-dir folder-of-npz]
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
    parser.add_argument("--data-dir", help="tensorflow-datasets or npz folder")
    given = parser.parse_args()

    import keras

    from dlgn_keras import data
    from dlgn_keras.presets import verify
    from dlgn_keras.presets.files import METADATA, read_metadata

    paths = sorted(given.zoo.glob(f"*/{METADATA}"))
    names = given.names or [path.parent.name for path in paths]
    sets, bad = {}, 0
    for name in names:
        try:
            kind = read_metadata(given.zoo / name)["data"]["name"]
            if kind not in sets:
                sets[kind] = data.load(kind, data_dir=given.data_dir)
            found = verify(given.zoo / name, sets[kind])
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
