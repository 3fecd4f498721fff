"""What int8 costs: test accuracy of MNIST presets before and after `quantize`.

    KERAS_BACKEND=jax python benchmarks/quantized.py

Dense kernels and the inputs of dense layers are rounded, by Keras; the 10,000 test
images of MNIST are read as `dk.data.load` finds them. One json line a preset.
"""

import json
import math

import keras

import dlgn_keras as dk

PRESETS = ("dnn_fc_mnist", "dgn_fc_mnist", "dlgn_fc_mnist", "dlgn_sf_fc_mnist")


def main():
    mnist = dk.data.load("mnist")

    def measure(net):
        logits = net.predict(mnist.x_test, batch_size=1000, verbose=0)
        size = sum(bytes_of(weight) for weight in net.weights)
        return logits, size

    for name in PRESETS:
        net = dk.from_preset(name)
        before, floats = measure(net)
        net.quantize("int8")
        net.compile()  # what was traced before is float
        after, integers = measure(net)
        right = [(z.argmax(1) == mnist.y_test) for z in (before, after)]
        row = {
            "preset": name,
            "backend": keras.backend.backend(),
            "accuracy_float32": float(right[0].mean()),
            "accuracy_int8": float(right[1].mean()),
            "answers_that_differ": int((before.argmax(1) != after.argmax(1)).sum()),
            "bytes_float32": floats,
            "bytes_int8": integers,
        }
        print(json.dumps(row), flush=True)


def bytes_of(weight):
    return math.prod(weight.shape) * (1 if weight.dtype == "int8" else 4)


if __name__ == "__main__":
    main()
