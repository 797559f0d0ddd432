import keras
import numpy as np
import pytest
from keras import layers

from ar3d_keras.models.convolution import Conv3D, conv_by_frames

CASES = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (1, 3, 3), "padding": "same", "strides": (1, 2, 2)},
    {"kernel_size": (3, 1, 1), "padding": "same", "strides": (2, 1, 1), "use_bias": False},
    {"kernel_size": (2, 3, 4), "padding": "valid", "activation": "relu"},
    {"kernel_size": (5, 3, 3), "padding": "same", "strides": 2},
]


@pytest.mark.multi_backend
@pytest.mark.parametrize("options", CASES)
def test_it_equals_the_layer_of_keras(options):
    clip = np.random.default_rng(0).normal(size=(2, 6, 8, 9, 3)).astype("float32")
    theirs = layers.Conv3D(4, **options, data_format="channels_last")
    expected = keras.ops.convert_to_numpy(theirs(clip))
    ours = Conv3D(4, **options, data_format="channels_last")
    ours.build(clip.shape)
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(keras.ops.convert_to_numpy(ours(clip)), expected, atol=1e-5)
    if options.get("activation") is None and not options.get("use_bias", True):
        found = conv_by_frames(
            keras.ops.convert_to_tensor(clip), theirs.kernel, theirs.strides, theirs.padding
        )
        np.testing.assert_allclose(keras.ops.convert_to_numpy(found), expected, atol=1e-5)
