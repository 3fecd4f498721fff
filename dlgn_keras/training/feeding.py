"""How Keras takes batches: as they are, and on TensorFlow as tf.data of our own."""

from collections.abc import Iterator
from typing import Any

import keras

from dlgn_keras.training.batches import IndexChunks, Part


def as_fed(chunks: IndexChunks) -> Any:
    """Return the chunks as `model.fit` is to take them: on TensorFlow, as tf.data.

    Keras makes tf.data of them by itself, but leaves its autotuner on: stopping
    that takes up to half a second at the end of every round.
    """
    if keras.backend.backend() != "tensorflow":
        return chunks
    import tensorflow as tf

    def generate() -> Iterator[tuple]:
        return (chunks[k] for k in range(len(chunks)))

    kinds = (tf.int32, tf.int32, tf.float32)
    dataset = tf.data.Dataset.from_generator(
        generate, output_signature=tuple(tf.TensorSpec((None,), kind) for kind in kinds)
    )
    known = tf.data.experimental.assert_cardinality(len(chunks))
    return _untuned(dataset.apply(known))


def as_evaluated(part: Part) -> dict[str, Any]:
    """Return the arguments of `model.evaluate` for a part, to be made once.

    On TensorFlow Keras would make a pipeline at every call, which takes ten times as
    long as to evaluate the digits with it.
    """
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
