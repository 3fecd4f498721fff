"""Write all that follows from the presets: cards, index.json, the tables.

python zoo/generate.py            writes
python zoo/generate.py --check    says what is stale, exit code 1 if anything
"""

import argparse
import sys
from pathlib import Path

import shelf
import tables

from dlgn_keras.tools.files import write_text

ZOO = Path(__file__).resolve().parent


def pages(zoo: Path, front: Path | None) -> dict[Path, str]:
    """Return every generated file and the text it should have."""
    texts = {
        zoo / "index.json": tables.index_text(zoo),
        zoo / "README.md": tables.zoo_page(zoo),
    }
    if front is not None:
        table = tables.front_table(zoo)
        texts[front] = tables.with_table(front.read_text(), table)
    return texts


def write(zoo: Path, front: Path | None) -> None:
    """Bring a zoo folder and the front page up to date."""
    shelf.refresh(zoo)
    for path, text in pages(zoo, front).items():
        write_text(path, text)


def stale(zoo: Path, front: Path | None) -> list[str]:
    """Return the generated files whose text is not what it should be."""
    wanted = pages(zoo, front)
    return [p.name for p, t in wanted.items() if not p.is_file() or p.read_text() != t]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args().check
    front = ZOO.parent / "README.md"
    if check:
        found = stale(ZOO, front)
        print(f"stale: {', '.join(found)}" if found else "all up to date")
        return 1 if found else 0
    write(ZOO, front)
    return 0


if __name__ == "__main__":
    sys.exit(main())
