"""Experiment 1: how much of a DNN is in its gates (arXiv 2006.10529, Table 1)."""

from dlgn_keras.experiments.experiment import Cell, Experiment
from dlgn_keras.experiments.runs import BEST
from dlgn_keras.training import named_recipe

# Test accuracy in %, mean of 5 runs, best test epoch.
PUBLISHED = {
    "fc-sgd": (97.85, 95.85, 95.85, 97.86, 97.10),
    "fc-adam": (98.14, 96.02, 96.09, 98.22, 97.82),
    "vconv-sgd": (67.02, 58.92, 58.83, 63.21, 63.06),
    "vconv-adam": (72.43, 64.86, 64.68, 69.45, 71.40),
    "gconv-sgd": (78.90, 67.36, 66.86, 74.57, 78.52),
    "gconv-adam": (80.32, 67.09, 67.08, 77.12, 79.68),
}
REGIMES = ("DNN", "FRNPF(II)", "FRNPF(DI)", "DLNPF", "FLNPF")
BEST_GATES = "FLNPF (best epoch's gates)"

# Narrow nets on 8 x 8 digits.
SMALL = {
    "fc": {"skeleton": "fc:depth=5,width=32"},
    "vconv": {"skeleton": "vconv:filters=8-8-16-16,units=32-32"},
    "gconv": {"skeleton": "gconv:filters=8-8-16-16,units=32-32"},
}
SMALL_RATES = {"sgd": 0.05, "adam": 1e-3}


def cells(scale: str) -> list[Cell]:
    """Return the table's cells: six set-ups in five regimes, FLNPF in two ways."""
    found = []
    for row, figures in PUBLISHED.items():
        net, optimizer = row.split("-")
        changes: dict = {}
        if scale == "small":
            changes = {
                **SMALL[net],
                "data": "digits",
                "epochs": 30,
                "learning_rate": SMALL_RATES[optimizer],
            }
        name = f"p0-{row}"
        dnn = named_recipe(name, **changes)
        fixed = {"family": "dgn", **changes}
        recipes = {
            "DNN": dnn,
            "FRNPF(II)": named_recipe(name, regime="frnpf_ii", **fixed),
            "FRNPF(DI)": named_recipe(name, regime="frnpf_di", **fixed),
            # The authors' code multiplies its soft gates by 1.1.
            "DLNPF": named_recipe(name, gate_scale=1.1, beta=4.0, **fixed),
            "FLNPF": named_recipe(name, **fixed),
        }
        for regime, published in zip(REGIMES, figures, strict=True):
            gates_of = dnn if regime == "FLNPF" else None
            labels = {"row": row, "regime": regime}
            found.append(Cell(labels, recipes[regime], gates_of, published=published))
        # As published: the gates of the DNN at its best test epoch.
        labels = {"row": row, "regime": BEST_GATES}
        found.append(Cell(labels, recipes["FLNPF"], dnn, BEST, figures[-1]))
    return found


EXPERIMENT = Experiment(
    name="regimes",
    title="How much of a DNN is in its gates: five ways to make a DGN's gates",
    source="arXiv 2006.10529, Table 1 (5 runs, best test epoch)",
    needs={"small": "nothing (digits)", "paper": "mnist and cifar10"},
    time={
        "small": "3 minutes a seed",
        "paper": "one CPU core: fc-adam 7 minutes a seed, fc-sgd 20; the "
        "convolutional rows want an accelerator",
    },
    cells=cells,
    notes=(
        "FLNPF takes the gates of the DNN after its last epoch; the paper took those "
        "of its best test epoch, which selects on the test set: the line beside it.",
    ),
)
