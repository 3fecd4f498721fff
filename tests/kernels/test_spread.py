"""Tiles over devices and over machines, one of which is killed."""

import os
import subprocess
import sys
from pathlib import Path

import distributed  # the extra `dask`
import numpy as np
import tiny
from tolerances import assert_close

from dlgn_keras import kernels

HERE = Path(__file__).parent


def test_rows_spread_over_four_jax_devices_give_the_same_gram(tmp_path):
    environment = {
        **os.environ,
        "KERAS_BACKEND": "jax",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=4",
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE.parents[1])]),
    }
    target = tmp_path / "grams.npz"
    command = [sys.executable, str(HERE / "spread.py"), str(target)]
    subprocess.run(command, check=True, env=environment, timeout=300)
    found = np.load(target)
    assert found["devices"] == 4
    assert_close(found["arr_0"], found["arr_1"], "float64")
    assert_close(found["arr_2"], found["arr_1"][:3], "float64")


def test_gram_is_complete_and_equal_though_a_dask_worker_is_killed(rng, tmp_path):
    net = tiny.build("dlgn", "gconv")
    x = tiny.examples(rng, "gconv", 12)
    options = {"n_workers": 2, "threads_per_worker": 1, "dashboard_address": None}
    killed = []
    with (
        distributed.LocalCluster(**options, processes=True) as cluster,
        distributed.Client(cluster) as client,
    ):
        processes = client.run(os.getpid)

        class Watching:
            """Dask's executor; kills a worker once a few tiles are on their way."""

            def __init__(self):
                self.executor, self.number = client.get_executor(), 0

            def submit(self, function, *args, **kwargs):
                self.number += 1
                if self.number == 6:
                    address, process = next(iter(processes.items()))
                    os.kill(process, 9)
                    killed.append(address)
                return self.executor.submit(function, *args, **kwargs)

        spread = kernels.npk(
            net, x, batch_size=2, executor=Watching(), workers=4, folder=tmp_path
        )
    assert len(killed) == 1
    assert_close(spread, kernels.npk(net, x), "float64")
