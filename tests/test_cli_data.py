"""The command line on your own data: one logit, numbers, folders of pictures."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.metrics import accuracy_score, r2_score

import dlgn_keras as dk
from dlgn_keras.cli import main

SHORT = "--skeleton fc:depth=1,width=8 --batch-size 16 --learning-rate 0.02".split()
SHORT += ["--out", "run", "--json"]


def table(loss):
    """Return 100 training and 60 test examples in an .npz, raw."""
    if loss == "binary":
        found = load_breast_cancer()
        x, y = (found.data - found.data.mean(0)) / found.data.std(0), found.target
    else:
        found = load_diabetes()
        x, y = 20 * found.data, (found.target / 77 - 2).astype("float32")
    x = x.astype("float32")
    parts = {"x_train": x[:100], "y_train": y[:100], "x_test": x[100:160]}
    return {**parts, "y_test": y[100:160]}


def answered(capsys, *arguments):
    """Run a command with --json and return what it says."""
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


@pytest.mark.parametrize("loss", ["binary", "mse"])
def test_every_command_scores_a_model_by_its_own_loss(
    loss, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    parts = table(loss)
    np.savez("table.npz", **parts)
    assert (
        main(["train", *SHORT, "--data=table.npz", f"--loss={loss}", "--epochs=60"])
        == 0
    )
    answered(capsys, "zoo", "save", "run", "--to", "my-preset")
    net = dk.from_preset("my-preset")
    outputs = net.predict(parts["x_test"], verbose=0)
    if loss == "binary":
        expected = accuracy_score(parts["y_test"], outputs[:, 0] > 0)
        assert 0.8 < expected < 1
    else:
        expected = r2_score(parts["y_test"], outputs[:, 0])
        assert 0.1 < expected < 1
    name = "accuracy" if loss == "binary" else "r2"
    verified = answered(capsys, "zoo", "verify", "my-preset", "--accuracy")[0]
    assert (verified["score"], verified["problem"]) == (name, None)
    assert verified["accuracy"] == pytest.approx(expected, abs=1e-5)
    for model in ("run", "my-preset"):
        assert answered(capsys, "evaluate", model)[name] == pytest.approx(
            expected, abs=1e-5
        )

    main(["explain", "my-preset", "--data=table.npz", "--index=3"])
    said = capsys.readouterr().out.splitlines()[0]
    assert said.startswith(f"table.npz 3 ({parts['y_test'][3]:.4g}): ")
    output = float(outputs[3, 0])
    page = (tmp_path / "report.html").read_text()
    assert f"The output for {net.class_names[0]} is {output:.2f}" in page
    if loss == "binary":
        share = 100 / (1 + np.exp(-output))
        assert float(re.search(r"([\d.]+) %\)$", said)[1]) == pytest.approx(
            share, abs=0.01
        )
    else:
        assert float(said.split()[-1]) == pytest.approx(output, abs=1e-3)
        assert "probability" not in page


def test_other_data_are_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    two = {
        k: v.astype("int64") if k[0] == "y" else v for k, v in table("binary").items()
    }
    np.savez("two.npz", **two)
    main(["train", *SHORT, "--data=two.npz", "--loss=binary", "--epochs=1"])
    capsys.readouterr()
    assert main(["evaluate", "run", "--data=digits"]) == 2
    assert "the model's 2 classes. Received: digits with 10" in capsys.readouterr().err
    new = ["--data=digits", "--loss=binary", "--out=new"]
    assert main(["train", *SHORT, *new]) == 2
    assert "`loss` 'binary' needs data with two classes" in capsys.readouterr().err


def test_a_damaged_picture_stops_or_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    digits = load_digits()
    for k in range(60):
        folder = tmp_path / "photos" / str(digits.target[k] % 2)
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray((digits.images[k] * 15).astype(np.uint8)).save(
            folder / f"{k}.png"
        )
    damaged = tmp_path / "photos" / "0" / "0.png"
    damaged.write_bytes(damaged.read_bytes()[:60])
    common = ["train", *SHORT, "--data=photos", "--epochs=2"]
    for memory in ("1", "0"):  # read at once, or while the model trains
        out = ["--out", f"run-{memory}"]
        assert main([*common, *out, f"--memory={memory}"]) == 2
        assert "0.png" in capsys.readouterr().err
    runs = [
        answered(
            capsys,
            *common,
            f"--out=skip-{memory}",
            f"--memory={memory}",
            "--skip-unreadable",
        )
        for memory in ("1", "0")
    ]
    sizes = [run["data"]["train"] + run["data"]["test"] for run in runs]
    assert sizes[0] == 59
    assert runs[0]["history"][-1]["loss"] > 0
