"""Result: what a run measured, and everything needed to make it again."""

import dataclasses
import platform
import subprocess
import zlib
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dlgn_keras.data import Dataset
from dlgn_keras.data.stored import Stored
from dlgn_keras.models import GatedModel
from dlgn_keras.tools.fields import check_fields
from dlgn_keras.tools.files import read_json, write_json
from dlgn_keras.training.devices import device_name
from dlgn_keras.training.recipe import Recipe, from_dict
from dlgn_keras.version import __version__

FIELDS = {
    "recipe": dict[str, Any],
    "test_accuracy": float,
    "best_test_accuracy": float,
    "best_epoch": int,
    "validation_accuracy": float | None,
    "parameters": int,
    "seconds": float,
    "seconds_per_epoch": float,
    "history": list[dict[str, float]],
    "environment": dict[str, str],
    "data": dict[str, Any],
    "interruptions": int,
}


@dataclass
class Result:
    """Figures of one training run.

    Accuracies are shares, 0 to 1; of a run with the loss mse they are R^2, the share of
    the variance that is explained, at most 1, which the history calls r2. The last
    epoch's is the headline; the best epoch's is chosen on the test set, as some papers
    do, and so is optimistic.

    Fields:
        recipe: the recipe, as plain values.
        test_accuracy: on the test set, after the last epoch.
        best_test_accuracy, best_epoch: the highest over epochs, and which (from 1).
        validation_accuracy: after the last epoch, None without a validation part.
        parameters: number of weights of the model.
        seconds: wall time of training and evaluation, all resumed parts together.
        seconds_per_epoch: median over epochs, training alone, compilation aside.
        history: one dictionary per evaluation, after `recipe.evaluate_every` epochs
            each; loss and accuracy are means over those epochs.
        environment: versions, backend, device, machine, source commit, and the
            dtype policy that the model was trained under.
        data: name, number of examples in each part, checksum of the arrays.
        interruptions: number of times the run was resumed.
        model: the trained model; not stored in result.json.
    """

    recipe: dict[str, Any]
    test_accuracy: float
    best_test_accuracy: float
    best_epoch: int
    validation_accuracy: float | None
    parameters: int
    seconds: float
    seconds_per_epoch: float
    history: list[dict[str, float]]
    environment: dict[str, str]
    data: dict[str, Any] = field(default_factory=dict)
    interruptions: int = 0
    model: GatedModel | None = field(default=None, repr=False, compare=False)

    def to_config(self) -> dict[str, Any]:
        names = [f.name for f in dataclasses.fields(self) if f.name != "model"]
        return {name: getattr(self, name) for name in names}

    def save(self, folder: Path) -> None:
        write_json(folder / "result.json", self.to_config())

    @classmethod
    def load(cls, folder: str | Path) -> "Result":
        """Read `result.json` of a run folder."""
        path = Path(folder) / "result.json"
        if not path.is_file():
            raise FileNotFoundError(f"No finished run in {str(folder)!r}.")
        value = read_json(path)
        check_fields(path, value, FIELDS)
        try:
            return cls(**value)
        except TypeError as error:
            raise ValueError(f"{path} is no result of this version: {error}.") from None

    @property
    def fingerprint(self) -> str:
        return from_dict(self.recipe).fingerprint


def make_result(
    recipe: Recipe,
    net: GatedModel,
    history: list[dict],
    data: dict[str, Any],
    interruptions: int,
) -> Result:
    """Summarise a run's history."""
    tests = [row[f"test_{recipe.score}"] for row in history]
    best = max(range(len(tests)), key=tests.__getitem__)
    every = recipe.evaluate_every
    seconds = sorted(row["seconds"] / every for row in (history[1:] or history))
    return Result(
        recipe=recipe.to_config(),
        test_accuracy=tests[-1],
        best_test_accuracy=tests[best],
        best_epoch=history[best]["epoch"],
        validation_accuracy=history[-1].get(f"validation_{recipe.score}"),
        parameters=net.count_params(),
        seconds=round(sum(row["total_seconds"] for row in history), 2),
        seconds_per_epoch=seconds[len(seconds) // 2],
        history=history,
        environment=environment() | {"precision": net.dtype_policy.name},
        data=data,
        interruptions=interruptions,
    )


def data_facts(dataset: Dataset) -> dict[str, Any]:
    """Return a data set's name, its numbers of examples, a checksum of its arrays.

    Of inputs that are read from disk, names and order count, not what they hold.
    """
    checksum = 0
    sizes = {}
    for part in dataset.splits:
        sizes[part] = len(getattr(dataset, f"y_{part}"))
        for name in (f"x_{part}", f"y_{part}"):
            found = getattr(dataset, name)
            if isinstance(found, Stored):
                checksum = zlib.crc32(found.facts(), checksum)
            else:
                array = np.ascontiguousarray(found)
                checksum = zlib.crc32(array.data.cast("B"), checksum)
    return {"name": dataset.name, **sizes, "crc32": f"{checksum:08x}"}


def environment() -> dict[str, str]:
    """Return versions, backend, device, machine and source commit of this process."""
    backend = keras.backend.backend()
    facts = {
        "dlgn_keras": __version__,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "backend": backend,
        backend: metadata.version(backend),
        "numpy": metadata.version("numpy"),
        "device": device_name(),
        "machine": f"{platform.system()} {platform.machine()}",
        "processor": processor_name(),
    }
    commit = source_commit()
    return {**facts, "commit": commit} if commit else facts


def processor_name() -> str:
    """Return the processor's name as the system reports it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"


def source_commit() -> str | None:
    """Return the commit of the checkout this package runs from, if it is one.

    It ends in -dirty where the package differs from it; other files do not count.
    """
    package = str(Path(__file__).resolve().parents[1])
    texts = []
    for command in (["describe", "--always"], ["status", "--porcelain", "--", "."]):
        try:
            done = subprocess.run(
                ["git", "-C", package, *command],
                capture_output=True,
                text=True,
                timeout=10,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        if done.returncode:
            return None
        texts.append(done.stdout.strip())
    commit, changes = texts
    return f"{commit}-dirty" if commit and changes else commit or None
