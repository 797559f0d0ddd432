import keras
import numpy as np
import pytest
from keras import layers

from ar3d_keras.models import convolution
from ar3d_keras.models.convolution import Conv3D, conv_by_frames
from ar3d_keras.models.layers import AveragePooling3D

CASES = [
    {"kernel_size": 3, "padding": "same"},
    {"kernel_size": (1, 3, 3), "padding": "same", "strides": (1, 2, 2)},
    {"kernel_size": (3, 1, 1), "padding": "same", "strides": (2, 1, 1), "use_bias": False},
    {"kernel_size": (2, 3, 4), "padding": "valid", "activation": "relu"},
    {"kernel_size": (5, 3, 3), "padding": "same", "strides": 2},
    {"kernel_size": 1, "padding": "same"},
    {"kernel_size": 1, "padding": "valid", "strides": (1, 2, 1)},
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


@pytest.mark.multi_backend
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="devices of JAX")
@pytest.mark.parametrize(("platform", "expected"), [("gpu", conv_by_frames), ("tpu", None)])
def test_a_device_that_is_no_cpu(platform, expected, monkeypatch):
    monkeypatch.setattr("jax.default_backend", lambda: platform)
    assert convolution._for_this_device.__wrapped__() is expected


@pytest.mark.multi_backend
@pytest.mark.skipif(keras.backend.backend() != "jax", reason="a gradient for JAX")
@pytest.mark.parametrize(
    ("size", "window", "strides", "padding", "block"),
    [
        ((4, 6, 5), (3, 3, 3), (1, 1, 1), "same", 6000),  # three rows of a frame
        ((6, 5, 4), (2, 3, 3), (1, 2, 1), "valid", 1_000_000),  # a whole clip
        ((5, 6, 7), (4, 1, 2), (2, 1, 3), "same", 1),  # one row
    ],
)
def test_gradients_are_those_of_jax(size, window, strides, padding, block):
    import jax
    from jax import lax

    from ar3d_keras.models import kernel_gradient as module

    shape, kernel_shape = (2, *size, 32), (*window, 32, 3)
    draw = np.random.default_rng(0)
    clips, kernel = (draw.normal(size=s).astype("float32") for s in (shape, kernel_shape))

    def theirs(clips, kernel):
        order = ("NDHWC", "DHWIO", "NDHWC")
        return lax.conv_general_dilated(
            clips, kernel, strides, padding.upper(), dimension_numbers=order
        )

    features, expected = jax.vjp(theirs, clips, kernel)
    upstream = draw.normal(size=features.shape).astype("float32")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_BLOCK", block)
        given = clips, upstream, kernel_shape, strides, padding
        found = module.kernel_gradient(*given)
        of_few = module.kernel_gradient_of_few_channels(*given)
        both = jax.vjp(lambda *given: module.conv3d(*given, strides, padding), clips, kernel)
        to_clips, to_kernel = both[1](upstream)
    right = expected(upstream)
    pairs = (found, right[1]), (of_few, right[1]), (to_clips, right[0]), (to_kernel, right[1])
    for ours, gradient in pairs:
        np.testing.assert_allclose(ours, gradient, atol=1e-4)


@pytest.mark.multi_backend
@pytest.mark.parametrize("pool", [(2, 3, 2), (1, 2, 2), (4, 5, 6)])
def test_average_pooling_equals_the_layer_of_keras(pool):
    clip = np.random.default_rng(0).normal(size=(2, 5, 7, 6, 3)).astype("float32")
    expected = layers.AveragePooling3D(pool, data_format="channels_last")(clip)
    found = AveragePooling3D(pool, data_format="channels_last")(clip)
    np.testing.assert_allclose(*map(keras.ops.convert_to_numpy, (found, expected)), atol=1e-6)
