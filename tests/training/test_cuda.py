"""CUDA without an accelerator: JAX turns the training loop into a program for it."""

import keras
import pytest

import dlgn_keras as dk
from dlgn_keras.training.augmentation import make_augmentation
from dlgn_keras.training.batches import IndexChunks
from dlgn_keras.training.optimizers import make_loss, make_optimizer
from dlgn_keras.training.precision import computing_in
from dlgn_keras.training.recipe import Recipe
from dlgn_keras.training.trainer import FirstNonFinite, make_trainer

SHAPE, NUMBER, BATCH, CLASSES = (8, 8, 3), 12, 4, 3
RECIPE = Recipe(
    optimizer="sgd", learning_rate=0.1, schedule="one_cycle", batch_size=BATCH
)


@keras.saving.register_keras_serializable(package="tests")
class OnCPUAlone(keras.layers.Layer):
    """Take an operation that JAX has for CPUs alone, as no layer of ours does."""

    def call(self, inputs):
        import jax

        square = inputs[:, :3, :3, 0]
        return inputs * jax.lax.linalg.schur(square)[0][:, :1, :1, None]


def lowered(rng, family="dlgn", policy="mixed_bfloat16", layers=()):
    """The program of a chunk of three steps, made for CUDA."""
    import jax
    import jax.export

    x = rng.integers(0, 256, (NUMBER, *SHAPE)).astype("uint8")
    labels = rng.integers(0, CLASSES, NUMBER)
    skeleton = dk.skeletons.gconv((4, 4), (6,), batch_norm=True)
    with computing_in(policy):
        net = dk.models.FAMILIES[family](skeleton, SHAPE, CLASSES, seed=1)
        augmentation = [*make_augmentation("shift_flip", SHAPE, 7), *layers]
        trainer = make_trainer(net, x, augmentation, BATCH)
    trainer.compile(
        make_optimizer(RECIPE, 3),
        make_loss(RECIPE, CLASSES),
        metrics=[FirstNonFinite()],
        weighted_metrics=["accuracy"],
    )
    chunk = IndexChunks(labels, BATCH, seed=5)[0]
    trainer.optimizer.build(trainer.trainable_variables)
    trainer._symbolic_build(data_batch=tuple(part[:BATCH] for part in chunk))
    groups = (
        trainer.trainable_variables,
        trainer.non_trainable_variables,
        trainer.optimizer.variables,
        trainer.metrics_variables,
    )
    state = tuple([v.value for v in group] for group in groups)
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
            lowered(rng, layers=[OnCPUAlone()])
