"""What the experiment on oblique trees tries, and what was published."""

from typing import Any

Options = dict[str, Any]

PUBLISHED = {
    "sdi": (90.6, 96.1, 97.4, 98.4, 93.1, 76.5, 65.9, 57.3),
    "sdii": (82.3, 94.3, 90.3, 95.8, 88.2, 66.8, 58.8, 54.5),
    "sdiii": (62.1, 65.1, 63.6, 62.2, 62.5, 62.3, 54.6, 51.5),
}
PUBLISHED_FOR: tuple[str, ...] = (
    "DNN", "DLGN", "DLGN-SF", "DLGN-VT", "DLGN-DT", "SVM", "random forest", "CART",
)  # fmt: skip

MODERN: Options = {
    "optimizer": "adam",
    "schedule": "one_cycle",
    "batch_size": 200,
    "learning_rate": 0.02,
    "epochs": 300,
}
GATED = MODERN | {"family": "dlgn", "value_input": "ones", "beta": 10.0}
_SIZES = tuple({"skeleton": f"fc:depth=4,width={width}"} for width in (5, 6, 8, 10, 20))
_5, _6, _8, _10, _20 = _SIZES
_SMOOTH, _LONG = {"label_smoothing": 0.1}, {"epochs": 600}
_CALM = _SMOOTH | {"weight_decay": 0.02}
_STRICT = _SMOOTH | {"weight_decay": 0.1}
_DEEP = (_20, _10, *(_20 | more for more in (_SMOOTH, _CALM, _STRICT, _CALM | _LONG)))


def _shallow(wide: Options, narrow: Options) -> tuple[Options, ...]:
    return (
        wide,
        narrow,
        wide | _SMOOTH,
        narrow | _SMOOTH,
        wide | _STRICT,
        wide | _SMOOTH | _LONG,
    )


# Model -> what all its candidates share, then what tells them apart.
NETWORKS: dict[str, tuple[Options, tuple[Options, ...]]] = {
    "DNN": (MODERN | {"family": "dnn"}, _DEEP),
    "DLGN": (GATED, _DEEP),
    "DLGN-SF": (GATED | {"shallow": True}, _shallow(_10, _8)),
    "DLGN-VT": (GATED | {"shallow": True, "value": "tensor"}, _shallow(_6, _5)),
}
# By how many seeds candidates are judged: a lucky one of these nets proves little.
JUDGED_BY = {"small": 1, "paper": 3}
# Model -> its named recipe, less the data's name: the best that the paper found.
AS_PUBLISHED = {"DLGN": "p4-dlgn", "DLGN-SF": "p4-dlgn-sf"}
# Whose hyperplanes the tree is read off (the better of these; as published, the deep
# DLGN's, which gather at the root), and how far those of a cluster may be apart.
READ, GROWN_FROM = ("DLGN", "DLGN-SF"), "DLGN"
EPS = (0.1, 0.2, 0.3)
