"""Methods of models that rooms above the models provide."""

from typing import Any

from dlgn_keras.models.base import BaseModel


def _explain(
    net: BaseModel,
    x: Any,
    target: Any = None,
    at: str = "input",
    against: Any = None,
    batch_size: int = 32,
    mode: str | None = None,
    beta: float | None = None,
) -> Any:
    """Return `dk.interpret.explain(net, x, ...)`: logits taken apart, exactly.

    Args:
        x: raw inputs (n, *input_shape).
        target: class to explain, one for all or one per example; the predicted
            class if None. Of a map, an entry such as (row, column, channel).
        at: "input", a site of `net.sites`, or "auto".
        against: class whose logit is subtracted, or "next" for the runner-up.
        batch_size: number of examples explained at a time.
        mode: gates of the value network, "hard" or "soft"; the model's own if None.
        beta: slope of soft gates.
    """
    from dlgn_keras.interpret import explain

    return explain(net, x, target, at, against, batch_size, mode, beta)


_explain.__name__, _explain.__qualname__ = "explain", "BaseModel.explain"
BaseModel.explain = _explain


def _export_contributions(net: BaseModel, filepath: Any) -> None:
    """Write a model that answers and explains as ONNX; see `export`."""
    from dlgn_keras.interpret.onnx import export_contributions

    export_contributions(net, filepath)


BaseModel.export_contributions = _export_contributions
