"""The built wheel, installed alone and used in an empty folder, brings the zoo."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
PLACES = ("DLGN_KERAS_ZOO", "PYTHONPATH")
BUILD_SDIST = "from setuptools import build_meta; build_meta.build_sdist('dist')"

# Loads, verifies and asks the smallest preset of every family; test_committed.py has a
# look at all, and the installed files are compared with them byte by byte.
USE = """
import json, socket, sys
from pathlib import Path

class NoNetwork(socket.socket):
    def connect(self, address):
        raise AssertionError(f"connects to {address}")
    connect_ex = connect

socket.socket = NoNetwork
import dlgn_keras as dk
from dlgn_keras.presets.verify import golden_error, read_golden

assert not any(Path().iterdir()), list(Path().iterdir())
table = dk.presets()
found = {}
for row in sorted(table, key=lambda row: row.parameters):
    if row.family not in found:
        net = dk.from_preset(row.name)  # every file compared with its sha256
        golden = read_golden(row.folder / "golden.npz")
        assert golden_error(net, golden) < 1e-3
        answers = net.predict(golden.inputs, verbose=0).argmax(axis=1)
        same = bool((answers == golden.logits.argmax(axis=1)).all())
        found[row.family] = same
record = {"package": dk.__file__, "folder": str(table[0].folder), "names": table.names}
kinds = sorted({(row.data, row.family) for row in table})
print(json.dumps({**record, "kinds": kinds, "found": found}))
"""


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    """A copy of what is packed, so that building leaves nothing in the checkout."""
    copy = tmp_path_factory.mktemp("sources")
    ignored = shutil.ignore_patterns("__pycache__", ".*")
    for folder in ("dlgn_keras", "zoo"):
        shutil.copytree(CHECKOUT / folder, copy / folder, ignore=ignored)
    for name in SOURCES:
        shutil.copy(CHECKOUT / name, copy)
    return copy


@pytest.fixture(scope="module")
def wheel(sources, tmp_path_factory):
    """The wheel, built as pip builds it, by the setuptools of the extra `dev`."""
    out = tmp_path_factory.mktemp("wheel")
    options = ["-q", "--no-deps", "--no-build-isolation", "--wheel-dir", str(out)]
    run(sys.executable, "-m", "pip", "wheel", *options, str(sources))
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def python(wheel, tmp_path_factory):
    """A fresh environment's Python: our wheel, all else from the running one."""
    home = tmp_path_factory.mktemp("fresh") / "env"
    venv.create(home, with_pip=False, symlinks=True)
    path = str(home / "bin" / "python")
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    site = Path(run(path, "-c", asked).strip())
    # A folder in a .pth comes after our wheel, and its own .pth files (an editable
    # install of this checkout) are not read.
    (site / "others.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile"]
    install += ["--target", str(site)]
    run(sys.executable, "-m", "pip", *install, str(wheel))
    return path


def test_the_wheel_brings_every_data_set_and_family(python, tmp_path):
    outside = {k: v for k, v in os.environ.items() if k not in PLACES}
    made = run(python, "-c", USE, cwd=tmp_path, env=outside)
    record = json.loads(made.strip().splitlines()[-1])
    home = Path(python).parents[1]
    assert Path(record["package"]).is_relative_to(home)
    assert Path(record["folder"]).is_relative_to(home)
    zoo = [path.parent for path in CHECKOUT.glob("zoo/*/metadata.json")]
    assert sorted(record["names"]) == sorted(path.name for path in zoo)
    wanted = set()
    for folder in zoo:
        metadata = json.loads((folder / "metadata.json").read_text())
        wanted.add((metadata["data"]["name"], metadata["family"]))
    assert set(map(tuple, record["kinds"])) == wanted
    assert record["found"] == dict.fromkeys({family for _, family in wanted}, True)


def test_the_scripts_of_the_zoo_stay_in_the_checkout(python):
    (zoo,) = Path(python).parents[1].glob("lib/python*/site-packages/dlgn_keras/zoo")
    assert not list(zoo.rglob("*.py"))
    for folder in CHECKOUT.glob("zoo/*/"):
        if (folder / "metadata.json").is_file():
            ours = {p.name: p.read_bytes() for p in folder.iterdir()}
            installed = (zoo / folder.name).iterdir()
            assert {p.name: p.read_bytes() for p in installed} == ours


def test_the_source_distribution_brings_the_zoo_and_its_scripts(sources):
    run(sys.executable, "-c", BUILD_SDIST, cwd=sources)
    (path,) = (sources / "dist").glob("*.tar.gz")
    with tarfile.open(path) as packed:
        names = {name.partition("/")[2] for name in packed.getnames()}
    wanted = {
        str(p.relative_to(sources)) for p in sources.glob("zoo/**/*") if p.is_file()
    }
    assert wanted <= names
    assert "setup.py" in names
