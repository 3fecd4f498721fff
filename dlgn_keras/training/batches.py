"""Batches as indices into data that already lies on the device.

One *chunk* holds the indices of several steps, so that one call from Python
runs them all. A chunk may span several epochs if `evaluate_every` is above 1.
Order and chunks depend only on the seed and the epoch, so a resumed run equals an
uninterrupted one. The last batch is padded with examples of weight zero, so that
all batches have the same shape.
"""

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import keras
import numpy as np

from dlgn_keras.data.stored import Stored

LONGEST_CHUNK = 128
CHUNK_BYTES = 1 << 25  # of a chunk of inputs that are read from disk
MOST_READERS = 8


@dataclass(frozen=True)
class Share:
    """Which part of every batch this process feeds.

    index, count: this is process `index` of `count`.
    devices: number of devices that share a batch, over all processes.
    """

    index: int = 0
    count: int = 1
    devices: int = 1

    def of(self, batches: np.ndarray) -> np.ndarray:
        """Return this process' columns of (number, batch_size) batches."""
        size = batches.shape[1] // self.count
        return batches[:, self.index * size : (self.index + 1) * size]


def chunk_length(steps: int, longest: int = LONGEST_CHUNK) -> int:
    """Return the number of steps of a call: a divisor of `steps` if a long one exists.

    Example:
        >>> from dlgn_keras.training.batches import chunk_length
        >>> chunk_length(1875), chunk_length(391), chunk_length(45), chunk_length(389)
        (125, 23, 45, 128)
    """
    longest = max(1, min(longest, steps))
    for length in range(longest, longest // 8, -1):
        if steps % length == 0:
            return length
    return longest


def fill_up(indices: np.ndarray, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return indices and weights as full batches, (number, batch_size) each.

    Args:
        indices: (n,) indices of examples; the last batch is padded with the first
            of them, at weight zero.
        batch_size: examples a batch.

    Example:
        >>> import numpy as np
        >>> from dlgn_keras.training.batches import fill_up
        >>> indices, weights = fill_up(np.array([7, 8, 9]), 2)
        >>> indices.tolist(), weights.tolist()
        ([[7, 8], [9, 7]], [[1.0, 1.0], [1.0, 0.0]])
    """
    number = -(-len(indices) // batch_size)
    full = np.resize(indices, (number, batch_size))
    weights = np.arange(full.size).reshape(full.shape) < len(indices)
    return full.astype("int32"), weights.astype("float32")


def as_targets(labels: np.ndarray) -> np.ndarray:
    """Return class numbers or numbers in the type that every backend computes with."""
    return labels.astype("float32" if labels.dtype.kind == "f" else "int32")


class IndexChunks(keras.utils.PyDataset):
    """Chunks of (indices, labels, weights), shuffled again for every epoch.

    The entries of a chunk are laid out so that column k of
    `reshape(chunk, (batch_size, -1))` is its k-th batch: sharding the chunk's
    only axis over devices then shards every batch.

    Args:
        labels: (n,) class numbers of the training examples, which lie first in
            the resident data.
        batch_size: examples a step, over all processes.
        seed: seed of the order.
        longest_chunk: most steps in a chunk.
        share: the part of every batch that this process feeds.
        epochs: number of epochs in a round, which Keras counts as one epoch.
        example_weights: (n,) factors on the loss of each example; None is all ones.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        longest_chunk: int = LONGEST_CHUNK,
        share: Share | None = None,
        epochs: int = 1,
        example_weights: np.ndarray | None = None,
    ) -> None:
        super().__init__()
        self.labels = as_targets(labels)
        self.batch_size = batch_size
        self.seed = seed
        self.example_weights = example_weights
        self.epochs = epochs
        self.epoch_steps = -(-len(labels) // batch_size)
        self.steps = epochs * self.epoch_steps
        self.chunk = chunk_length(self.steps, longest_chunk)
        self.share = share or Share()
        self.start_at(0)

    def start_at(self, epoch: int) -> None:
        """Draw the batches of the round that begins with `epoch` (from 0).

        Call this at the start of a round. Keras calls `on_epoch_end` more often
        than epochs end, so its calls cannot be counted.
        """
        number = len(self.labels)
        orders = [
            np.random.default_rng([self.seed, k]).permutation(number)
            for k in range(epoch, epoch + self.epochs)
        ]
        filled = [fill_up(order, self.batch_size) for order in orders]
        self.indices = self.share.of(np.concatenate([pair[0] for pair in filled]))
        self.weights = self.share.of(np.concatenate([pair[1] for pair in filled]))

    def __len__(self) -> int:
        return -(-self.steps // self.chunk)

    def __getitem__(self, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        steps = slice(k * self.chunk, (k + 1) * self.chunk)
        indices = self.indices[steps].T.reshape(-1)
        weights = self.weights[steps].T.reshape(-1)
        if self.example_weights is not None:
            weights = weights * self.example_weights[indices]
        return indices, self.labels[indices], weights


class Ahead:
    """Results of `make(0)`, `make(1)`, ..., made ahead of their use by threads.

    Attributes:
        problem: the error of the result that was asked for last, if there is one.
    """

    def __init__(self, make: Callable[[int], Any]) -> None:
        self.make = make
        self.readers = min(os.cpu_count() or 1, MOST_READERS)
        self.pool = ThreadPoolExecutor(self.readers, "reader")
        self.pending: dict[int, Future] = {}
        self.problem: Exception | None = None

    def forget(self) -> None:
        """Drop what was made: from now on `make` returns something else."""
        for future in self.pending.values():
            future.cancel()
        self.pending = {}

    def get(self, k: int, number: int) -> Any:
        """Return result `k` of `number`; begin with those that follow."""
        for j in range(k, min(number, k + self.readers + 1)):
            if j not in self.pending:
                self.pending[j] = self.pool.submit(self.make, j)
        try:
            return self.pending.pop(k).result()
        except Exception as error:
            self.problem = error
            raise

    def close(self) -> None:
        self.forget()
        self.pool.shutdown(wait=False, cancel_futures=True)


def read_chunk(x: Stored, indices: np.ndarray, weights: np.ndarray) -> tuple:
    """Return inputs and weights, 0 where an input cannot be read and is skipped.

    An input that only fills up a batch, at weight 0, is not read.
    """
    inputs = np.zeros((len(indices), *x.shape[1:]), x.dtype)
    used = weights > 0
    inputs[used], good = x.read(indices[used])
    weights = weights.copy()
    weights[used] *= good
    return inputs, weights


class StoredChunks(IndexChunks):
    """Chunks of (inputs, labels, weights), read from disk ahead of their step.

    Args:
        x: training inputs; the order of the examples is that of `IndexChunks`.
        arguments: those of `IndexChunks`.
    """

    def __init__(self, x: Stored, *arguments: Any, **options: Any) -> None:
        self.x = x
        self.ahead = Ahead(self._read)
        super().__init__(*arguments, **options)

    def start_at(self, epoch: int) -> None:
        self.ahead.forget()
        super().start_at(epoch)

    def _read(self, k: int) -> tuple:
        indices, labels, weights = super().__getitem__(k)
        inputs, weights = read_chunk(self.x, indices, weights)
        return inputs, labels, weights

    def __getitem__(self, k: int) -> tuple:
        return self.ahead.get(k, len(self))


def longest_stored_chunk(x: Stored, batch_size: int) -> int:
    """Return the most steps in a chunk of inputs that are read from disk."""
    return max(1, CHUNK_BYTES // (batch_size * max(1, x.nbytes // len(x))))


class StoredPart(keras.utils.PyDataset):
    """A part to evaluate, read from disk in batches of (inputs, labels, weights)."""

    def __init__(self, x: Stored, part: "Part") -> None:
        super().__init__()
        self.x, self.part = x, part
        self.ahead = Ahead(self._read)

    def __len__(self) -> int:
        return len(self.part.indices) // self.part.batch_size

    def _read(self, k: int) -> tuple:
        indices, labels, weights, size = self.part
        some = slice(k * size, (k + 1) * size)
        inputs, weights = read_chunk(self.x, indices[some], weights[some])
        return inputs, labels[some], weights

    def __getitem__(self, k: int) -> tuple:
        return self.ahead.get(k, len(self))


class Part(NamedTuple):
    """A part of the data set to evaluate, in full batches of one shape.

    indices, labels, weights: (n,) entries, weight zero where they only fill up.
    batch_size: number of them in a batch here.
    """

    indices: np.ndarray
    labels: np.ndarray
    weights: np.ndarray
    batch_size: int


def part_in_batches(
    first: int, labels: np.ndarray, share: Share | None = None, largest: int = 512
) -> Part:
    """Return the examples from place `first` of the resident data on, in batches.

    Args:
        first: place of the part's first example.
        labels: (n,) class numbers of the part.
        share: the part of every batch that this process feeds.
        largest: most examples a batch, if the devices can share that many evenly;
            512 is the batch of the recipes for accelerators, and XLA tunes a shape
            once.
    """
    share = share or Share()
    size = -(-min(largest, len(labels)) // share.devices) * share.devices
    indices, weights = map(share.of, fill_up(np.arange(len(labels)), size))
    flat = indices.reshape(-1)
    return Part(
        flat + np.int32(first),
        as_targets(labels[flat]),
        weights.reshape(-1),
        size // share.count,
    )


def as_fed(chunks: IndexChunks | StoredPart) -> Any:
    """Return the chunks in the form for `model.fit`: a tf.data.Dataset on TensorFlow.

    Keras would build the tf.data.Dataset itself, but with the autotuner on; stopping
    the autotuner takes up to half a second at the end of every round.
    """
    if keras.backend.backend() != "tensorflow":
        return chunks
    import tensorflow as tf

    def generate() -> Iterator[tuple]:
        return (chunks[k] for k in range(len(chunks)))

    stored = chunks.x if isinstance(chunks, StoredChunks | StoredPart) else None
    inputs = tf.TensorSpec((None,), tf.int32)
    if stored is not None:
        inputs = tf.TensorSpec((None, *stored.shape[1:]), tf.as_dtype(stored.dtype))
    known = chunks.part.labels if isinstance(chunks, StoredPart) else chunks.labels
    labels = tf.TensorSpec((None, *known.shape[1:]), tf.as_dtype(known.dtype))
    weights = tf.TensorSpec((None,), tf.float32)
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=(inputs, labels, weights)
    )
    known = tf.data.experimental.assert_cardinality(len(chunks))
    return _untuned(dataset.apply(known))


def as_evaluated(part: "Part | StoredPart") -> dict[str, Any]:
    """Return the arguments of `model.evaluate` for a part, to be built once.

    On TensorFlow, Keras would build a pipeline on every call, which takes ten times
    as long as evaluating the digits with it.
    """
    if isinstance(part, StoredPart):
        return {"x": as_fed(part)}
    indices, labels, weights, batch_size = part
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        dataset = tf.data.Dataset.from_tensor_slices((indices, labels, weights))
        return {"x": _untuned(dataset.batch(batch_size))}
    return {
        "x": indices,
        "y": labels,
        "sample_weight": weights,
        "batch_size": batch_size,
    }


def _untuned(dataset: Any) -> Any:
    import tensorflow as tf

    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
