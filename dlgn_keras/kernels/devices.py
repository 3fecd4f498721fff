"""Tiles on accelerators: the recursion, compiled, with rows sharded over devices."""

import importlib
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

import keras
import numpy as np

from dlgn_keras.kernels.plan import Plan
from dlgn_keras.kernels.recursion import Recursion, Side, arrange
from dlgn_keras.kernels.tiles import Examples, pair_bytes


class DeviceExecutor:
    """Computes the tiles of `npk` on the devices that the Keras backend sees.

    Pass it as `executor`. On JAX the rows of every block are sharded over all
    devices; TensorFlow and PyTorch use the default device. Sums are float64, as on
    the processor, unless `dtype` says otherwise.

    Args:
        memory: bytes that a block may take on one device.
        dtype: "float64" or "float32" (relative errors of about 1e-6).

    Example:
        >>> import numpy as np, dlgn_keras as dk
        >>> net = dk.DLGN(dk.skeletons.c4gap(4), (8, 8, 1), num_classes=2)
        >>> x = np.random.default_rng(0).normal(size=(5, 8, 8, 1))
        >>> gram = dk.kernels.npk(net, x, executor=dk.kernels.DeviceExecutor())
        >>> np.allclose(gram, dk.kernels.npk(net, x))
        True
    """

    def __init__(self, memory: int = 2**30, dtype: str = "float64") -> None:
        if dtype not in ("float64", "float32"):
            raise ValueError(
                f"`dtype` must be float64 or float32. Received: dtype={dtype!r}."
            )
        self.memory, self.dtype = memory, dtype
        self._compiled: dict[int, Any] = {}

    def submit(
        self,
        function: Any,
        plan: Plan,
        left: Examples,
        right: Examples | None,
        **limits: Any,
    ) -> "Future[np.ndarray]":
        """Compute one tile, in the interface of `concurrent.futures`."""
        future: Future[np.ndarray] = Future()
        future.set_result(self._tile(plan, left, left if right is None else right))
        return future

    def _tile(self, plan: Plan, left: Examples, right: Examples) -> np.ndarray:
        rows = arrange(*left, plan, self.dtype)
        columns = rows if right is left else arrange(*right, plan, self.dtype)
        n, m = len(left.inputs), len(right.inputs)
        devices = num_devices()
        pairs = max(1, self.memory // pair_bytes(plan))  # on each device
        b = min(m, max(1, int(pairs**0.5)))
        a = devices * min(-(-n // devices), max(1, pairs // b))
        if id(plan) not in self._compiled:
            self._compiled = {id(plan): (plan, compile_blocks(plan, self.dtype))}
        compute = self._compiled[id(plan)][1]
        tile = np.empty((n, m))
        for i in range(0, n, a):
            some = _filled(rows, i, a, n)
            for j in range(0, m, b):
                block = compute(some, _filled(columns, j, b, m))
                tile[i : i + a, j : j + b] = block[: n - i, : m - j]
        return np.triu(tile) + np.triu(tile, 1).T if right is left else tile


def _filled(side: Side, start: int, size: int, total: int) -> Side:
    """Return `size` examples from `start`; repeat the last if there are fewer."""
    chosen = np.minimum(np.arange(start, start + size), total - 1)
    gates = {site: np.take(gate, chosen, axis=-2) for site, gate in side.gates.items()}
    return Side(np.take(side.inputs, chosen, axis=-2), gates)


def num_devices() -> int:
    """Return the number of devices that share a compiled block."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.device_count()


def compile_blocks(plan: Plan, dtype: str) -> Callable[[Side, Side], np.ndarray]:
    """Return the function of a block; JAX compiles it and shards rows over devices."""
    if keras.backend.backend() != "jax":
        return lambda left, right: keras.ops.convert_to_numpy(
            Recursion(plan, _tensors(left), _tensors(right), keras.ops).run()
        )
    import jax
    from jax.sharding import Mesh, NamedSharding, PartitionSpec

    # Older versions of JAX have `enable_x64` in `jax.experimental`.
    place: Any = jax
    if not hasattr(jax, "enable_x64"):
        place = importlib.import_module("jax.experimental")
    mesh = Mesh(np.array(jax.devices()), ("rows",))
    whole = NamedSharding(mesh, PartitionSpec())

    def spread(array: np.ndarray) -> Any:
        axes = [None] * array.ndim
        spec = PartitionSpec(*axes[:-2], "rows", None)
        return jax.device_put(array, NamedSharding(mesh, spec))

    compiled = jax.jit(
        lambda left, right: Recursion(plan, left, right, jax.numpy).run()
    )

    def compute(left: Side, right: Side) -> np.ndarray:
        with place.enable_x64(dtype == "float64"):
            left = jax.tree_util.tree_map(spread, left)
            right = jax.device_put(right, whole)
            return np.asarray(compiled(left, right))

    return compute


def _tensors(side: Side) -> Side:
    return keras.tree.map_structure(keras.ops.convert_to_tensor, side)
