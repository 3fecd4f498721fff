"""CUDA without an accelerator: JAX turns the training loop into a program for it."""

import keras
import pytest
from training.trainers import BATCH, examples, make

from dlgn_keras.training.batches import IndexChunks


@keras.saving.register_keras_serializable(package="tests")
class OnCPUAlone(keras.layers.Layer):
    """Take an operation that JAX has for CPUs alone, as no layer of ours does."""

    def call(self, inputs):
        import jax

        square = inputs[:, :3, :3, 0]
        return inputs * jax.lax.linalg.schur(square)[0][:, :1, :1, None]


def lowered(rng, family="dlgn", policy="mixed_bfloat16", more=()):
    """The program of a chunk of steps, made for CUDA."""
    import jax
    import jax.export

    x, labels = examples(rng)
    trainer = make(x, family, policy, more=more)
    chunk = IndexChunks(labels, BATCH, seed=5)[0]
    trainer._symbolic_build(data_batch=tuple(part[:BATCH] for part in chunk))
    state = trainer._get_jax_state(
        trainable_variables=True,
        non_trainable_variables=True,
        optimizer_variables=True,
        metrics_variables=True,
    )
    step = jax.jit(trainer.train_step)
    return jax.export.export(step, platforms=["cuda"])(state, chunk)


if keras.backend.backend() == "jax":

    @pytest.mark.parametrize("family", ["dnn", "dgn", "dlgn"])
    def test_a_chunk_of_steps_is_one_program_for_cuda(rng, family):
        program = lowered(rng, family)
        assert program.platforms == ("cuda",)
        assert "bf16" in program.mlir_module()

    def test_the_precision_is_the_one_asked_for(rng):
        assert "bf16" not in lowered(rng, policy="float32").mlir_module()

    def test_what_only_a_cpu_can_do_is_found(rng):
        with pytest.raises(NotImplementedError, match="schur"):
            lowered(rng, more=[OnCPUAlone()])
