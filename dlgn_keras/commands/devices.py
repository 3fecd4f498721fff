"""Options of a run on many devices and many machines."""

import argparse

from dlgn_keras.training.devices import join_hosts


def add_device_options(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("many devices (JAX backend)")
    group.add_argument(
        "--devices",
        default=None,
        type=_count,
        help="how many devices share every batch, or all; 1 if not given, "
        "all with --hosts",
    )
    group.add_argument(
        "--hosts",
        default=None,
        help="host:port,host,...: machines that train together, the first one leads; "
        "the same command runs on each, --out is a folder that all of them see",
    )
    group.add_argument(
        "--process",
        type=int,
        default=None,
        help="with --hosts: which of them this one is, from 0",
    )


def chosen_devices(arguments: argparse.Namespace) -> int | None:
    """Join the other hosts if there are any; return `fit`'s `devices`."""
    if arguments.hosts is None:
        if arguments.process is not None:
            raise ValueError(
                "`--process` numbers the machines of `--hosts`. "
                f"Received: --process {arguments.process} and no --hosts."
            )
        return 1 if arguments.devices is None else arguments.devices or None
    join_hosts(arguments.hosts, arguments.process)
    return arguments.devices or None


def _count(text: str) -> int:
    """Read a number of devices; "all" is 0."""
    if text == "all":
        return 0
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be all or at least 1, not {text!r}")
    return int(text)
