"""Run by a test: the Gram over JAX devices, saved where the first argument says."""

import sys

import numpy as np
import tiny

from dlgn_keras import kernels
from dlgn_keras.kernels.devices import num_devices

if __name__ == "__main__":
    net = tiny.build("dlgn", "gconv", seed=0)
    x = tiny.examples(np.random.default_rng(0), "gconv", 7)
    executor = kernels.DeviceExecutor()
    grams = [
        kernels.npk(net, x, executor=executor, batch_size=5),
        kernels.npk(net, x),
        kernels.npk(net, x[:3], x, executor=executor),
    ]
    np.savez(sys.argv[1], *grams, devices=num_devices())
