"""What a search may look at: the validation part after the last epoch, no more."""

from typing import Any

from dlgn_keras.tools.messages import check_choice

# Name -> which way is better. The test part is not among them, on purpose.
OBJECTIVES = {"validation_accuracy": "max", "validation_loss": "min"}


def check_objective(name: Any) -> str:
    """Return `name` if it is an objective, else raise ValueError."""
    try:
        check_choice("objective", name, OBJECTIVES)
    except ValueError as error:
        why = " A search never looks at the test set." if "test" in str(name) else ""
        raise ValueError(f"{error}{why}") from None
    return name


def better(objective: str, one: float, other: float) -> bool:
    """Return whether the first score is better than the second."""
    return one > other if OBJECTIVES[objective] == "max" else one < other
