"""How a model leaves for use: exported, or quantised to int8."""

import warnings
from typing import Any

import keras
from keras import ops

from dlgn_keras.tools.messages import check_choice

QUANTIZED = "quantized"


class Served(keras.Model):
    """A Keras model that exports without having been called, and keeps int8."""

    def export(
        self, filepath: Any, format: str = "tf_saved_model", **options: Any
    ) -> None:
        """Write the model for use without this library, as Keras' `export` does.

        Args:
            filepath: where to.
            format: "tf_saved_model" (on TensorFlow and JAX), "onnx" (on TensorFlow
                and PyTorch; `pip install dlgn-keras[onnx]`), or another of Keras'.
            options: Keras' own, such as `verbose` and `input_signature`.
        """
        dtype = self.input.dtype
        self(ops.zeros((1, *self.input_shape[1:]), dtype))  # Keras wants one call
        super().export(filepath, format=format, **options)

    def quantize(self, mode: Any, config: Any = None, **options: Any) -> None:
        """Round every dense kernel to int8, in place, by Keras' own `quantize`.

        Keras has no int8 convolution: those stay as they are. Inputs of dense layers
        are rounded too, so that a value network is no longer affine: `explain`,
        `parameters` and kernels are for the model before. It predicts, is saved and
        loaded; it does not learn. Compile it again after: what was traced is float.

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
        return any(is_quantized(layer) for layer in self._flatten_layers())

    def quantized_config(self) -> dict[str, bool]:
        """Return what a config holds of this, for `from_config` to quantise again."""
        return {QUANTIZED: True} if self.quantized else {}


def is_quantized(layer: Any) -> bool:
    """Return whether a layer's kernel is int8 (or another of Keras' roundings)."""
    return getattr(layer, "quantization_mode", None) is not None
