"""The networks and data that the experiments on images share (arXiv 2110.03403)."""

from typing import Any

from dlgn_keras.training import Recipe, named_recipe

# Narrow enough for two CPU cores: minutes on 8 x 8 digits.
SMALL = {
    "c4gap-digits": "c4gap:width=16",
    "vgg16-digits": "vgg16:widths=8-16-32,repeats=1-1-2",
    "resnet8-digits": "resnet8:widths=8-8-16",
}
PAPER = tuple(
    f"{skeleton}-{data}"
    for data in ("cifar10", "cifar100")
    for skeleton in ("c4gap", "vgg16", "resnet110")
)
FAMILY_NAMES = {"dnn": "DNN", "dgn": "DGN", "dlgn": "DLGN"}

NEEDS = {"small": "nothing (digits)", "paper": "cifar10, cifar100, an accelerator"}


def rows(scale: str) -> tuple[str, ...]:
    """Return the names of the set-ups: "<skeleton>-<data>"."""
    return PAPER if scale == "paper" else tuple(SMALL)


def recipe(scale: str, row: str, **options: Any) -> Recipe:
    """Return the recipe of a set-up, with some fields set."""
    if scale == "paper":
        return named_recipe(f"p1-{row}", **options)
    small = {"skeleton": SMALL[row], "epochs": 20, "batch_norm": True}
    return named_recipe("digits", **{**small, **options})
