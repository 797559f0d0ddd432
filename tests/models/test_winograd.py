"""Winograd's algorithm gives what the definition of the convolution gives, and its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from ar3d_keras.models import convolution, winograd
from ar3d_keras.models.convolution import Conv3D

pytestmark = [
    pytest.mark.multi_backend,
    pytest.mark.skipif(keras.backend.backend() == "torch", reason="PyTorch fuses no sums"),
]


def by_definition(clips, kernel, strides):
    """In float64, with zeros around, as TensorFlow places them."""
    window = kernel.shape[:3]
    sizes = [-(-size // stride) for size, stride in zip(clips.shape[1:4], strides, strict=True)]
    around = [
        max((out - 1) * stride + size - given, 0)
        for out, stride, size, given in zip(sizes, strides, window, clips.shape[1:4], strict=True)
    ]
    padded = np.pad(
        clips.astype("float64"),
        [(0, 0), *((zeros // 2, zeros - zeros // 2) for zeros in around), (0, 0)],
    )
    result = np.zeros((len(clips), *sizes, kernel.shape[-1]))
    for t, h, w in np.ndindex(*window):
        places = (
            slice(first, first + (out - 1) * stride + 1, stride)
            for first, out, stride in zip((t, h, w), sizes, strides, strict=True)
        )
        result += padded[:, *places] @ kernel[t, h, w].astype("float64")
    return result


def random_case(seed):
    """Seed 0 has no clips: a device can get none of a batch."""
    draw = np.random.default_rng(seed)
    batch, tiles, height, width, channels, filters = draw.integers(1, [4, 4, 8, 8, 6, 6])
    batch = batch if seed else 0
    kernel = draw.normal(size=(3, *draw.integers(1, 4, 2), channels, filters))
    clips = draw.normal(size=(batch, 4 * tiles, height, width, channels))
    return clips.astype("float32"), kernel.astype("float32"), (1, *map(int, draw.integers(1, 3, 2)))


@pytest.mark.parametrize("seed", range(6))
def test_it_equals_the_definition(seed):
    clips, kernel, strides = random_case(seed)
    given = map(ops.convert_to_tensor, (clips, kernel))
    found = winograd.conv3d(*given, strides, convolution._of_keras)
    expected = by_definition(clips, kernel, strides)
    assert found.shape == expected.shape
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, atol=2e-4)


def gradients(layer, clips, upstream):
    """Of the input, the kernel and the bias; on TensorFlow in training."""
    clips = ops.convert_to_tensor(clips)
    if keras.backend.backend() == "jax":
        import jax

        def loss(clips, weights):
            features, _ = layer.stateless_call(weights, [], clips)
            return (features * upstream).sum()

        to_clips, to_weights = jax.grad(loss, (0, 1))(clips, [v.value for v in layer.variables])
        return [to_clips, *to_weights]
    import tensorflow as tf

    with tf.GradientTape() as tape:
        tape.watch(clips)
        loss = tf.reduce_sum(layer(clips, training=True) * upstream)
    return tape.gradient(loss, [clips, *(v.value for v in layer.variables)])


@pytest.mark.parametrize(
    ("number", "options"), [(3, {}), (2, {"strides": (1, 2, 2), "activation": "relu"})]
)
def test_training_equals_the_layer_of_keras(number, options, monkeypatch):
    draw = np.random.default_rng(0)
    clips = draw.normal(size=(number, 8, 5, 6, 32)).astype("float32")
    settings = {"filters": 40, "kernel_size": 3, "padding": "same", "data_format": "channels_last"}
    theirs, ours = (kind(**settings, **options) for kind in (keras.layers.Conv3D, Conv3D))
    ours.build(clips.shape)
    ours.bias.assign(draw.normal(size=40))
    theirs.build(clips.shape)
    theirs.set_weights(ours.get_weights())
    calls = []
    original = winograd.conv3d
    monkeypatch.setattr(winograd, "conv3d", lambda *given: calls.append(1) or original(*given))
    monkeypatch.setattr(winograd, "_WORTHWHILE", 1)
    monkeypatch.setattr(winograd, "_clips_of_a_part", lambda *_: 2)
    found = ops.convert_to_numpy(ours(clips, training=True))
    assert calls
    np.testing.assert_allclose(found, ops.convert_to_numpy(theirs(clips)), atol=2e-5)
    upstream = draw.normal(size=found.shape).astype("float32")
    for gradient, expected in zip(
        gradients(ours, clips, upstream), gradients(theirs, clips, upstream), strict=True
    ):
        expected = ops.convert_to_numpy(expected)
        np.testing.assert_allclose(
            ops.convert_to_numpy(gradient), expected, atol=1e-4 * np.abs(expected).max()
        )


@pytest.mark.parametrize(
    ("clips", "kernel", "strides", "padding", "expected"),
    [
        ((None, 16, 112, 112, 64), (3, 3, 3, 64, 64), (1, 1, 1), "same", True),
        ((8, 4, 14, 14, 256), (3, 3, 3, 256, 512), (1, 1, 1), "same", True),
        ((8, 16, 28, 28, 32), (3, 3, 3, 32, 32), (1, 1, 1), "same", False),
        ((8, 4, 7, 7, 512), (3, 1, 1, 512, 512), (1, 1, 1), "same", False),
        ((8, 16, 112, 112, 3), (3, 3, 3, 3, 64), (1, 1, 1), "same", False),
        ((8, 16, 56, 56, 64), (1, 3, 3, 64, 64), (1, 1, 1), "same", False),
        ((8, 16, 56, 56, 64), (3, 3, 3, 64, 64), (2, 2, 2), "same", False),
        ((8, 16, 56, 56, 64), (3, 3, 3, 64, 64), (1, 1, 1), "valid", False),
        ((8, 6, 56, 56, 64), (3, 3, 3, 64, 64), (1, 1, 1), "same", False),
        ((8, None, 56, 56, 64), (3, 3, 3, 64, 64), (1, 1, 1), "same", False),
    ],
)
def test_where_it_is_used(clips, kernel, strides, padding, expected):
    assert winograd.is_faster(clips, kernel, strides, padding) is expected


@pytest.mark.parametrize(
    ("settings", "training"),
    [
        ({"dtype": "mixed_bfloat16"}, True),
        ({"groups": 2}, True),
        ({"dilation_rate": (1, 2, 2)}, True),
        pytest.param(
            {},
            False,
            marks=pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="for export"),
        ),
    ],
)
def test_where_the_layer_does_without(settings, training, monkeypatch):
    monkeypatch.setattr(winograd, "conv3d", lambda *_: pytest.fail("it was used"))
    monkeypatch.setattr(winograd, "_WORTHWHILE", 1)
    layer = Conv3D(32, 3, padding="same", data_format="channels_last", **settings)
    layer(np.ones((1, 4, 3, 3, 32), "float32"), training=training)
