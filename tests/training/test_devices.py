"""Many devices: the losses of one device; a backend that cannot says which can."""

import json
import re
import socket
import types

import forked
import keras
import numpy as np
import pytest
from few_digits import digits

from dlgn_keras.cli import main
from dlgn_keras.training import Recipe, fit, load_data, load_trained
from dlgn_keras.training.devices import device_name, join_hosts

RECIPE = Recipe(
    skeleton="fc:depth=2,width=8", batch_norm=True, augmentation="shift_flip",
    optimizer="sgd", learning_rate=0.05, label_smoothing=0.1, num_train=120,
    num_test=38, validation=20, batch_size=16, epochs=3, seed=3,
)  # fmt: skip
KEYS = ("loss", "accuracy", "test_accuracy", "validation_accuracy")


def start(out, *options, count=1):
    """Train the recipe by the command line, on so many virtual devices."""
    path = out.with_suffix(".json")
    path.write_text(RECIPE.to_json())
    command = ["train", path, "--json", "--out", out, *options]
    return forked.start(
        "import sys\nfrom dlgn_keras.cli import main\nsys.exit(main(sys.argv[1:]))",
        *command,
        folder=out.parent / f"log-{out.name}",
        XLA_FLAGS=f"--xla_force_host_platform_device_count={count}",
    )


def figures(history):
    return [[row[key] for key in KEYS] for row in history]


def finished(process):
    assert process.wait() == 0, process.errors()
    return figures(json.loads(process.printed().splitlines()[-1])["history"])


def alike(ours, theirs):
    return all(
        a == pytest.approx(b, abs=1e-5)
        for ours_row, theirs_row in zip(ours, theirs, strict=True)
        for a, b in zip(ours_row, theirs_row, strict=True)
    )


if keras.backend.backend() == "jax":

    def test_devices_and_processes_train_as_one_device_does(tmp_path):
        with socket.socket() as free:
            free.bind(("localhost", 0))
            hosts = f"localhost:{free.getsockname()[1]},localhost"
        (tmp_path / "1").mkdir()
        processes = [
            start(tmp_path / "four", "--devices", "all", count=4),
            *(
                start(tmp_path / k, "--hosts", hosts, "--process", k, count=2)
                for k in ("0", "1")
            ),
        ]
        one = fit(RECIPE, progress=False)
        history, x = figures(one.history), load_data(RECIPE).x_test
        for process in processes:
            assert alike(finished(process), history)
        assert not alike(history[:1], history[1:2])
        for folder in (tmp_path / "four", tmp_path / "0"):
            logits = load_trained(str(folder)).predict(x, verbose=0)
            np.testing.assert_allclose(
                logits, one.model.predict(x, verbose=0), atol=1e-5
            )
        # Process 0 alone writes: the folder given to process 1 stays empty.
        assert {p.name for p in (tmp_path / "0").iterdir()} == {
            ".lock", "recipe.json", "log.csv", "model.keras", "result.json",
        }  # fmt: skip
        assert list((tmp_path / "1").iterdir()) == []

    def test_a_batch_that_devices_cannot_share_and_missing_devices_are_refused(
        monkeypatch,
    ):
        with pytest.raises(ValueError, match="`devices` must be None or at most the 1"):
            fit(Recipe(), dataset=digits(), devices=64, progress=False)
        with pytest.raises(ValueError, match="`devices` must be None or at most the 1"):
            fit(Recipe(), dataset=digits(), devices=0, progress=False)
        monkeypatch.setattr(keras.distribution, "list_devices", lambda: ["a", "b"])
        with pytest.raises(ValueError, match="must be a multiple of the 2 devices"):
            fit(Recipe(batch_size=15), dataset=digits(), devices=2, progress=False)

    @pytest.mark.parametrize(
        ("hosts", "process", "message"),
        [
            ("localhost:1234", 0, "must be at least two, the first with a port"),
            ("localhost,other", 0, "must be at least two, the first with a port"),
            ("localhost:1234,", 0, "must be at least two, the first with a port"),
            ("localhost:1234,other", None, "`process` must be from 0 to 1"),
            ("localhost:1234,other", 2, "`process` must be from 0 to 1"),
        ],
    )
    def test_hosts_that_cannot_find_each_other_are_refused(hosts, process, message):
        with pytest.raises(ValueError, match=message):
            join_hosts(hosts, process)

else:

    def test_a_backend_that_cannot_share_batches_says_which_can():
        with pytest.raises(ValueError, match="needs the JAX backend") as caught:
            fit(Recipe(), dataset=digits(), devices=2, progress=False)
        assert keras.backend.backend() in str(caught.value)
        with pytest.raises(ValueError, match="needs the JAX backend"):
            join_hosts("localhost:1234,other", 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--devices", "0"], "`--devices` must be all .*: '0'"),
        (["--devices", "many"], "`--devices` must be all .*: 'many'"),
        (["--process", "1"], "`--process` numbers the machines of `--hosts`"),
    ],
)
def test_bad_options_are_refused_by_the_command_line(options, message, capsys):
    try:
        code = main(["train", *options])
    except SystemExit as stop:  # argparse
        code = stop.code
    assert code == 2
    assert re.search(message, capsys.readouterr().err)


def test_a_gpu_is_named_on_torch_too(monkeypatch):
    import torch

    zeros = types.SimpleNamespace(device=torch.device("cuda:0"))
    monkeypatch.setattr(keras.ops, "zeros", lambda shape: zeros)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100")
    assert device_name() == "cuda:0 NVIDIA H100"
