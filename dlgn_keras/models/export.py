"""A model for other programs (SavedModel, ONNX), and one in int8."""

import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import keras
from keras import ops

from dlgn_keras.models.kept import KeptModel
from dlgn_keras.tools.messages import check_choice


class Exported(KeptModel):
    """A Keras model with one input and checked `export` and `quantize`."""

    # `dlgn_keras/methods.py` sets it: interpret stands above the models.
    export_contributions: Callable[..., Any]

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        contributions: bool = False,
        **options: Any,
    ) -> None:
        """Write the model for use without this library, by Keras' `export`.

        Args:
            filepath: file or folder to write.
            format: "tf_saved_model" (on TensorFlow and JAX), "onnx" (on TensorFlow
                and PyTorch; `pip install dlgn-keras[onnx]`), or another of Keras'.
            contributions: whether an ONNX file explains too (on TensorFlow): its inputs
                are "inputs" (n, *input_shape), float32, and "target" (n,), int32; its
                outputs "logits", "contributions" and "bias", those of `explain`.
            options: options of Keras' `export`, such as `verbose`.

        Raises:
            ValueError: "onnx" on JAX, which Keras needs jax2onnx for; contributions in
                another format or on another backend.
        """
        if contributions:
            check_choice("format", format, ("onnx",))
            self.export_contributions(filepath)
            return
        on_jax = keras.backend.backend() == "jax"
        if format == "onnx" and on_jax and find_spec("jax2onnx") is None:
            raise ValueError(
                "`format` 'onnx' needs the TensorFlow or PyTorch backend: save the "
                "model, set KERAS_BACKEND=torch, load it and export it there. "
                "Received: format='onnx' on JAX."
            )
        zeros = lambda t: ops.zeros((1, *t.shape[1:]), t.dtype)  # noqa: E731
        self(keras.tree.map_structure(zeros, self.input))  # Keras wants one call
        super().export(filepath, format=format, **options)

    def quantize(self, mode: Any, config: Any = None, **options: Any) -> None:
        """Round every dense kernel to int8, in place, by Keras' `quantize`.

        Keras has no int8 convolution: those stay float. A quantised model predicts,
        saves and loads; it does not train. Inputs of dense layers are rounded too,
        so the value network is no longer affine: use `explain`, `parameters` and
        kernels before. Compile the model again afterwards.

        The zoo's MNIST presets keep their test accuracy within 0.02 points, in a
        quarter of the bytes (`benchmarks/quantized.md`).

        Args:
            mode: "int8".

        Raises:
            ValueError: another mode.
        """
        check_choice("mode", mode, ("int8",))
        with warnings.catch_warnings():  # of every layer that is not dense
            warnings.filterwarnings("ignore", message=".*`quantize` method impl")
            super().quantize(mode, config=config, **options)

    @property
    def quantized(self) -> bool:
        """Whether dense layers are int8."""
        return any(
            getattr(layer, "quantization_mode", None) is not None
            for layer in self._flatten_layers()
        )
