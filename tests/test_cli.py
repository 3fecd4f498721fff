"""The command line: what it prints, what it leaves behind, how it refuses."""

import csv
import importlib
import json
import pkgutil
import resource
import subprocess
import sys

import forked
import keras
import numpy as np
import pytest

import dlgn_keras as dk
from dlgn_keras import __version__, launch
from dlgn_keras.cli import COMMANDS, main
from dlgn_keras.launch import choose_backend, is_command_line
from dlgn_keras.training import Recipe, load_trained

TINY = ["--skeleton", "fc:depth=2,width=8", "--epochs", "2", "--num-train", "200"]
CAPTURED = {"capture_output": True, "text": True}
TINY += ["--num-test", "100"]


def run_json(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out.strip().splitlines()[-1])


def test_compare_measures_what_its_models_do(tmp_path, capsys):
    report = run_json(capsys, "compare", *TINY, "--seeds", "2", "--out", str(tmp_path))
    rows = {row["family"]: row for row in report["rows"]}
    assert list(rows) == ["dnn", "dgn", "dlgn"]
    for family, row in rows.items():
        folders = [tmp_path / f"{family}_seed{seed}" for seed in (0, 1)]
        measured = [
            run_json(capsys, "evaluate", str(folder), "--data", "digits")["accuracy"]
            for folder in folders
        ]
        # The runs saw a cut of the test set; their models answer on all of it.
        assert all(0 <= share <= 1 for share in measured)
        results = [json.loads((f / "result.json").read_text()) for f in folders]
        last = [result["history"][-1]["test_accuracy"] for result in results]
        assert row["test_accuracy"] == pytest.approx(np.mean(last))
        assert row["test_accuracy_std"] == pytest.approx(np.std(last, ddof=1))
        assert row["ratio_to_dnn"] == pytest.approx(
            row["test_accuracy"] / rows["dnn"]["test_accuracy"]
        )
        assert row["parameters"] == load_trained(str(folders[0])).count_params()
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "result.json").read_text())["rows"] == report["rows"]


def test_the_table_shows_the_same_figures_as_json(tmp_path, capsys):
    arguments = ["compare", *TINY, "--families", "dnn,dlgn", "--out", str(tmp_path)]
    report = run_json(capsys, *arguments)
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    for row in report["rows"]:
        assert f"{100 * row['test_accuracy']:.2f}" in printed
        assert f"{row['parameters']:,}" in printed


def test_train_leaves_a_whole_run_folder(tmp_path, capsys):
    out = tmp_path / "run"
    report = run_json(
        capsys, "train", "digits", *TINY, "--out", str(out), "--seed", "3"
    )
    assert sorted(path.name for path in out.iterdir()) == [
        ".lock",
        "log.csv",
        "model.keras",
        "recipe.json",
        "result.json",
    ]
    with (out / "log.csv").open() as file:
        log = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in log] == [
        row["loss"] for row in report["history"]
    ]
    recipe = Recipe.from_file(out / "recipe.json")
    assert (recipe.seed, recipe.epochs, recipe.family) == (3, 2, "dlgn")
    # A recipe file trains the same run again.
    again = run_json(
        capsys, "train", str(out / "recipe.json"), "--out", str(tmp_path / "again")
    )
    assert again["recipe"] == report["recipe"]
    if keras.backend.backend() != "torch":  # bits are promised by no torch release
        assert again["test_accuracy"] == report["test_accuracy"]


BAD = [
    (["compare", "--families", "dnx"], "dnn, dgn, dlgn", "Did you mean 'dnn'?"),
    (["compare", "--data", "digts"], "digits, mnist", "Did you mean 'digits'?"),
    (["compare", "--skeleton", "c4gp"], "fc, vconv", "Did you mean 'c4gap'?"),
    (["compare", "--beta", "0"], "above 0", "beta=0.0"),
    (["compare", "--beta", "nan"], "above 0", "beta=nan"),
    (["compare", "--seeds", "0"], "at least 1", "seeds=0"),
    (["compare", "--skeleton", "vgg16"], "window of 2", "(1, 1, 512)"),
    (["compare", "--skeleton", "resnet21"], "6n + 2", "depth=21"),
    (["compare", "--skeleton", "fc:depht=3"], "depth, width", "Did you mean 'depth'?"),
    (["compare", "--skeleton", "fc:depth=2-3"], "whole number", "depth='2-3'"),
    (["train", "onecycle-c4gap-cifar11"], "No recipe", "onecycle-c4gap-cifar10"),
    (["train", "--gate-order", "0,0,1,2,3"], "permutation of 0..4", "(0, 0, 1, 2, 3)"),
    (["train", "--augmentation", "flop"], "none, flip", "augmentation='flop'"),
    (["train", "missing.json"], "No recipe file", "missing.json"),
    (["evaluate", "nowhere"], "No preset is called", "nowhere"),
]


@pytest.mark.parametrize(("arguments", "expected", "received"), BAD)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments, expected, received, tmp_path, capsys
):
    if arguments[0] != "evaluate":
        arguments = [*arguments, "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    streams = capsys.readouterr()
    (line,) = streams.err.strip().splitlines()
    assert line.startswith(f"dlgn-keras {arguments[0]}: ")
    assert expected in line
    assert received in line
    assert not list(tmp_path.rglob("*.json"))


def test_gates_that_clash_in_shape_are_named(tmp_path, capsys):
    arguments = ["train", "--skeleton", "gconv:filters=4-8,units=8", "--gate-order"]
    assert main([*arguments, "1,0,2", "--out", str(tmp_path / "out")]) == 2
    assert "gates of conv_1 have shape (8, 8, 4)" in capsys.readouterr().err


def test_max_pooling_is_refused_in_the_skeleton_of_a_dlgn(tmp_path, capsys):
    skeleton = tmp_path / "max.json"
    skeleton.write_text(
        '{"stages": [{"kind": "conv", "filters": 2}, {"kind": "max_pool"},'
        ' {"kind": "global_pool"}]}'
    )
    assert main(["train", "--skeleton", str(skeleton), "--out", str(tmp_path)]) == 2
    assert "`max_pool` must be 'average' for a DLGN" in capsys.readouterr().err


@pytest.mark.parametrize("where", ["/proc/nowhere", "a file"])
def test_an_unwritable_output_folder_is_named(where, tmp_path, capsys):
    if where == "a file":
        where = str(tmp_path / "file")
        (tmp_path / "file").write_text("in the way")
    assert main(["compare", *TINY, "--out", where]) == 2
    error = capsys.readouterr().err
    assert "`out` must be a folder one can write in" in error
    assert where in error


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"y_test": np.full(20, 7)}, "7"),
        ({"x_train": np.full((40, 3), np.nan, "float32")}, "120"),
        ({"x_test": None}, "x_test"),
    ],
)
def test_a_bad_npz_is_refused_by_its_array(change, expected, tmp_path, capsys, rng):
    arrays = {
        "x_train": rng.normal(size=(40, 3)).astype("float32"),
        "y_train": np.arange(40) % 2,
        "x_test": rng.normal(size=(20, 3)).astype("float32"),
        "y_test": np.arange(20) % 2,
    }
    arrays |= change
    path = tmp_path / "own.npz"
    np.savez(path, **{k: v for k, v in arrays.items() if v is not None})
    arguments = ["train", "--data", str(path), "--out", str(tmp_path / "out")]
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert next(iter(change)) in line
    assert expected in line


def test_a_model_of_other_classes_is_not_evaluated(tmp_path, capsys, rng):
    out = tmp_path / "run"
    run_json(capsys, "train", "digits", *TINY, "--out", str(out))
    path = tmp_path / "own.npz"
    x, y = rng.uniform(size=(20, 8, 8, 1)).astype("float32"), np.arange(20) % 3
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    assert main(["evaluate", str(out), "--data", str(path)]) == 2
    assert "the model's 10 classes" in capsys.readouterr().err


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory):
    """A Keras model, its twin, a sigmoid and a data set, as files."""
    folder, last = tmp_path_factory.mktemp("keras"), {"data_format": "channels_last"}
    rng = np.random.default_rng(0)
    parts = [keras.layers.Conv2D(2, 3, activation="relu", **last)]
    parts += [keras.layers.Flatten(data_format="channels_last")]
    model = keras.Sequential([keras.Input((8, 8, 1)), *parts, keras.layers.Dense(3)])
    model.save(folder / "model.keras")
    dk.disentangle(model).save(folder / "twin.keras")
    one = keras.layers.Dense(1, activation="sigmoid")
    keras.Sequential([keras.Input((8, 8, 1)), *parts, one]).save(folder / "one.keras")
    x, y = rng.uniform(size=(40, 8, 8, 1)), np.arange(40) % 3
    x = x.astype("float32")
    np.savez(folder / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    x = np.zeros((20, 5), "float32")
    np.savez(folder / "flat.npz", x_train=x, y_train=y[:20], x_test=x, y_test=y[:20])
    return folder, model


@pytest.mark.parametrize("file", ["model", "twin"])
def test_a_keras_model_and_its_twin_are_evaluated_and_explained(
    file, keras_files, tmp_path, capsys
):
    folder, model = keras_files
    data = ["--data", str(folder / "own.npz")]
    x = np.load(folder / "own.npz")["x_test"]
    logits = model.predict(x, verbose=0)
    path = str(folder / f"{file}.keras")
    assert main(["evaluate", path, *data, "--json"]) == 0
    out, err = capsys.readouterr()
    assert ("read as its exact gated twin" in err) == (file == "model")
    hits = logits.argmax(1) == np.arange(40) % 3
    assert json.loads(out)["accuracy"] == pytest.approx(hits.mean())
    page = ["--out", str(tmp_path / "page.html"), "--twin", "none"]
    told = run_json(capsys, "explain", path, *data, "--index", "1,4", *page)["images"]
    for row, k in zip(told, (1, 4), strict=True):
        np.testing.assert_allclose(row["logits"], logits[k], rtol=1e-3, atol=1e-2)
        total = row["contributions"] + row["bias"]
        assert total == pytest.approx(logits[k].max(), rel=1e-3)
    assert "made of a Keras model" in (tmp_path / "page.html").read_text()
    soft = [*data, *page, "--mode", "soft", "--beta", "2"]
    (row,) = run_json(capsys, "explain", path, *soft)["images"]
    assert row["gates"] == "soft gates, beta 2"
    logit = row["logits"][row["target"]]
    assert row["contributions"] + row["bias"] == pytest.approx(logit, rel=1e-3)
    assert logit != pytest.approx(logits[0].max(), rel=1e-3)
    assert row["target"] == logits[0].argmax()


def test_the_kernel_of_a_twin_is_that_of_the_same_net_on_a_skeleton(
    keras_files, tmp_path, capsys
):
    folder, model = keras_files
    few = ["--train", "20", "--test", "10", "--gram", "10", "--out", str(tmp_path)]
    data = ["--data", str(folder / "own.npz")]
    found = run_json(capsys, "kernel", str(folder / "twin.keras"), *data, *few)
    x = np.load(folder / "own.npz")["x_test"][:10]
    net = dk.models.as_gated_model(dk.disentangle(model))
    name = str(folder / "twin.keras")
    rank = dk.kernels.effective_rank(np.array(dk.kernels.npk(net, x)))
    assert found["kernels"][name]["effective_rank"] == pytest.approx(rank, rel=1e-4)


def test_a_sigmoid_is_told_as_one_and_inputs_of_another_shape_are_refused(
    keras_files, tmp_path, capsys
):
    folder, _ = keras_files
    x = str(folder / "own.npz")
    page = tmp_path / "page.html"
    options = ["--data", x, "--out", str(page)]
    assert main(["explain", str(folder / "one.keras"), *options]) == 0
    net = dk.disentangle(keras.saving.load_model(folder / "one.keras"))
    logit = float(net.predict(np.load(x)["x_test"][:1], verbose=0)[0, 0])
    share = 1 / (1 + np.exp(-logit))
    assert f"{share:.2%}" in page.read_text()
    assert f"{100 * share:.2f} %" in capsys.readouterr().out
    flat = str(folder / "flat.npz")
    assert main(["evaluate", str(folder / "twin.keras"), "--data", flat]) == 2
    assert "the model's shape (8, 8, 1)" in capsys.readouterr().err


def test_help_names_every_field_of_a_recipe(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    text = capsys.readouterr().out
    for field in Recipe.__dataclass_fields__:
        assert f"--{field.replace('_', '-')} " in text


@pytest.mark.parametrize(
    ("argv", "backend"),
    [
        (["python", "/x/bin/dlgn-keras", "train", "--backend", "torch"], "torch"),
        (["python", "-m", "dlgn_keras", "train", "--backend=jax"], "jax"),
        (["python", "script.py", "--backend", "torch"], None),
        (["python", "-m", "pytest", "--backend", "torch"], None),
    ],
)
def test_the_backend_is_chosen_for_our_program_alone(argv, backend):
    environ = {"KERAS_BACKEND": "tensorflow"}
    choose_backend(argv, environ)
    assert is_command_line(argv) == (backend is not None)
    assert environ["KERAS_BACKEND"] == (backend or "tensorflow")


@pytest.mark.parametrize(
    ("ours", "tensorflow", "shown"),
    [
        (True, "", ""),
        (True, "raise OSError('broken')", "greeting of tensorflow\n"),
        (False, "", "greeting of keras\ngreeting of tensorflow\n"),
    ],
)
def test_greetings_are_kept_off_the_terminal_unless_an_import_fails(
    ours, tensorflow, shown, tmp_path
):
    for name, more in (("keras", ""), ("tensorflow", tensorflow)):
        greet = f"import os\nos.write(2, b'greeting of {name}\\n')\n{more}\n"
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(greet)
    program = ["python", "-m", "dlgn_keras"] if ours else ["python", "mine.py"]
    source = (
        "import runpy, sys\n"
        f"sys.path.insert(0, {str(tmp_path)!r})\n"
        f"sys.orig_argv[:] = {program!r}\n"
        f"launch = runpy.run_path({launch.__file__!r})\n"
        "launch['prepare_program']()\n"
        "import keras\n"
        "try:\n"
        "    import tensorflow\n"
        "except OSError as error:\n"
        "    print(error)\n"
        "else:\n"
        "    print(tensorflow.__file__ == tensorflow.__spec__.loader.path)\n"
    )
    command = [sys.executable, "-c", source]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == shown
    assert done.stdout == ("broken\n" if tensorflow else "True\n")


def test_a_package_that_is_not_installed_is_named(tmp_path):
    """In a process of its own: here the package may have been imported already."""
    source = (
        "import sys\n"
        "sys.modules['keras_tuner'] = None\n"
        "from dlgn_keras.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["tune", "digits", "--out", tmp_path / "out"]
    program = forked.start(source, *arguments, folder=tmp_path)
    assert program.wait() == 2
    (line,) = program.errors().strip().splitlines()
    assert "needs keras-tuner, which is not installed" in line


ZOO = [["zoo", action, "--help"] for action in ("list", "show", "verify", "push")]
HEAVY = ("keras", "tensorflow", "jax", "torch", "sklearn", "scipy", "matplotlib")


@pytest.fixture(scope="module")
def program(tmp_path_factory):
    """The installed program, which tells the heavy packages that it imported."""
    path = tmp_path_factory.mktemp("bin") / "dlgn-keras"
    path.write_text(
        "import atexit, sys\n"
        f"heavy = set({HEAVY!r})\n"
        "tell = lambda: sys.stdout.write(f'imported {heavy & set(sys.modules)}')\n"
        "atexit.register(tell)\n"
        "from dlgn_keras.cli import main\n"
        "sys.exit(main())\n"
    )
    return path


@pytest.mark.parametrize(
    ("arguments", "code", "expected"),
    [
        (["--version"], 0, __version__),
        (["--help"], 0, "COMMAND --help"),
        *(([name, "--help"], 0, "example: dlgn-keras") for name in COMMANDS),
        *((words, 0, "example: dlgn-keras zoo") for words in ZOO),
        (["trian"], 2, "dlgn-keras: `COMMAND` must be one of compare, "),
        (["trian"], 2, "Received: 'trian'. Did you mean 'train'?"),
        (["train", "--epohcs", "3"], 2, "dlgn-keras train: no such option"),
        (["train", "--epohcs", "3"], 2, "Did you mean '--epochs'?"),
        (["train", "--beta", "x"], 2, "`--beta` must be a number. Received: 'x'."),
        (["train", "--backend", "jaxx"], 2, "Did you mean 'jax'?"),
    ],
)
def test_help_and_refusals_come_at_once(arguments, code, expected, program):
    """Without Keras, in under a second of processor time."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([sys.executable, program, *arguments], **CAPTURED)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code
    text, _, imported = done.stdout.rpartition("imported ")
    assert imported == "set()"
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1
    assert expected in (done.stderr if code else text)
    assert "default: None" not in text
    if code:
        assert len(done.stderr.strip().splitlines()) == 1


LOADS = """
import resource, sys
def seconds():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
import keras
before = seconds()
import dlgn_keras
rooms = {"dlgn_keras.interpret", "dlgn_keras.tuning"} & {*sys.modules}
print(seconds() - before, rooms)
"""


def test_the_package_costs_little_more_than_keras():
    command = [sys.executable, "-c", LOADS]
    seconds, rooms = subprocess.run(command, **CAPTURED).stdout.split(maxsplit=1)
    assert rooms.strip() == "set()"
    assert float(seconds) < 0.3


def test_keras_loads_saved_models_after_importing_the_package_alone(tmp_path):
    """Models of each family, a twin of a Keras model and a layer, saved here."""
    skeleton = dk.skeletons.fc(depth=2, width=4)
    options = {"value": "tensor", "value_input": "ones"}
    nets = [family(skeleton, (6,), 3) for family in (dk.DNN, dk.DGN, dk.DLGN)]
    nets += [dk.DLGN(skeleton, (6,), 3, **options)]
    layers = [keras.layers.Dense(4, activation="relu"), keras.layers.Dense(3)]
    nets += [dk.disentangle(keras.Sequential([keras.Input((6,)), *layers]))]
    inputs = keras.Input((6,))
    gated = dk.layers.GatedDense(3)([inputs, dk.layers.LinearGate()(inputs[:, :3])])
    nets += [keras.Model(inputs, gated)]
    x = np.linspace(-1, 1, 12, dtype="float32").reshape(2, 6)
    for k, net in enumerate(nets):
        net.save(tmp_path / f"{k}.keras")
    source = (
        "import sys, dlgn_keras, keras, numpy as np\n"
        "x = np.linspace(-1, 1, 12, dtype='float32').reshape(2, 6)\n"
        "for path in sys.argv[1:]:\n"
        "    net = keras.saving.load_model(path)\n"
        "    print(keras.ops.convert_to_numpy(net(x)).ravel().tolist())\n"
    )
    paths = [tmp_path / f"{k}.keras" for k in range(len(nets))]
    program = forked.start(source, *paths, folder=tmp_path / "told")
    assert program.wait() == 0, program.errors()
    found = [json.loads(line) for line in program.printed().splitlines()]
    assert len(found) == len(nets)
    for net, logits in zip(nets, found, strict=True):
        expected = keras.ops.convert_to_numpy(net(x)).ravel()
        np.testing.assert_allclose(logits, expected, atol=1e-6)


@pytest.mark.parametrize("package", [dk, dk.training, dk.tuning, dk.experiments])
def test_every_public_name_loads(package):
    assert set(package.__all__) <= set(dir(package))
    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="no_such_name"):
        package.no_such_name  # noqa: B018


@pytest.mark.parametrize("package", [dk.training, dk.tuning, dk.experiments])
def test_no_public_name_is_hidden_by_a_module_of_that_name(package):
    """Importing a module sets an attribute of its name on the package."""
    modules = {info.name for info in pkgutil.iter_modules(package.__path__)}
    assert not modules & set(package.__all__)


def test_presets_is_a_table_and_a_package():
    importlib.import_module("dlgn_keras.presets.find")
    assert dk.presets(family="dlgn").names == dk.presets.presets(family="dlgn").names


def test_python_m_runs_the_same_program():
    command = [sys.executable, "-m", "dlgn_keras", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == __version__
    assert done.stderr == ""
