"""Time of tiny nets: training by a recipe over a plain eager PyTorch loop.

    python benchmarks/tiny.py --backend jax

A DLGN of 5 x 20 and a DLGN-SF of 4 x 10 on the points of sdi (20000 points, 20
features, 10 batches an epoch, Adam, all-ones value input), 1500 epochs in the
papers. Both sides train a few epochs in turn, in one process, so that what else the
machine does hits both alike: a ratio is taken within a round, the table shows the
median over the rounds and their quartiles. Ours is the time inside `fit`, order and
transfer of the batches, evaluation on 10000 examples and checkpointing included,
compilation aside; PyTorch's loop does none of these but the order.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any, NamedTuple

NETS = {"dlgn": "5 x 20", "dlgn-sf": "4 x 10"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", choices=("tensorflow", "jax", "torch"))
    parser.add_argument("--epochs", type=int, default=100, help="epochs a round")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--many", type=int, default=4, help="seeds at once; 0: none")
    arguments = parser.parse_args()
    if arguments.backend:
        os.environ["KERAS_BACKEND"] = arguments.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from machine import header, print_table

    rows = [measure(net, arguments.epochs, arguments.rounds) for net in NETS]
    print(f"\n{header()}\n")
    head = ["net", "PyTorch, eager: ms an epoch", "ours: ms an epoch"]
    head += ["ours / PyTorch", "in CPU time"]
    print_table([*head, "rounds"], rows)
    if arguments.many:
        print()
        head = ["net", "runs", "one by one: s", "at once: s", "at once / one by one"]
        rows = [together(net, arguments.epochs, arguments.many) for net in NETS]
        print_table([*head, "in CPU time"], rows)


def measure(net: str, epochs: int, rounds: int) -> list[str]:
    """Return the table's row of a net."""
    import keras
    from machine import spread

    from dlgn_keras.data import oblique_dataset
    from dlgn_keras.training import fit, named_recipe

    dataset = oblique_dataset("sdi").dataset
    recipe = named_recipe(
        f"p4-{net}-sdi", epochs=epochs * (rounds + 1), evaluate_every=epochs
    )
    eager = eager_loop(recipe, dataset)
    eager(2)
    times: dict[str, list[Times]] = {"ours": [], "eager": []}

    class Turns(keras.callbacks.Callback):
        """After each of our rounds, one of PyTorch's."""

        started = Times.now()

        def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
            times["ours"].append(Times.now() - self.started)
            before = Times.now()
            eager(epochs)
            times["eager"].append(Times.now() - before)
            self.started = Times.now()

    with tempfile.TemporaryDirectory() as out:
        fit(recipe, out, dataset=dataset, progress=False, callbacks=[Turns()])
    ours, theirs = times["ours"][1:], times["eager"][1:]  # the first one compiles
    shown = [
        spread([1e3 * t.wall / epochs for t in side], 1) for side in (theirs, ours)
    ]
    pairs = list(zip(ours, theirs, strict=True))
    shown.append(spread([a.wall / b.wall for a, b in pairs], 3))
    shown.append(spread([a.cpu / b.cpu for a, b in pairs], 3))
    return [f"{net} {NETS[net]}", *shown, str(rounds)]


def together(net: str, epochs: int, number: int) -> list[str]:
    """Return a row: so many seeds by `fit` and by `fit_many`, compilation included."""
    from dlgn_keras.data import oblique_dataset
    from dlgn_keras.training import fit, fit_many, named_recipe

    dataset = oblique_dataset("sdi").dataset
    recipe = named_recipe(f"p4-{net}-sdi", epochs=epochs, evaluate_every=epochs)
    recipes = [recipe.replace(seed=seed) for seed in range(number)]
    started = Times.now()
    for one in recipes:
        fit(one, dataset=dataset, progress=False)
    middle = Times.now()
    fit_many(recipes, dataset=dataset)
    alone, at_once = middle - started, Times.now() - middle
    shown = [f"{alone.wall:.1f}", f"{at_once.wall:.1f}"]
    shown += [f"{at_once.wall / alone.wall:.2f}", f"{at_once.cpu / alone.cpu:.2f}"]
    return [f"{net} {NETS[net]}", str(number), *shown]


class Times(NamedTuple):
    """Seconds on the wall's clock and on the processor's."""

    wall: float
    cpu: float

    @classmethod
    def now(cls) -> "Times":
        return cls(time.perf_counter(), time.process_time())

    def __sub__(self, before: "Times") -> "Times":
        return Times(self.wall - before.wall, self.cpu - before.cpu)


def eager_loop(recipe: Any, dataset: Any) -> Callable[[int], None]:
    """Return a function that trains the recipe's net by plain PyTorch."""
    import torch

    x, y = torch.tensor(dataset.x_train), torch.tensor(dataset.y_train)
    widths = [
        stage.units for stage in recipe.skeleton.stages if hasattr(stage, "units")
    ]
    dim = x.shape[1]

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            before = [dim, *widths[:-1]]
            seen = [dim] * len(widths) if recipe.shallow else before
            self.gating = torch.nn.ModuleList(
                torch.nn.Linear(a, b) for a, b in zip(seen, widths, strict=True)
            )
            self.value = torch.nn.ModuleList(
                torch.nn.Linear(a, b, bias=False)
                for a, b in zip(before, widths, strict=True)
            )
            self.logits = torch.nn.Linear(widths[-1], dataset.num_classes, bias=False)

        def forward(self, x: Any) -> Any:
            q, z = x, torch.ones_like(x)
            for gating, value in zip(self.gating, self.value, strict=True):
                q = gating(x if recipe.shallow else q)
                z = value(z) * torch.sigmoid(recipe.beta * q)
            return self.logits(z)

    net = Net()
    optimizer = torch.optim.Adam(net.parameters(), recipe.learning_rate)
    loss = torch.nn.CrossEntropyLoss()

    def train(epochs: int) -> None:
        for _ in range(epochs):
            for batch in torch.randperm(len(x)).split(recipe.batch_size):
                optimizer.zero_grad()
                loss(net(x[batch]), y[batch]).backward()
                optimizer.step()

    return train


if __name__ == "__main__":
    main()
