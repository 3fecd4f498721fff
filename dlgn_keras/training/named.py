"""Named recipes: the published set-ups, and modern ones for CIFAR.

P0 = arXiv 2006.10529 (batch 32, no augmentation, no decay, no schedule; its code
multiplies the soft gate by 1.1: add `gate_scale=1.1`); P1 = arXiv 2110.03403;
P4 = ICLR 2025 "Deep Networks Learn Features From Local Discontinuities in the
Label Function", the best set-ups that its search found.
"""

from typing import Any

from dlgn_keras.tools.messages import closest
from dlgn_keras.training.recipe import Recipe

# P0: a DNN's biases everywhere, Glorot kernels, batch 32.
_P0: dict[str, Any] = {
    "family": "dnn",
    "batch_size": 32,
    "gating_bias": True,
    "value_bias": True,
    "kernel_initializer": "glorot_uniform",
    "schedule": "constant",
    "momentum": 0.0,
}

# P1: 64k iterations of 128 images, warm-up at 0.01, steps at 32k and 48k. Keras'
# decay is decoupled: an L2 penalty of 1e-4 under momentum 0.9 is 1e-3 here.
_P1: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "learning_rate": 0.1,
    "schedule": "piecewise",
    "boundaries": (400, 32_000, 48_000),
    "rates": (0.01, 0.1, 0.01, 0.001),
    "batch_size": 128,
    "epochs": 164,
    "weight_decay": 1e-3,
    "augmentation": "shift_flip",
}

_ONE_CYCLE: dict[str, Any] = {
    "optimizer": "sgd",
    "momentum": 0.9,
    "nesterov": True,
    "learning_rate": 0.2,
    "weight_decay": 5e-3,
    "schedule": "one_cycle",
    "batch_size": 128,
    "epochs": 30,
    "augmentation": "shift_flip",
    "label_smoothing": 0.1,
    "precision": "auto",
}

# P4: ten batches an epoch, all-ones value input; data -> batch, then beta, learning
# rate, depth and width of the DLGN and of the DLGN-SF.
_P4: dict[str, Any] = {
    "family": "dlgn",
    "optimizer": "adam",
    "value_input": "ones",
    "epochs": 1500,
}
_P4_SEARCHED: dict[str, tuple[int, tuple, tuple]] = {
    "sdi": (2000, (3.0, 0.02, 5, 20), (30.0, 0.02, 4, 10)),
    "sdii": (3000, (10.0, 0.01, 4, 20), (3.0, 0.02, 4, 10)),
    "sdiii": (5000, (10.0, 0.001, 3, 10), (3.0, 0.01, 3, 20)),
}


def _named() -> dict[str, dict[str, Any]]:
    recipes: dict[str, dict[str, Any]] = {
        "digits": {
            "data": "digits",
            "skeleton": "fc",
            "schedule": "one_cycle",
            "learning_rate": 5e-3,
            "epochs": 40,
        },
        "p0-fc-sgd": _p0("fc", "mnist", "sgd", 1e-2, 300),
        "p0-fc-adam": _p0("fc", "mnist", "adam", 1e-4, 100),
        "p0-vconv-sgd": _p0("vconv", "cifar10", "sgd", 1e-2, 80),
        "p0-vconv-adam": _p0("vconv", "cifar10", "adam", 3e-4, 80),
        "p0-gconv-sgd": _p0("gconv", "cifar10", "sgd", 1e-1, 100),
        "p0-gconv-adam": _p0("gconv", "cifar10", "adam", 3e-4, 200),
    }
    for data in ("cifar10", "cifar100"):
        for skeleton, beta in (("c4gap", 4.0), ("vgg16", 10.0), ("resnet110", 4.0)):
            options = {"data": data, "skeleton": skeleton, "beta": beta}
            recipes[f"p1-{skeleton}-{data}"] = _P1 | options
        for skeleton in ("c4gap", "vgg16", "resnet20", "resnet56", "resnet110"):
            options = {
                "data": data,
                "skeleton": skeleton,
                "beta": 10.0 if skeleton == "vgg16" else 4.0,
                "batch_norm": True,
            }
            recipes[f"onecycle-{skeleton}-{data}"] = _ONE_CYCLE | options
    for data, (batch_size, deep, shallow) in _P4_SEARCHED.items():
        for name, searched in (("dlgn", deep), ("dlgn-sf", shallow)):
            beta, rate, depth, width = searched
            recipes[f"p4-{name}-{data}"] = _P4 | {
                "data": data,
                "skeleton": f"fc:depth={depth},width={width}",
                "shallow": name == "dlgn-sf",
                "beta": beta,
                "learning_rate": rate,
                "batch_size": batch_size,
            }
    return recipes


def _p0(
    skeleton: str, data: str, optimizer: str, rate: float, epochs: int
) -> dict[str, Any]:
    return _P0 | {
        "skeleton": skeleton,
        "data": data,
        "optimizer": optimizer,
        "learning_rate": rate,
        "epochs": epochs,
    }


NAMED = _named()


def named_recipe(name: str, **changes: Any) -> Recipe:
    """Return a named recipe, with some fields changed.

    Args:
        name: one of `NAMED`: "p0-<skeleton>-<optimizer>",
            "p1-<skeleton>-<data>", "p4-dlgn-<data>", "p4-dlgn-sf-<data>",
            "onecycle-<skeleton>-<data>" or "digits".
        changes: fields to set, such as `family="dgn"` or `seed=3`.

    Raises:
        ValueError: an unknown name, with the closest match.

    Example:
        >>> from dlgn_keras.training import named_recipe
        >>> named_recipe("p0-fc-adam", family="dgn").learning_rate
        0.0001
    """
    return Recipe(**{**named_fields(name), **changes})


def named_fields(name: str) -> dict[str, Any]:
    """Return the fields that a named recipe sets, its skeleton as text.

    Raises:
        ValueError: an unknown name, with the closest match.

    Example:
        >>> from dlgn_keras.training import named_fields
        >>> named_fields("p0-fc-adam")["skeleton"]
        'fc'
    """
    if name not in NAMED:
        raise ValueError(
            f"No recipe is called {name!r}.{closest(name, NAMED)} "
            f"The names: {', '.join(NAMED)}."
        )
    return dict(NAMED[name])
