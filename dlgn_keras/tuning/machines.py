"""Many machines: KerasTuner's chief and workers, with short timeouts.

The chief speaks KerasTuner's own protocol. Beyond it, a port in use or a chief that
does not answer is an error at once, and workers that die are noticed.
"""

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc

from dlgn_keras.tuning.oracles import (
    Lasting,
    OracleClient,  # pyright: ignore[reportAttributeAccessIssue]
    OracleServicer,  # pyright: ignore[reportAttributeAccessIssue]
    protos,  # pyright: ignore[reportAttributeAccessIssue]
)

POLL_SECONDS = 0.5


def check_address(address: Any) -> str:
    """Return HOST:PORT if it is one, else raise ValueError."""
    host, _, port = str(address or "").rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(
            "`chief` must be HOST:PORT, the chief's address. "
            f"Received: chief={address!r}."
        )
    return str(address)


def serve(
    oracle: Lasting, address: str, patience: float, show: Callable[[list[str]], None]
) -> None:
    """Run the chief: hand out trials until all have ended and every worker knows it.

    Args:
        oracle: a settled oracle.
        address: HOST:PORT to listen at.
        patience: seconds after which the chief gives up a silent worker.
        show: called twice a second with the workers given up since.

    Raises:
        OSError: the port is in use, or the host is not this machine.
    """
    # Without this, two chiefs would share a port and split the workers.
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=1), options=(("grpc.so_reuseport", 0),)
    )
    protos.get_service_grpc().add_OracleServicer_to_server(
        OracleServicer(oracle), server
    )
    try:
        port = server.add_insecure_port(address)
    except RuntimeError:
        port = 0
    if not port:
        raise OSError(
            "`chief` must be an address of this machine with a free port; it is in use "
            f"or another machine's. Received: chief={address!r}."
        )
    server.start()
    try:
        while not oracle.is_over:
            time.sleep(POLL_SECONDS)
            show(oracle.reap(patience))
    finally:
        server.stop(grace=1).wait()


class Client(OracleClient):
    """A worker's connection to the chief.

    Args:
        oracle: an oracle of the same search, for what never changes.
        address: the chief's HOST:PORT.
        patience: seconds to wait for an answer.

    Raises:
        ConnectionError: the chief does not answer.
    """

    def __init__(self, oracle: Lasting, address: str, patience: float) -> None:
        self._oracle = oracle
        self.name = f"{socket.gethostname()}-{os.getpid()}"
        self.multi_worker, self.should_report = False, True
        silence = (
            f"No chief answers at {address} within {patience:g} s. Start it there with "
            "`--role chief`, or wait longer for it with `--patience`."
        )
        channel = grpc.insecure_channel(address)
        try:
            grpc.channel_ready_future(channel).result(timeout=patience)
        except grpc.FutureTimeoutError:
            channel.close()
            raise ConnectionError(silence) from None
        stub = protos.get_service_grpc().OracleStub(channel)
        self.stub = _Stub(stub, address, patience, silence)

    @contextmanager
    def heartbeat(self, name: str, seconds: float) -> Iterator[None]:
        """Send the chief regular signs of life while a trial runs."""
        done = threading.Event()

        def beat() -> None:
            while not done.wait(seconds):
                try:
                    self.create_trial(name)  # the answer is the trial it runs already
                except OSError:
                    continue  # the chief may come back; the search finds out

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


class _Stub:
    """KerasTuner's calls, which wait an hour each, with a shorter timeout."""

    def __init__(self, stub: Any, address: str, patience: float, silence: str) -> None:
        self._stub, self._address = stub, address
        self._patience, self._silence = patience, silence

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self._stub, name)

        def patient(request: Any, **_: Any) -> Any:
            try:
                return call(request, wait_for_ready=True, timeout=self._patience)
            except grpc.RpcError as error:
                failed: Any = error
                if failed.code() == grpc.StatusCode.DEADLINE_EXCEEDED:
                    raise ConnectionError(self._silence) from None
                raise ConnectionError(
                    f"The chief at {self._address} broke off: {failed.details()}."
                ) from None

        return patient
