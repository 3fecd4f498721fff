"""Data-parallel training on many devices with `keras.distribution`, on JAX."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

from dlgn_keras.training.batches import Share


@contextmanager
def share_batches(devices: int | None, batch_size: int) -> Iterator[Share]:
    """Make the `with` block data-parallel; yield this process' share of every batch.

    Args:
        devices: number of devices to use; None takes all, of every
            process after `keras.distribution.initialize`; 1 shares nothing.
        batch_size: examples a step, over all devices.

    Raises:
        ValueError: not the JAX backend, more devices than there are, or a batch
            that they cannot share evenly.
    """
    if devices == 1 and num_processes() == 1:
        yield Share()
        return
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`devices` other than 1 needs the JAX backend (KERAS_BACKEND=jax): Keras "
            "shares batches between devices there. Received: "
            f"devices={devices!r} on {keras.backend.backend()}."
        )
    known = keras.distribution.list_devices()
    count = len(known) if devices is None else devices
    if not 1 <= count <= len(known) or (num_processes() > 1 and count != len(known)):
        every = "exactly that in a run of many processes" if num_processes() > 1 else ""
        raise ValueError(
            f"`devices` must be None or at most the {len(known)} there are"
            f"{every and ', ' + every}. Received: devices={devices!r}."
        )
    if batch_size % count:
        raise ValueError(
            f"`batch_size` must be a multiple of the {count} devices that share it. "
            f"Received: batch_size={batch_size}."
        )
    # Every process feeds its own part of the batches itself.
    distribution = keras.distribution.DataParallel(
        devices=known[:count], auto_shard_dataset=False
    )
    with distribution.scope():
        yield Share(process_index(), num_processes(), count)


def join_hosts(hosts: str, process: int | None) -> None:
    """Make this process one of many that train together.

    Waits for the other processes. Call it before any computation.

    Args:
        hosts: "host:port,host,...", one entry a process; the first one leads.
        process: index of this process in `hosts`, from 0.

    Raises:
        ValueError: not the JAX backend, fewer than two hosts, no port on the first,
            or a process out of range.
    """
    if keras.backend.backend() != "jax":
        raise ValueError(
            "`hosts` needs the JAX backend (KERAS_BACKEND=jax): Keras trains over "
            f"machines there. Received: hosts={hosts!r} on {keras.backend.backend()}."
        )
    names = [name.strip() for name in hosts.split(",")]
    port = names[0].rpartition(":")[2]
    if len(names) < 2 or not all(names) or not (":" in names[0] and port.isdecimal()):
        raise ValueError(
            "`hosts` must be at least two, the first with a port: host:port,host,... "
            f"Received: hosts={hosts!r}."
        )
    if process is None or not 0 <= process < len(names):
        raise ValueError(
            f"`process` must be from 0 to {len(names) - 1}, a place in hosts={hosts!r}."
            f" Received: process={process!r}."
        )
    keras.distribution.initialize(",".join(names), len(names), process)


def num_processes() -> int:
    """Return the number of processes that train together."""
    if keras.backend.backend() != "jax":
        return 1
    import jax

    return jax.process_count()


def process_index() -> int:
    """Return the index of this process; process 0 writes the files."""
    if keras.backend.backend() != "jax":
        return 0
    import jax

    return jax.process_index()


def device_name() -> str:
    """Return the device that new tensors lie on, as the backend names it."""
    device = getattr(keras.ops.zeros(()), "device", "cpu")
    kind = getattr(device, "device_kind", "")
    if getattr(device, "type", "") == "cuda":  # torch's own device does not say
        import torch

        kind = torch.cuda.get_device_name(device)
    return f"{device} {kind}".strip()


def loops_are_slow() -> bool:
    """Return whether a compiled loop is slower than separate calls of its steps.

    XLA runs convolutions on CPUs about twenty times slower inside a loop (JAX issue
    12868).
    """
    if keras.backend.backend() != "jax":
        return False
    import jax

    return jax.default_backend() == "cpu"


def forget_compiled() -> None:
    """Clear JAX's cache of compiled programs, which outlive their models."""
    if keras.backend.backend() == "jax":
        import jax

        jax.clear_caches()


def dtype_policy(precision: str) -> str:
    """Return the Keras dtype policy of a precision on this machine.

    "auto" is mixed_bfloat16 on an accelerator, where it is faster, and float32 on a
    CPU, where most compute it slower.

    Example:
        >>> from dlgn_keras.training.devices import dtype_policy
        >>> dtype_policy("mixed_float16")
        'mixed_float16'
    """
    if precision != "auto":
        return precision
    return "mixed_bfloat16" if on_accelerator() else "float32"


def on_accelerator() -> bool:
    """Return whether the backend computes on a device other than a CPU."""
    return "cpu" not in device_name().lower()


@contextmanager
def computing_in(precision: str) -> Iterator[None]:
    """Use a precision's dtype policy in the `with` block, then restore the old one."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(dtype_policy(precision))
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)
