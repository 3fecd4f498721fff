"""Batches: every example once an epoch, in an order of seed and epoch alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dlgn_keras.training.batches import (
    IndexChunks,
    Share,
    as_fed,
    chunk_length,
    fill_up,
    part_in_batches,
)


def as_batches(chunks):
    """(steps, batch_size) indices, labels and weights, as the trainer reads them."""
    parts = [[], [], []]
    for k in range(len(chunks)):
        for found, part in zip(parts, chunks[k], strict=True):
            found.append(part.reshape(chunks.batch_size // chunks.share.count, -1).T)
    return [np.concatenate(found) for found in parts]


@given(st.integers(1, 300), st.integers(1, 40), st.integers(0, 9), st.integers(0, 9))
@settings(max_examples=60, deadline=None)
def test_every_example_has_weight_one_just_once_an_epoch(n, batch, seed, epoch):
    labels = np.arange(n) * 7 % 10
    batch = min(batch, n)
    chunks = IndexChunks(labels, batch, seed, longest_chunk=5)
    chunks.start_at(epoch)
    indices, given_labels, weights = as_batches(chunks)
    assert indices.shape == (chunks.steps, batch)
    assert chunks.steps == -(-n // batch)
    assert sorted(indices[weights == 1]) == list(range(n))
    assert set(weights.reshape(-1)) <= {0, 1}
    assert (weights[:-1] == 1).all()  # only the last batch is filled up
    np.testing.assert_array_equal(given_labels, labels[indices])
    assert (indices.dtype, given_labels.dtype) == ("int32", "int32")


def test_the_order_depends_on_seed_and_epoch_alone():
    def order(seed, *epochs):
        chunks = IndexChunks(np.zeros(50), 10, seed)
        for epoch in epochs:
            chunks.start_at(epoch)
            _ = [chunks[k] for k in range(len(chunks))]
            chunks.on_epoch_end()  # Keras calls this more often than epochs end
        return as_batches(chunks)[0].tolist()

    assert order(3, 0, 1, 2) == order(3, 2)
    drawn = [order(3, 2), order(3, 1), order(4, 2)]
    assert all(a != b for k, a in enumerate(drawn) for b in drawn[:k])


def test_the_chunk_length_changes_no_batch():
    whole = IndexChunks(np.arange(50), 10, 0, longest_chunk=5)
    single = IndexChunks(np.arange(50), 10, 0, longest_chunk=1)
    assert (len(whole), len(single)) == (1, 5)
    for ours, theirs in zip(as_batches(whole), as_batches(single), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_the_shares_of_the_processes_make_up_every_batch():
    whole = IndexChunks(np.arange(43), 12, 0, longest_chunk=2)
    shares = [IndexChunks(np.arange(43), 12, 0, 2, Share(k, 3, 6)) for k in range(3)]
    for part in range(3):
        together = [as_batches(share)[part] for share in shares]
        np.testing.assert_array_equal(
            np.concatenate(together, axis=1), as_batches(whole)[part]
        )
        # What devices get is a piece of the chunk's only axis: laid one after the
        # other, the pieces are the whole chunk.
        laid = np.concatenate([share[0][part] for share in shares])
        np.testing.assert_array_equal(laid, whole[0][part])


@given(st.integers(1, 2000), st.integers(1, 200))
@settings(max_examples=100, deadline=None)
def test_a_chunk_is_a_divisor_wherever_a_long_one_exists(steps, longest):
    length = chunk_length(steps, longest)
    longest = min(longest, steps)
    assert 1 <= length <= longest
    divisors = [d for d in range(longest // 8 + 1, longest + 1) if steps % d == 0]
    assert length == (max(divisors) if divisors else longest)


def test_filling_up_repeats_the_first_ones_as_often_as_needed():
    indices, weights = fill_up(np.array([4, 5]), 5)
    assert indices.tolist() == [[4, 5, 4, 5, 4]]
    assert weights.tolist() == [[1, 1, 0, 0, 0]]


@pytest.mark.parametrize("devices", [1, 2, 4])
def test_a_part_to_evaluate_has_full_batches_that_the_devices_share(devices):
    labels = np.arange(30) % 4
    parts = [
        part_in_batches(100, labels, Share(k, 2, devices), largest=7)
        for k in range(2 if devices > 1 else 1)
    ]
    if devices == 1:
        parts = [part_in_batches(100, labels, None, largest=7)]
    size = sum(part.batch_size for part in parts)
    assert size % devices == 0
    assert size >= 7
    batches = np.concatenate(
        [part.indices.reshape(-1, part.batch_size) for part in parts], axis=1
    ).reshape(-1)
    weights = np.concatenate(
        [part.weights.reshape(-1, part.batch_size) for part in parts], axis=1
    ).reshape(-1)
    assert batches[weights == 1].tolist() == list(range(100, 130))
    for part in parts:
        np.testing.assert_array_equal(part.labels, labels[part.indices - 100])


def test_what_fit_is_fed_are_the_chunks_of_the_round_that_comes():
    chunks = IndexChunks(np.arange(16) % 3, 4, seed=1, longest_chunk=2)
    fed = as_fed(chunks)
    assert len(fed) == len(chunks) == 2
    seen = []
    for epoch in range(2):
        chunks.start_at(epoch)
        parts = [fed[k] for k in range(2)] if fed is chunks else list(fed)
        for k, part in enumerate(parts):
            for ours, theirs in zip(part, chunks[k], strict=True):
                assert ours.dtype == theirs.dtype
                np.testing.assert_array_equal(ours, theirs)
        seen.append(np.array(parts[0][0]).tolist())
    assert seen[0] != seen[1]
