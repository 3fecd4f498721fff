"""Same numbers everywhere: saved under one backend, loaded under each of the others."""

import importlib.util
import itertools
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from backend_round import models

BACKENDS = [b for b in ("tensorflow", "jax", "torch") if importlib.util.find_spec(b)]
HERE = Path(__file__).parent


@pytest.fixture(
    scope="module", params=["few", pytest.param("all", marks=pytest.mark.slow)]
)
def reports(request, tmp_path_factory):
    """Run one process per installed backend, side by side.

    The folder of reports, and how many models each is about.
    """
    folder = tmp_path_factory.mktemp("round")
    root = str(HERE.parent)
    processes = {}
    for backend in BACKENDS:
        environment = {
            **os.environ,
            "KERAS_BACKEND": backend,
            "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "OMP_NUM_THREADS": "1",
        }
        command = [sys.executable, HERE / "backend_round.py", folder]
        with (folder / f"{backend}.log").open("w") as log:
            processes[backend] = subprocess.Popen(
                [*command, ",".join(BACKENDS), request.param],
                env=environment,
                stdout=log,
                stderr=log,
            )
    while any(p.poll() is None for p in processes.values()):
        if any(p.poll() for p in processes.values()):  # one failed: do not wait on
            for process in processes.values():
                process.kill()
        time.sleep(0.2)
    failed = {b: p.returncode for b, p in processes.items() if p.returncode}
    logs = "\n".join((folder / f"{b}.log").read_text()[-3000:] for b in failed)
    assert not failed, f"{failed}\n{logs}"
    return folder, len(list(models(request.param == "all")))


@pytest.mark.parametrize(
    ("writer", "reader"), list(itertools.permutations(BACKENDS, 2))
)
def test_a_model_saved_under_one_backend_has_equal_logits_under_another(
    writer, reader, reports
):
    """Within 1e-5 of the logits' scale.

    Of each family, on kinds that hold every layer; `-m slow` for all families of each
    kind. test_families.py holds their logits to NumPy on every backend.
    """
    folder, number = reports
    report = json.loads((folder / f"{writer}_under_{reader}.json").read_text())
    assert len(report) == number + 1  # and a Keras model's twin
    far = {name: right for name, (right, _) in report.items() if right > 1e-5}
    assert not far
    unseen = {name: wrong for name, (_, wrong) in report.items() if wrong < 1e-4}
    assert not unseen, "other logits would not be told apart"
