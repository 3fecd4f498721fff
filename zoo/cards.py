"""A preset's card: what it is, how good, how made, for what, and its curves."""

from pathlib import Path
from typing import Any

from dlgn_keras.presets.files import PICTURE

FROZEN = "npf_"  # in the name of presets whose gates are frozen, and hard
USES = """\
Reading and comparing: its gates, its paths and its exact contributions beside those of
its twins, which share the skeleton, the data and the recipe. A start for fine-tuning on
data of the same kind. Nothing that people's safety or rights depend on."""

LIMITS = """\
It knows inputs like those of its training set only, says nothing about others with
confidence one could trust, and was not tested against shifts or attacks;
`net.cautions(x)` names inverted, empty and noisy inputs by their statistics. The recipe
is modern and short; it is not the papers'. The test set chose nothing: the figure is
the last epoch's."""


def card(name: str, metadata: dict[str, Any], drawn: bool = True) -> str:
    """Return the text of CARD.md, from the metadata alone; `drawn`: with a picture."""
    results, data = metadata["results"], metadata["data"]
    training, recipe = metadata["training"], metadata["recipe"]
    environment = training["environment"]
    seconds = ", ".join(f"{s:.0f}" for s in training["seconds"])
    backend = environment["backend"]
    kind = "image" if len(data["input_shape"]) == 3 else "time-series"
    picture = f"\n![Curves over the epochs]({PICTURE})\n" if drawn else ""
    return f"""\
---
library_name: keras
license: apache-2.0
datasets: [{data["name"]}]
tags: [dlgn-keras, {metadata["family"]}, {kind}-classification]
---
# {name}

{metadata["description"]}

```python
import dlgn_keras as dk
net = dk.{metadata["family"].upper()}.from_preset("{name}")
logits = net.predict(raw_inputs)        # {data_line(data)}
net.decode_predictions(logits)          # names, probabilities, logits
```

## Accuracy

Test accuracy after the last epoch: **{accuracy_text(results)}**.
The stored weights ({metadata["weights_dtype"]}) are those of seed \
{results["seeds"][0]}: {100 * results["stored_weights"]:.2f} %{hard_text(metadata)}.
{ratio_text(results)}
{picture}
## Training

`{metadata["command"]}` makes it again. {recipe["epochs"]} epochs, \
{recipe["optimizer"]}, {recipe["schedule"]} to a rate of {recipe["learning_rate"]:g}, \
batch {recipe["batch_size"]}, augmentation {recipe["augmentation"]}; every field of the
recipe is in metadata.json.
{seconds} s per run on {environment["processor"]} ({environment["device"]}), \
{backend} {environment[backend]}, Keras {environment["keras"]}, \
commit {environment.get("commit", "unknown")}.
{metadata["parameter_count"]:,} parameters.

## Data

{data["name"]}: {data["train"]:,} training and {data["test"]:,} test examples. \
{data["terms"]}

## Intended use

{USES}

## Known limits

{LIMITS}
"""


def data_line(data: dict[str, Any]) -> str:
    """Return what raw inputs look like."""
    shape = ", ".join(map(str, data["input_shape"]))
    low, high = data["raw_range"] or (None, None)
    return f"(n, {shape})" + ("" if low is None else f", values {low:g} to {high:g}")


def accuracy_text(results: dict[str, Any]) -> str:
    """Return mean, deviation and the number of seeds in words."""
    text = f"{100 * results['mean']:.2f} %"
    seeds = len(results["seeds"])
    if results["std"] is None:
        return f"{text} (one seed)"
    return f"{text}, standard deviation {100 * results['std']:.2f} over {seeds} seeds"


def hard_text(metadata: dict[str, Any]) -> str:
    """Return the accuracy with hard gates, where the model's own are soft."""
    hard = metadata["results"]["hard_gates"]
    if hard is None or metadata["family"] == "dnn" or FROZEN in metadata["name"]:
        return ""
    return (
        f", and {100 * hard:.2f} % with hard gates, 1{{q > 0}}, in place of soft ones"
    )


def ratio_text(results: dict[str, Any]) -> str:
    """Return how it compares with its DNN twin."""
    if results["ratio_to_dnn"] is None:
        return f"Its DNN twin `{results['dnn_twin']}` is not built yet."
    share = 100 * results["ratio_to_dnn"]
    return f"That is {share:.1f} % of its DNN twin's, `{results['dnn_twin']}`."


def draw(runs: list[dict[str, Any]], name: str, path: Path) -> None:
    """Draw loss and error over the epochs, one line per seed."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(7, 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    losses, errors = [], []
    for run in runs:
        curves, label = run["curves"], f"seed {run['seed']}"
        # Older records hold every epoch, and no list of them.
        epochs = curves.get("epoch") or range(1, len(curves["loss"]) + 1)
        losses += curves["loss"]
        left.plot(epochs, curves["loss"], linewidth=1, label=label)
        error = [100 * (1 - accuracy) for accuracy in curves["test_accuracy"]]
        errors += error
        right.plot(epochs, error, linewidth=1, label=label)
    left.set(xlabel="epoch", ylabel="training loss", title=name)
    right.set(xlabel="epoch", ylabel="test error, %")
    for axes, values in ((left, losses), (right, errors)):
        axes.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
        _logarithmic(axes, values)
    right.legend(frameon=False, fontsize="small")
    figure.savefig(path, dpi=90)


def _logarithmic(axes: Any, values: list[float]) -> None:
    """Draw these values over decades, ticks a reader can tell apart, a zero below."""
    from matplotlib.ticker import LogLocator, NullFormatter, NullLocator

    low = min((v for v in values if v > 0), default=1.0)
    high = max(low, *values)
    if high > 300 * low:
        steps = (1.0,)
    elif low < high < 10 * low:
        steps = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    else:
        steps = (1.0, 2.0, 5.0)
    ticks = LogLocator(subs=steps)
    axis = axes.yaxis
    if min(values) > 0:
        axes.set_yscale("log")
        axis.set_major_locator(ticks)
    else:
        axes.set_yscale("symlog", linthresh=low, linscale=0.4)
        axes.set_ylim(bottom=0)
        inside = (t for t in ticks.tick_values(low, high) if low <= t <= high)
        axes.set_yticks([0, *inside])
        axis.set_minor_locator(NullLocator())
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())
