"""Chief and workers over a real connection on this machine."""

import socket
import threading
import time
from contextlib import contextmanager

import pytest
from keras_tuner.engine.trial import TrialStatus
from tuning import bowl

from dlgn_keras.tuning.machines import Client, check_address, serve


def free_address():
    """An address of this machine whose port nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@contextmanager
def listening(oracle, address, patience):
    """A chief in a thread; yields it and the names of the workers it lost."""
    lost = []
    thread = threading.Thread(
        target=serve, args=(oracle, address, patience, lost.extend)
    )
    thread.start()
    try:
        yield thread, lost
    finally:
        with oracle._guard:  # the day is over, whatever is still running
            oracle.hours = 1e-9
            oracle.ongoing_trials.clear()
            oracle.tuner_ids.clear()
        thread.join()


def test_all_trials_end_though_a_worker_dies(tmp_path):
    chief, address = bowl.oracle(tmp_path), free_address()
    with listening(chief, address, patience=1.5) as (thread, lost):
        doomed, other = (Client(bowl.oracle(tmp_path), address, 10) for _ in "ab")
        left = doomed.create_trial("a")  # and never a word again
        ran, done = [], None
        while done != TrialStatus.STOPPED:
            with other.heartbeat("b", 0.2):
                done = bowl.step(other, "b", ran)
            if done == TrialStatus.IDLE:
                time.sleep(0.1)
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert lost == ["a"]
    assert left.trial_id in ran
    assert len(ran) == len(set(ran)) == bowl.POINTS
    scores = {v: s for v, _, s in bowl.outcome(chief).values()}
    assert len(scores) == bowl.POINTS
    for values, found in scores.items():
        expected = None if bowl.fails(dict(values)) else bowl.score(dict(values))
        assert found == expected  # what travels does not lose a digit


def test_a_worker_that_says_it_lives_keeps_its_trial(tmp_path):
    chief, address = bowl.oracle(tmp_path, "random", 1), free_address()
    with listening(chief, address, patience=0.6) as (thread, lost):
        client = Client(bowl.oracle(tmp_path, "random", 1), address, 10)
        trial = client.create_trial("slow")
        with client.heartbeat("slow", 0.1):
            time.sleep(2.0)
        bowl.end(client, trial)
        assert client.create_trial("slow").status == TrialStatus.STOPPED
        thread.join(timeout=10)
        assert not thread.is_alive()
    assert lost == []
    assert len(bowl.outcome(chief)) == 1


def test_a_port_in_use_is_told(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(OSError, match="a free port; it is in use"):
            serve(bowl.oracle(tmp_path), address, 60, print)


def test_a_second_chief_on_the_port_of_the_first_is_told(tmp_path):
    address = free_address()
    with listening(bowl.oracle(tmp_path / "a"), address, 60):
        Client(bowl.oracle(tmp_path / "a"), address, 10)  # it listens
        with pytest.raises(OSError, match="a free port; it is in use"):
            serve(bowl.oracle(tmp_path / "b"), address, 60, print)


def test_a_chief_that_is_not_there_is_told(tmp_path):
    address = free_address()
    with pytest.raises(ConnectionError, match=f"No chief answers at {address}"):
        Client(bowl.oracle(tmp_path), address, 0.3)


@pytest.mark.parametrize("address", [None, "", "host", "host:", ":80", "host:0", "h:x"])
def test_a_bad_address_is_told(address):
    with pytest.raises(ValueError, match="`chief` must be HOST:PORT"):
        check_address(address)
