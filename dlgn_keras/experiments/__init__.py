"""Experiments: the papers' tables and figures, each by one call."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlgn_keras.experiments import (
    alignment,
    discs,
    faithfulness,
    families,
    gate_copying,
    gate_orders,
    hyperplanes,
    learnt_gates,
    ntk_npk,
    oblique_trees,
    regimes,
    shallow,
    value_inputs,
)
from dlgn_keras.experiments.experiment import SCALES, Call, Experiment
from dlgn_keras.experiments.runs import Runs
from dlgn_keras.experiments.tables import Table
from dlgn_keras.tools.messages import check_choice, check_count

_MODULES = (
    regimes,
    gate_copying,
    families,
    value_inputs,
    gate_orders,
    learnt_gates,
    ntk_npk,
    shallow,
    alignment,
    hyperplanes,
    discs,
    faithfulness,
    oblique_trees,
)
EXPERIMENTS: dict[str, Experiment] = {
    module.EXPERIMENT.name: module.EXPERIMENT for module in _MODULES
}


def reproduce(
    name: str,
    out: str | Path,
    scale: str = "small",
    seeds: int = 3,
    *,
    rows: Sequence[str] = (),
    data_dir: str | None = None,
    progress: bool = True,
    changes: dict[str, Any] | None = None,
) -> Table:
    """Make a published table and figure again.

    Writes table.csv, table.md, table.json and figure.png into the folder
    "<name>-<scale>" of `out`, and every training run into a folder of its own
    in "runs" beside it. What is there is not trained again, also not for
    another experiment or with more seeds; an interrupted run goes on.

    Args:
        name: one of `EXPERIMENTS`.
        out: folder for this and other experiments.
        scale: "small", minutes on two CPU cores with narrower nets on smaller
            data, or "paper", the published set-up.
        seeds: number of seeds, 0, 1, ...
        rows: names of the table's rows to make, or "row/label" for the lines of a
            row with that label ("gconv-adam/DNN"); none means all.
        data_dir: tensorflow-datasets folder, or one with <name>.npz.
        progress: whether to tell on stderr what goes on.
        changes: fields of `Recipe` set in every run, such as `{"epochs": 2}`.

    Returns:
        The table.

    Raises:
        ValueError: unknown name, scale, row or recipe field, with the closest
            match; a run folder made by another recipe.

    Example:
        >>> import tempfile
        >>> from dlgn_keras.experiments import reproduce
        >>> few = {"epochs": 1, "num_train": 64}
        >>> with tempfile.TemporaryDirectory() as out:
        ...     table = reproduce("regimes", out, seeds=1, rows=["fc-sgd"],
        ...                       progress=False, changes=few)
        >>> [line["regime"] for line in table.lines][:3]
        ['DNN', 'FRNPF(II)', 'FRNPF(DI)']
    """
    check_choice("name", name, EXPERIMENTS)
    check_choice("scale", scale, SCALES)
    check_count("seeds", seeds)
    if isinstance(rows, str):
        raise ValueError(f"`rows` must be a list of names. Received: rows={rows!r}.")
    runs = Runs(out, data_dir, progress)
    call = Call(EXPERIMENTS[name], runs, scale, seeds, tuple(rows), changes or {})
    return call.run()


__all__ = ["EXPERIMENTS", "Experiment", "Runs", "Table", "reproduce"]
