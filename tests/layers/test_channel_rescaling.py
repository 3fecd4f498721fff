"""ChannelRescaling: the Keras contract, channels last whatever Keras is set to."""

import keras
import numpy as np
import pytest
from contracts import check_layer

from dlgn_keras.layers import ChannelRescaling


@pytest.mark.parametrize("image_format", ["channels_last", "channels_first"])
@pytest.mark.parametrize(
    ("scale", "offset"), [([2.0, 0.5, -1.0], [1.0, 0.0, 3.0]), (0.25, -1.0)]
)
def test_channel_rescaling_keeps_the_keras_contract(
    image_format, scale, offset, rng, tmp_path
):
    before = keras.config.image_data_format()
    keras.config.set_image_data_format(image_format)
    try:
        check_layer(
            ChannelRescaling,
            {"scale": scale, "offset": offset},
            (4, 5, 3),
            (4, 5, 3),
            trainable=0,
            rng=rng,
            folder=tmp_path,
            reference=lambda layer, inputs: inputs[0] * scale + np.asarray(offset),
        )
    finally:
        keras.config.set_image_data_format(before)


def test_numbers_for_other_channels_are_refused():
    with pytest.raises(ValueError, match="each of the 3 channels"):
        ChannelRescaling([1.0, 2.0])(np.ones((1, 3), "float32"))
