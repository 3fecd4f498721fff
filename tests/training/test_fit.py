"""fit: what is measured, kept, read back and refused."""

import csv
import dataclasses

import keras
import numpy as np
import pytest
from few_digits import digits

from dlgn_keras.training import Recipe, Result, devices, evaluate, fit, load_data

RECIPE = Recipe(
    skeleton="fc:depth=1,width=8", epochs=4, batch_size=16, learning_rate=0.02
)


class Weights(keras.callbacks.Callback):
    """Keeps the net's weights and the logs after every epoch."""

    def __init__(self):
        super().__init__()
        self.kept, self.logs = [], []

    def on_epoch_end(self, epoch, logs=None):
        net = next(x for x in self.model.layers if x.name == "dlgn")
        self.kept.append(net.get_weights())
        self.logs.append(dict(logs))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A finished run: (folder, result, weights after every epoch)."""
    folder, weights = tmp_path_factory.mktemp("run"), Weights()
    dataset = digits(20)
    result = fit(RECIPE, folder, dataset=dataset, progress=False, callbacks=[weights])
    return folder, result, weights


def test_the_history_has_a_row_per_epoch_with_every_figure(run):
    folder, result, weights = run
    assert [row["epoch"] for row in result.history] == [1, 2, 3, 4]
    for row in result.history:
        assert set(row) == {
            "epoch", "loss", "accuracy", "seconds", "validation_accuracy",
            "test_accuracy", "total_seconds",
        }  # fmt: skip
        assert row["total_seconds"] >= row["seconds"] > 0
    with (folder / "log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [{k: float(v) for k, v in row.items()} for row in rows] == result.history
    shown = [logs["test_accuracy"] for logs in weights.logs]
    assert shown == [row["test_accuracy"] for row in result.history]


@pytest.mark.parametrize("part", ["validation", "test"])
def test_accuracies_are_those_of_the_weights_after_the_epoch(run, part):
    _, result, weights = run
    net, dataset = result.model, digits(20)
    x, y = getattr(dataset, f"x_{part}"), getattr(dataset, f"y_{part}")
    last = net.get_weights()
    for kept, row in zip(weights.kept, result.history, strict=True):
        net.set_weights(kept)
        hits = (net.predict(x, verbose=0).argmax(1) == y).mean()
        assert row[f"{part}_accuracy"] == pytest.approx(hits, abs=1e-6)
    net.set_weights(last)


@pytest.mark.once
def test_last_and_best_are_the_histories_last_and_first_highest(run):
    _, result, _ = run
    tests = [row["test_accuracy"] for row in result.history]
    assert result.test_accuracy == tests[-1]
    assert result.best_test_accuracy == max(tests)
    assert result.best_epoch == tests.index(max(tests)) + 1
    assert result.validation_accuracy == result.history[-1]["validation_accuracy"]


def test_the_result_tells_how_to_make_it_again(run):
    folder, result, _ = run
    assert Recipe.from_file(folder / "recipe.json") == RECIPE
    assert result.fingerprint == RECIPE.fingerprint
    assert result.parameters == result.model.count_params()
    assert {"keras", "backend", "numpy", "python", "device", "dlgn_keras"} <= set(
        result.environment
    )
    assert result.environment["backend"] == keras.backend.backend()
    assert result.data["name"] == "digits"
    assert [result.data[k] for k in ("train", "validation", "test")] == [80, 20, 33]


@pytest.mark.once
def test_a_finished_run_is_read_back_and_not_trained_again(run):
    folder, result, _ = run
    never = Weights()
    again = fit(RECIPE, folder, dataset=digits(20), progress=False, callbacks=[never])
    assert never.kept == []
    assert again == result
    for ours, theirs in zip(
        again.model.get_weights(), result.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)
    assert Result.load(folder) == result


@pytest.mark.once
def test_a_folder_of_another_recipe_is_refused_by_what_differs(run):
    folder, _, _ = run
    with pytest.raises(ValueError, match=r"beta=4\.0 there, 5\.0 here"):
        fit(RECIPE.replace(beta=5.0), folder, progress=False)
    with pytest.raises(ValueError, match="holds another run"):
        fit(RECIPE.replace(skeleton="fc:depth=2,width=8"), folder, progress=False)


@pytest.mark.once
def test_a_folder_of_a_run_on_other_data_is_refused(run):
    folder, _, _ = run
    other = dataclasses.replace(digits(20), x_test=digits(20).x_test[::-1].copy())
    with pytest.raises(ValueError, match="holds a run on other data"):
        fit(RECIPE, folder, dataset=other, progress=False)


@pytest.mark.once
def test_a_damaged_result_is_refused_by_name(run, tmp_path):
    folder, _, _ = run
    for name in ("recipe.json", "result.json", "model.keras"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    half = (folder / "result.json").read_text()[:100]
    (tmp_path / "result.json").write_text(half)
    with pytest.raises(ValueError, match=r"result\.json is damaged"):
        fit(RECIPE, tmp_path, progress=False)
    (tmp_path / "result.json").write_text("[]")
    with pytest.raises(
        ValueError, match=r"result\.json: it must be a dictionary.*\[\]"
    ):
        fit(RECIPE, tmp_path, progress=False)
    with pytest.raises(FileNotFoundError, match="No finished run"):
        Result.load(tmp_path / "nowhere")


def test_the_test_part_touches_no_weight():
    """Another test set, the same weights; another validation part, other weights."""
    dataset = digits(20)
    other = dataclasses.replace(
        dataset,
        x_test=dataset.x_test[::-1].copy(),
        y_test=(dataset.y_test + 1) % 10,
    )
    short = RECIPE.replace(epochs=2)
    ours, theirs, changed = (
        fit(short, dataset=d, progress=False).model.get_weights()
        for d in (dataset, other, digits(30))
    )
    assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(ours, changed, strict=True))


@pytest.mark.once
def test_the_recipe_says_how_much_data_there_is():
    few = load_data(RECIPE.replace(num_train=60, num_test=20, validation=0.25))
    sizes = [len(y) for y in (few.y_train, few.y_validation, few.y_test)]
    assert sizes == [45, 15, 20]
    by_number = load_data(RECIPE.replace(num_train=60, validation=7))
    assert len(by_number.y_validation) == 7
    assert load_data(RECIPE).x_validation is None


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_computes_low_and_keeps_weights_and_logits_high(precision):
    before = keras.config.dtype_policy().name
    result = fit(RECIPE.replace(precision=precision), dataset=digits(), progress=False)
    assert keras.config.dtype_policy().name == before
    net = result.model
    layer = net.network_layers("value")["dense_1"]
    assert layer.compute_dtype == precision.removeprefix("mixed_")
    assert {v.dtype for v in net.trainable_variables} == {"float32"}
    assert net.predict(digits().x_test[:2], verbose=0).dtype == "float32"
    full = fit(RECIPE, dataset=digits(), progress=False)
    losses = [r.history[-1]["loss"] for r in (result, full)]
    assert losses[0] == pytest.approx(losses[1], rel=0.1)
    assert losses[0] < result.history[0]["loss"]


@pytest.mark.parametrize("accelerated", [False, True])
def test_auto_precision_is_low_on_accelerators_alone(accelerated, monkeypatch):
    recipe = RECIPE.replace(precision="auto", epochs=1)
    monkeypatch.setattr(devices, "on_accelerator", lambda: accelerated)
    result = fit(recipe, dataset=digits(), progress=False)
    compute = "bfloat16" if accelerated else "float32"
    assert result.model.network_layers("value")["dense_1"].compute_dtype == compute
    assert result.environment["precision"].endswith(compute)


@pytest.mark.once
@pytest.mark.parametrize(
    ("device", "accelerated"),
    [
        ("cpu", False),
        ("TFRT_CPU_0 cpu", False),
        ("/job:localhost/replica:0/task:0/device:CPU:0", False),
        ("cuda:0 NVIDIA H100", True),
        ("/job:localhost/replica:0/task:0/device:GPU:0", True),
    ],
)
def test_an_accelerator_is_what_tensors_lie_on_that_is_no_cpu(
    device, accelerated, monkeypatch
):
    monkeypatch.setattr(devices, "device_name", lambda: device)
    assert devices.on_accelerator() is accelerated


def test_a_run_that_diverges_names_the_step_and_the_last_good_checkpoint(tmp_path):
    class Blow(keras.callbacks.Callback):
        """Puts NaN into the weights when the third epoch begins."""

        def on_epoch_begin(self, epoch, logs=None):
            if epoch == 2:
                kernel = self.model.trainable_variables[0]
                kernel.assign(np.full(kernel.shape, np.nan))

    steps = 100 // 16 + 1
    with pytest.raises(FloatingPointError, match=f"at step {2 * steps + 1} ") as caught:
        fit(RECIPE, tmp_path, dataset=digits(), progress=False, callbacks=[Blow()])
    message = str(caught.value)
    assert "\n" not in message
    assert f"{tmp_path / 'checkpoint.npz'}, after epoch 2" in message
    # The checkpoint is good: the run goes on from there, and to its end.
    result = fit(RECIPE, tmp_path, dataset=digits(), progress=False)
    assert (len(result.history), result.interruptions) == (4, 1)
    whole = fit(RECIPE, dataset=digits(), progress=False)
    for ours, theirs in zip(
        result.model.get_weights(), whole.model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(ours, theirs)


def test_a_huge_learning_rate_ends_the_run_in_its_first_epoch(tmp_path):
    wild = RECIPE.replace(optimizer="sgd", learning_rate=1e30)
    with pytest.raises(
        FloatingPointError, match=r"at step \d \(in epoch 1\)"
    ) as caught:
        fit(wild, tmp_path, dataset=digits(), progress=False)
    assert "no checkpoint was written" in str(caught.value)
    assert not (tmp_path / "result.json").exists()


@pytest.mark.once
def test_a_last_step_that_spoils_the_weights_is_found_too():
    wild = RECIPE.replace(
        optimizer="sgd", learning_rate=1e-9, schedule="piecewise", epochs=1,
        boundaries=(6,), rates=(1e-9, 1e38), momentum=0.0,
    )  # fmt: skip
    with pytest.raises(FloatingPointError, match="at step 7 "):
        fit(wild, dataset=digits(), progress=False)


@pytest.mark.once
def test_a_run_stopped_between_model_and_result_is_finished_and_not_trained_again(
    run, tmp_path, monkeypatch
):
    _, result, weights = run

    def interrupted(self, folder):
        raise KeyboardInterrupt

    monkeypatch.setattr(Result, "save", interrupted)
    with pytest.raises(KeyboardInterrupt):
        fit(RECIPE, tmp_path, dataset=digits(20), progress=False)
    monkeypatch.undo()
    assert (tmp_path / "model.keras").is_file()
    again = Weights()
    ended = fit(RECIPE, tmp_path, dataset=digits(20), progress=False, callbacks=[again])
    assert again.kept == []
    assert ended.interruptions == 1
    for ours, theirs in zip(ended.model.get_weights(), weights.kept[-1], strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert ended.test_accuracy == result.test_accuracy


@pytest.mark.once
def test_a_folder_one_cannot_write_in_is_refused_before_training(tmp_path):
    file = tmp_path / "file"
    file.write_text("")
    for out in (file, file / "below", "/proc/1/nothing"):
        with pytest.raises(ValueError, match="`out` must be a folder one can write"):
            fit(RECIPE, out, progress=False)


@pytest.mark.once
def test_progress_is_told_on_stderr_and_nowhere_if_not_asked(capfd):
    fit(RECIPE.replace(epochs=2), dataset=digits(), progress=True)
    told = capfd.readouterr()
    assert "dlgn fc digits: epoch 2/2" in told.err
    assert told.out == ""
    fit(RECIPE.replace(epochs=1), dataset=digits(), progress=False)
    assert "epoch" not in capfd.readouterr().err


@pytest.mark.once
def test_one_batch_holds_all_when_the_batch_size_is_larger_than_the_data():
    result = fit(RECIPE.replace(batch_size=5000), dataset=digits(), progress=False)
    assert len(result.history) == 4


def test_evaluate_is_accuracy_and_cross_entropy(run):
    _, result, _ = run
    x, y = digits().x_test, digits().y_test
    figures = evaluate(result.model, x, y, batch_size=7)
    assert figures["accuracy"] == pytest.approx(result.test_accuracy, abs=1e-6)
    logits = result.model.predict(x, verbose=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)(y, logits)
    assert figures["loss"] == pytest.approx(float(loss), rel=1e-4)


@pytest.mark.once
def test_tensorboard_logs_are_written_when_asked(tmp_path):
    fit(
        RECIPE.replace(epochs=1), tmp_path, dataset=digits(), progress=False,
        tensorboard=True,
    )  # fmt: skip
    assert list((tmp_path / "tensorboard").rglob("events*"))
