"""What every test stands on: the backend's set-up, seeds that replay, tolerances.

The backend is KERAS_BACKEND's, one per process; `python tests/matrix.py` runs all.
"""

import atexit
import gc
import importlib.util
import os
import shutil
import tempfile
import zlib
from importlib.metadata import version

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
# Tests compile many tiny programs once: cheaper without XLA's later passes.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
if importlib.util.find_spec("jaxlib") and version("jaxlib").startswith("0.10."):
    # A third off; said to known versions alone, as others may stop at a strange flag.
    flags = ("use_fusion_emitters=false", "parallel_codegen_split_count=1")
    flags += ("enable_concurrency_optimized_scheduler=false",)
    os.environ.setdefault("XLA_FLAGS", " ".join(f"--xla_cpu_{flag}" for flag in flags))
# And often the same ones, in the processes they start too: compiled once a run.
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
    programs = tempfile.mkdtemp(prefix="compiled-")
    atexit.register(shutil.rmtree, programs, ignore_errors=True)
    os.environ["JAX_COMPILATION_CACHE_DIR"] = programs
    os.environ["JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"] = "0"
    os.environ["JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES"] = "-1"
if importlib.util.find_spec("torch"):
    import torch  # before TensorFlow: the other order can hang on import

    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False

import keras
import numpy as np
import pytest
from hypothesis import settings

collect_ignore = []
if keras.backend.backend() != "tensorflow":
    collect_ignore += ["models/test_export.py"]
if keras.backend.backend() == "jax":  # Keras asks for jax2onnx there
    collect_ignore += ["models/test_onnx.py"]
else:
    collect_ignore += ["models/test_onnx_on_jax.py"]

# The torch job runs with Keras' other data format: models stay channels-last, layers
# follow the setting.
if keras.backend.backend() == "torch":
    keras.config.set_image_data_format("channels_first")


def pytest_addoption(parser):
    parser.addoption(
        "--seed", default="0", help="of every random draw: a number, or 'fresh' to roam"
    )
    parser.addoption(
        "--part",
        default="0-1",
        help="of each test's cases, e.g. 0.5-1: the second half",
    )
    parser.addoption(
        "--undivided",
        default="",
        help="files whose cases are all run, whatever --part says",
    )


def pytest_collection_modifyitems(config, items):
    """Keep this run's part of the cases, drawn as if by lot, of each test at least one.

    By lot, as cases that stand side by side may be of one family. A test marked
    `only("jax")` runs whole on JAX, and nowhere else; one marked `once` runs whole in
    the run of the last part.
    """
    start, end = map(float, config.getoption("--part").split("-"))
    undivided = tuple(filter(None, config.getoption("--undivided").split(",")))
    backend = keras.backend.backend()
    tests, kept = {}, set()
    for item in items:
        only, once = map(item.get_closest_marker, ("only", "once"))
        if (only and backend not in only.args) or (once and end < 1):
            continue
        if only or once or item.nodeid.startswith(undivided):
            kept.add(id(item))
            continue
        tests.setdefault(item.nodeid.partition("[")[0], []).append(item)
    for name, cases in tests.items():
        drawn = np.random.default_rng(zlib.crc32(name.encode())).permutation(len(cases))
        first, last = (round(bound * len(cases)) for bound in (start, end))
        first = min(first, len(cases) - 1)
        kept.update(id(cases[k]) for k in drawn[first : max(last, first + 1)])
    left_out = [item for item in items if id(item) not in kept]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if id(item) in kept]


def pytest_collection_finish():
    """Search what the imports made for garbage no more, and the rest less often."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


def pytest_configure(config):
    chosen = config.getoption("--seed")
    fresh = chosen == "fresh"
    config.seed = int(
        np.random.SeedSequence().generate_state(1)[0] if fresh else chosen
    )
    # The first calls compile: they have no deadline.
    settings.register_profile("ours", deadline=None, derandomize=not fresh)
    settings.load_profile("ours")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item):
    report = yield
    if report.failed:
        report.sections.append(("seed", f"replay with --seed {item.config.seed}"))
    return report


def _draw(request):
    return [request.config.seed, zlib.crc32(request.node.nodeid.encode())]


@pytest.fixture(autouse=True)
def _seeded(request):
    """Weights are alike under the same --seed."""
    state = np.random.SeedSequence([*_draw(request), 1]).generate_state(1)
    keras.utils.set_random_seed(int(state[0]))


@pytest.fixture
def rng(request):
    """A generator of the test's own; --seed fresh draws another, shown on failure."""
    return np.random.default_rng(_draw(request))


@pytest.fixture
def mixed_precision():
    """Layers compute in bfloat16 and keep their variables in float32."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    yield
    keras.config.set_dtype_policy(before)
