"""Many devices: the losses of one device; a backend that cannot says which can."""

import json
import os
import socket
import subprocess
import sys

import keras
import pytest
from few_digits import digits

from dlgn_keras.training import Recipe, fit

TRAIN = """
import json, sys
import keras
address, processes, index, out, devices = json.loads(sys.argv[1])
if address:
    keras.distribution.initialize(address, processes, index)
from dlgn_keras.training import Recipe, fit
recipe = Recipe(
    skeleton="fc:depth=2,width=8", batch_norm=True, augmentation="shift_flip",
    optimizer="sgd", learning_rate=0.05, label_smoothing=0.1, num_train=120,
    num_test=38, validation=20, batch_size=16, epochs=3, seed=3,
)
result = fit(recipe, out, devices=devices, progress=True)
logits = result.model(keras.ops.ones((2, 8, 8, 1)))
print(json.dumps([result.history, keras.ops.convert_to_numpy(logits).tolist()]))
"""
KEYS = ("loss", "accuracy", "test_accuracy", "validation_accuracy")


def start(devices, count=1, address=None, processes=1, index=0, out=None):
    flags = f"--xla_force_host_platform_device_count={count}"
    return subprocess.Popen(
        [
            sys.executable, "-c", TRAIN,
            json.dumps([address, processes, index, out and str(out), devices]),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": flags},
    )  # fmt: skip


def finished(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    history, logits = json.loads(out.splitlines()[-1])
    return [[row[key] for key in KEYS] for row in history], logits, err


def alike(ours, theirs):
    return all(
        a == pytest.approx(b, abs=1e-5)
        for ours_row, theirs_row in zip(ours, theirs, strict=True)
        for a, b in zip(ours_row, theirs_row, strict=True)
    )


if keras.backend.backend() == "jax":

    def test_devices_and_processes_train_as_one_device_does(tmp_path):
        one = start(devices=1)
        four = start(devices=None, count=4)
        with socket.socket() as free:
            free.bind(("localhost", 0))
            address = f"localhost:{free.getsockname()[1]}"
        pair = [start(None, 2, address, 2, k, tmp_path / str(k)) for k in (0, 1)]
        (tmp_path / "1").mkdir()
        history, logits, _ = finished(one)
        for process in (four, *pair):
            ours, our_logits, _ = finished(process)
            assert alike(ours, history)
            assert alike(our_logits, logits)
        assert not alike(history[:1], history[1:2])
        # Process 0 alone writes: the folder given to process 1 stays empty.
        assert {p.name for p in (tmp_path / "0").iterdir()} == {
            "recipe.json", "log.csv", "model.keras", "result.json",
        }  # fmt: skip
        assert list((tmp_path / "1").iterdir()) == []

    def test_a_batch_that_devices_cannot_share_and_missing_devices_are_refused():
        with pytest.raises(ValueError, match="`devices` must be None or at most the 1"):
            fit(Recipe(), dataset=digits(), devices=64, progress=False)
        with pytest.raises(ValueError, match="`devices` must be None or at most the 1"):
            fit(Recipe(), dataset=digits(), devices=0, progress=False)
        code = TRAIN.replace("batch_size=16", "batch_size=15")
        arguments = json.dumps([None, 1, 0, None, 2])
        flags = "--xla_force_host_platform_device_count=2"
        done = subprocess.run(
            [sys.executable, "-c", code, arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "XLA_FLAGS": flags},
        )
        last = done.stderr.strip().splitlines()[-1]
        assert "`batch_size` must be a multiple of the 2 devices" in last

else:

    def test_a_backend_that_cannot_share_batches_says_which_can():
        with pytest.raises(ValueError, match="needs the JAX backend") as caught:
            fit(Recipe(), dataset=digits(), devices=2, progress=False)
        assert keras.backend.backend() in str(caught.value)
