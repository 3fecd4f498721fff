"""Recipe: everything that decides a training run, as plain data."""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dlgn_keras import gates
from dlgn_keras.data.scores import LOSSES, targets_of
from dlgn_keras.skeletons import Skeleton, parse
from dlgn_keras.tools.messages import check_choice, check_count, closest

# Family -> whether it has a gating network. `models`, which imports Keras, has the
# classes; recipes and search spaces are read without it.
FAMILIES = {"dnn": False, "dgn": True, "dlgn": True}
REGIMES = ("joint", "frnpf_ii", "frnpf_di", "flnpf")
OPTIMIZERS = ("sgd", "adam", "adamw", "muon")
SCHEDULES = ("constant", "one_cycle", "cosine", "piecewise")
PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16", "auto")
# Loss -> the figure that goes with it, of which more is better.
AUGMENTATIONS = ("none", "flip", "shift", "shift_flip")


def _option(default: Any, text: str, choices: tuple[str, ...] = ()) -> Any:
    return field(default=default, metadata={"help": text, "choices": choices})


@dataclass(frozen=True)
class Recipe:
    """A training run as data: same recipe, same backend, same machine, same run.

    Every field has a sentence in its `help` metadata; the command line's
    options are made from them. Weight decay is decoupled, as Keras means it: each
    step subtracts `learning_rate * weight_decay` times the kernel. A published L2
    penalty, which adds `c w` to the gradient under momentum m, decays like
    `weight_decay = c / (1 - m)` (where `learning_rate * c` is small).

    Raises:
        ValueError: a value out of range or fields that contradict each other.

    Example:
        >>> from dlgn_keras.training import Recipe
        >>> recipe = Recipe(family="dlgn", skeleton="fc:depth=2", epochs=3)
        >>> Recipe.from_json(recipe.to_json()) == recipe
        True
    """

    family: str = _option("dlgn", "kind of model", tuple(FAMILIES))
    # A text ("fc:depth=4,width=20") is taken too, and parsed.
    skeleton: Skeleton = _option("fc", "architecture, e.g. fc:depth=4,width=20")
    data: str = _option(
        "digits",
        "digits, mnist, cifar10, cifar100, sdi, tfds:NAME[/CONFIG][:VERSION], a folder "
        "of pictures (a folder a class, or train and test of these), or an .npz",
    )
    image_size: int | None = _option(
        None, "tfds:NAME and folders: pixels of a side; cut around the centre, resized"
    )
    loss: str = _option(
        "crossentropy",
        "crossentropy; binary: two classes by one logit; mse: numbers, measured by R^2",
        tuple(LOSSES),
    )
    regime: str = _option("joint", "how the gates are made", REGIMES)
    gates_from: str | None = _option(
        None, "flnpf: saved model whose weights make the gates"
    )
    gate: str | None = _option(
        None, "gate function; soft with joint, hard with the others", gates.MODES
    )
    beta: float = _option(4.0, "slope of the soft gate")
    gate_scale: float = _option(1.0, "factor on every gate")
    value_input: str = _option(
        "input", "what the value network sees", ("input", "ones")
    )
    value: str = _option(
        "network",
        "what gives paths their values; tensor is DLGN-VT",
        ("network", "tensor"),
    )
    gate_order: tuple[int, ...] | None = _option(None, "permutation of the sites")
    shallow: bool = _option(False, "gates straight from the input (DLGN-SF)")
    gating_bias: bool = _option(True, "biases in a DNN or a gating network")
    value_bias: bool = _option(False, "biases in the value network")
    value_norm: str = _option(
        "batch",
        "the value network's norms; scale neither centres nor shifts",
        ("batch", "scale"),
    )
    batch_norm: bool | None = _option(None, "force batch norm on or off")
    kernel_initializer: str = _option("he_normal", "Keras initializer of the kernels")
    optimizer: str = _option("adam", "Keras optimizer", OPTIMIZERS)
    learning_rate: float = _option(1e-3, "highest learning rate")
    momentum: float = _option(0.9, "momentum, for sgd")
    nesterov: bool = _option(False, "Nesterov momentum, for sgd")
    weight_decay: float = _option(0.0, "decoupled weight decay, kernels only")
    clip_norm: float | None = _option(None, "clip the gradient's global norm")
    schedule: str = _option("constant", "learning rate over the steps", SCHEDULES)
    warmup: float = _option(0.25, "one_cycle: share of the steps with a rising rate")
    boundaries: tuple[int, ...] = _option((), "piecewise: steps where the rate changes")
    rates: tuple[float, ...] = _option((), "piecewise: rates, one more than boundaries")
    batch_size: int = _option(32, "examples a step")
    epochs: int = _option(30, "passes over the training data")
    evaluate_every: int = _option(
        1, "epochs from one evaluation and checkpoint to the next; divides epochs"
    )
    augmentation: str = _option(
        "none", "random changes of images; shift: 4 of 32 pixels", AUGMENTATIONS
    )
    alternating_flip: bool = _option(
        False, "mirror an image in every second epoch, not at random"
    )
    erase: float = _option(0.0, "cutout: side of an erased square, share of the image")
    mixup: float = _option(0.0, "mix pairs of images: alpha of the beta distribution")
    cutmix: float = _option(0.0, "paste parts of other images: alpha, as for mixup")
    label_smoothing: float = _option(0.0, "share of the label spread over all classes")
    ema: float = _option(0.0, "per step; above 0: keep a moving average of weights")
    bias_rate: float = _option(1.0, "sgd: factor on the learning rate of biases")
    distill_from: str | None = _option(None, "saved model whose logits are learnt too")
    distill_weight: float = _option(0.9, "share of the teacher's logits in the loss")
    temperature: float = _option(4.0, "softens both models' logits while distilling")
    validation: float = _option(0.0, "share or number of training examples held out")
    num_train: int | None = _option(None, "use only so many training examples")
    num_test: int | None = _option(None, "use only so many test examples")
    precision: str = _option(
        "float32",
        "dtype policy; auto: mixed_bfloat16 on an accelerator, else float32",
        PRECISIONS,
    )
    seed: int = _option(0, "seed of weights, data order and augmentation")

    def __post_init__(self) -> None:
        if isinstance(self.skeleton, str):
            object.__setattr__(self, "skeleton", parse(self.skeleton))
        for name in ("gate_order", "boundaries", "rates"):
            value = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, tuple(value))
        self._check()

    def _check(self) -> None:
        for option in dataclasses.fields(self):
            choices, value = option.metadata["choices"], getattr(self, option.name)
            if choices and (value is not None or option.default is not None):
                check_choice(option.name, value, choices)
        gates.check(self.gate_mode, self.beta, self.gate_scale)
        check_count("batch_size", self.batch_size)
        check_count("epochs", self.epochs)
        check_count("evaluate_every", self.evaluate_every)
        if self.epochs % self.evaluate_every:
            raise ValueError(
                f"`evaluate_every` must divide the {self.epochs} epochs. "
                f"Received: evaluate_every={self.evaluate_every}."
            )
        for name in ("num_train", "num_test", "image_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))
        _check_between("learning_rate", self.learning_rate, 0, None, open_low=True)
        _check_between("weight_decay", self.weight_decay, 0, None)
        _check_between("momentum", self.momentum, 0, 1)
        _check_between("label_smoothing", self.label_smoothing, 0, 1)
        _check_between("warmup", self.warmup, 0, 1)
        _check_between("validation", self.validation, 0, None)
        for name in ("erase", "ema", "distill_weight"):
            _check_between(name, getattr(self, name), 0, 1)
        for name in ("mixup", "cutmix", "bias_rate"):
            _check_between(name, getattr(self, name), 0, None)
        _check_between("temperature", self.temperature, 0, None, open_low=True)
        self._check_tricks()
        if self.clip_norm is not None:
            _check_between("clip_norm", self.clip_norm, 0, None, open_low=True)
        whole = isinstance(self.seed, int) and not isinstance(self.seed, bool)
        if not whole or not 0 <= self.seed < 2**32:
            raise ValueError(
                "`seed` must be a whole number from 0 to 4294967295. "
                f"Received: seed={self.seed!r}."
            )
        if self.regime != "joint" and not FAMILIES[self.family]:
            raise ValueError(
                "`regime` must be 'joint' for a family without a gating network. "
                f"Received: regime={self.regime!r}, family={self.family!r}."
            )
        if (self.regime == "flnpf") != (self.gates_from is not None):
            raise ValueError(
                "`gates_from` and regime 'flnpf' go together: the gates of a trained "
                f"model. Received: regime={self.regime!r}, "
                f"gates_from={self.gates_from!r}."
            )
        if self.regime == "frnpf_di" and self.gating_bias != self.value_bias:
            raise ValueError(
                "`gating_bias` and `value_bias` must be equal where the gating network "
                "copies the value network (frnpf_di). Received: "
                f"gating_bias={self.gating_bias}, value_bias={self.value_bias}."
            )
        if self.schedule == "piecewise":
            self._check_pieces()

    def _check_tricks(self) -> None:
        of_classes = ("mixup", "cutmix", "distill_from")
        of_classes += ("label_smoothing",) if self.loss == "mse" else ()
        for name in of_classes if self.loss != "crossentropy" else ():
            if getattr(self, name):
                raise ValueError(
                    f"`{name}` goes with classes that have a logit each. Received: "
                    f"{name}={getattr(self, name)!r}, loss={self.loss!r}."
                )
        if self.mixup and self.cutmix:
            raise ValueError(
                "At most one of `mixup` and `cutmix` may be above 0. "
                f"Received: mixup={self.mixup}, cutmix={self.cutmix}."
            )
        if self.alternating_flip and "flip" not in self.augmentation:
            raise ValueError(
                "`alternating_flip` needs an augmentation that flips. "
                f"Received: augmentation={self.augmentation!r}."
            )
        if self.bias_rate != 1 and self.optimizer != "sgd":
            raise ValueError(
                "`bias_rate` must be 1 where the optimizer adapts the rate of each "
                f"weight. Received: bias_rate={self.bias_rate}, "
                f"optimizer={self.optimizer!r}."
            )

    def _check_pieces(self) -> None:
        for boundary in self.boundaries:
            check_count("boundaries", boundary)
        for rate in self.rates:
            _check_between("rates", rate, 0, None)
        if list(self.boundaries) != sorted(set(self.boundaries)):
            raise ValueError(
                f"`boundaries` must rise. Received: boundaries={self.boundaries}."
            )
        if len(self.rates) != len(self.boundaries) + 1:
            raise ValueError(
                "`rates` must have one entry more than `boundaries`. "
                f"Received: rates={self.rates}, boundaries={self.boundaries}."
            )

    @property
    def gate_mode(self) -> str:
        """The gate of the recipe, or the regime's: soft if trained, hard if frozen."""
        return self.gate or ("soft" if self.regime == "joint" else "hard")

    @property
    def score(self) -> str:
        """The figure of the loss in a run's history: accuracy, or r2."""
        return LOSSES[self.loss]

    @property
    def targets(self) -> str:
        """What the data must hold for the loss: "classes" or "numbers"."""
        return targets_of(self.loss)

    def replace(self, **changes: Any) -> "Recipe":
        """Return the recipe with some fields changed."""
        return from_dict({**self.to_config(), **changes})

    def to_config(self) -> dict[str, Any]:
        """Return plain values, ready for json."""
        config = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        config["skeleton"] = config["skeleton"].to_config()
        return {k: list(v) if isinstance(v, tuple) else v for k, v in config.items()}

    def to_json(self) -> str:
        return json.dumps(self.to_config(), indent=2)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """Rebuild a recipe from json text; unknown fields are a ValueError."""
        try:
            config = json.loads(text)
        except (ValueError, RecursionError) as error:  # nested thousands deep
            raise ValueError(f"A recipe must be json: {error}.") from None
        return from_dict(config)

    @classmethod
    def from_file(cls, path: str | Path) -> "Recipe":
        """Read a recipe from a json file."""
        path = Path(path)
        if not path.is_file():
            raise FileNotFoundError(f"No recipe file {str(path)!r}.")
        return cls.from_json(path.read_text())

    @property
    def fingerprint(self) -> str:
        """Sixteen hex digits that change with any field.

        Fields at their default do not count: a run begun before there was a field
        goes on where the field is left alone.
        """
        defaults = {f.name: f.default for f in dataclasses.fields(self)}
        config = {k: v for k, v in self.to_config().items() if v != defaults[k]}
        text = json.dumps(config, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def from_dict(config: Any) -> Recipe:
    """Return the recipe that a dictionary of fields describes."""
    if not isinstance(config, dict):
        raise ValueError(f"A recipe must be a dictionary. Received: {config!r}.")
    names = [f.name for f in dataclasses.fields(Recipe)]
    for name in config:
        if name not in names:
            raise ValueError(
                f"A recipe has no field {name!r}.{closest(name, names)} "
                f"Its fields: {', '.join(names)}."
            )
    values = dict(config)
    if isinstance(values.get("skeleton"), dict):
        values["skeleton"] = Skeleton.from_config(values["skeleton"])
    return Recipe(**values)


def _check_between(
    name: str, value: Any, low: float, high: float | None, open_low: bool = False
) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    fits = number and value == value and value >= low and value < float("inf")
    fits = fits and not (open_low and value == low)
    fits = fits and (high is None or value < high)
    if not fits:
        bound = f"{'above' if open_low else 'at least'} {low}"
        bound += "" if high is None else f" and below {high}"
        raise ValueError(f"`{name}` must be {bound}. Received: {name}={value!r}.")
