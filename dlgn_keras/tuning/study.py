"""Families tuned alike: the same budget for each, a table, and what matters."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dlgn_keras.tools.files import make_folder, write_json, write_text
from dlgn_keras.training import environment, fit
from dlgn_keras.tuning.hypermodel import GatedHyperModel
from dlgn_keras.tuning.importance import importance
from dlgn_keras.tuning.results import Tuned
from dlgn_keras.tuning.searching import search
from dlgn_keras.tuning.spaces import GATED_ONLY
from dlgn_keras.tuning.study_plots import draw_study
from dlgn_keras.tuning.trials import free_memory


def study(
    hypermodels: dict[str, GatedHyperModel],
    out: str | Path,
    *,
    vary: tuple[str, Sequence[Any]] | None = None,
    retrain_seeds: int = 3,
    command: str = "",
    **options: Any,
) -> dict[str, Any]:
    """Tune each hypermodel with the same budget and set them side by side.

    Args:
        hypermodels: {label: hypermodel}.
        out: folder; a search in a folder of its own per label.
        vary: a recipe field and values: the best recipe of each family that has
            it is trained again at each value, all else held, with
            `retrain_seeds` seeds, at least one, and measured on the validation part.
        retrain_seeds: runs of the best recipe, and of each varied one.
        command: what makes the same again, for the record.
        options: of `search`, the same for all.

    Returns:
        What is written to study.json: per label the best trial, all trials, the
        importances and the varied runs. table.md and matters.png are beside it.
    """
    if vary:
        _check_varied(*vary, hypermodels, retrain_seeds)
    folder = make_folder(out)
    found: dict[str, Any] = {"command": command, "families": {}}
    for label, hypermodel in hypermodels.items():
        tuned = search(
            hypermodel, folder / label, retrain_seeds=retrain_seeds, **options
        )
        if tuned is None:
            raise ValueError("`role` must be alone: a study leads its searches itself.")
        entry = {**tuned.summary(), "importance": importance(tuned.rows)}
        if vary and _has(hypermodel, vary[0]):
            entry["varied"] = _varied(tuned, hypermodel, *vary, retrain_seeds)
        entry |= {"recipe": tuned.best.to_config(), "rows": tuned.rows}
        found["families"][label] = entry
    found["environment"] = environment()
    write_json(folder / "study.json", found)
    write_text(folder / "table.md", table(found))
    draw_study(found, folder / "matters.png", over=vary[0] if vary else "beta")
    return found


def _has(hypermodel: GatedHyperModel, name: str) -> bool:
    return hypermodel.base.family != "dnn" or name not in GATED_ONLY


def _check_varied(
    name: str,
    values: Sequence[Any],
    hypermodels: dict[str, GatedHyperModel],
    seeds: int,
) -> None:
    """Refuse what would fail after hours of search."""
    if seeds < 1:
        raise ValueError(
            "`vary` needs `retrain_seeds` (--retrain) of at least 1. "
            f"Received: retrain_seeds={seeds}."
        )
    for hypermodel in hypermodels.values():
        for value in values if _has(hypermodel, name) else ():
            hypermodel.base.replace(**{name: value})


def _varied(
    tuned: Tuned,
    hypermodel: GatedHyperModel,
    name: str,
    values: Sequence[Any],
    seeds: int,
) -> dict[str, Any]:
    """Return validation accuracies of the best recipe at each value of one field."""
    accuracies = []
    for value in values:
        recipe = tuned.best.replace(**{name: value})
        runs = []
        for k in range(1, seeds + 1):
            run = recipe.replace(seed=tuned.best.seed + k)
            where = tuned.folder / "varied" / run.fingerprint
            result = fit(run, where, dataset=hypermodel.blind(), progress=False)
            runs.append(result.test_accuracy)  # blind: its test part is validation
            del result
            free_memory()
        accuracies.append(runs)
    return {"name": name, "values": list(values), "validation_accuracies": accuracies}


def table(found: dict[str, Any]) -> str:
    """Return the study as Markdown: accuracies in %, mean ± deviation over seeds."""
    lines = [
        "| family | trials | best trial, validation | retrained, validation | "
        "retrained, test | parameters | best recipe |",
        "| --- | ---: | ---: | ---: | ---: | ---: | --- |",
    ]
    for label, entry in found["families"].items():
        best, again = entry["best"], entry["retrained"] or {}
        values = ", ".join(
            f"{name.removeprefix('hp:')} {_shown(value)}"
            for name, value in best.items()
            if name.startswith("hp:") and "tuner/" not in name
        )
        cells = [
            label.upper(),
            str(sum(entry["trials"].values())),
            f"{100 * best['validation_accuracy']:.2f}",
            _percent(again, "validation"),
            _percent(again, "test"),
            f"{best['parameters']:,}",
            values,
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(again: dict[str, Any], part: str) -> str:
    if f"{part}_accuracy" not in again:
        return ""
    deviation = again[f"{part}_accuracy_std"]
    shown = "" if deviation is None else f" ± {100 * deviation:.2f}"
    return f"{100 * again[f'{part}_accuracy']:.2f}{shown}"


def _shown(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
