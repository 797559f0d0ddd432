"""3D convolutions of few frames in bfloat16, whose gradient TensorFlow gets wrong on some CPUs."""

import keras
import numpy as np
import pytest
from processes import python  # tests/processes.py

from ar3d_keras.models.convolution import Conv3D

# The C library fills memory that is allocated with 0xFE: as bfloat16 -1.7e38.
GRADIENTS = """
import sys
import keras, numpy as np, tensorflow as tf
from ar3d_keras.models.convolution import Conv3D
for kernel in (3, 3, 3), (3, 1, 1), (7, 3, 3):
    for frames in range(1, 8):
        shape = 2, frames, 3, 3, 2
        clip = tf.constant(np.random.default_rng(0).normal(size=shape), tf.bfloat16)
        layer = Conv3D(6, kernel, padding="same", use_bias=False, dtype="mixed_bfloat16")
        layer.build(shape)
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.cast(layer(clip), tf.float32))
        assert np.abs(tape.gradient(loss, layer.kernel)).max() < 1e5, (kernel, frames)
"""


@pytest.mark.slow
def test_no_gradient_is_made_of_memory_that_nothing_wrote():
    done = python("-c", GRADIENTS, environment={"MALLOC_PERTURB_": "1"})
    assert done.returncode == 0, done.stderr


@pytest.mark.multi_backend
@pytest.mark.parametrize(("kernel", "frames"), [(3, 2), ((3, 1, 1), 1), ((5, 3, 3), 4)])
def test_zeros_around_the_input_change_nothing(kernel, frames, monkeypatch):
    shape = 2, frames, 5, 4, 3
    clip = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    layer = Conv3D(6, kernel, padding="same", dtype="float32")
    layer.build(shape)
    plain = keras.ops.convert_to_numpy(layer(clip))
    monkeypatch.setattr(Conv3D, "_has_wrong_gradient", lambda self, inputs: True)
    padded = keras.ops.convert_to_numpy(layer(clip))
    np.testing.assert_allclose(plain, padded, rtol=1e-5, atol=1e-6)


def test_which_convolutions_are_padded():
    def padded(frames, kernel=3, **options):
        layer = Conv3D(2, kernel, **{"padding": "same", "dtype": "mixed_bfloat16", **options})
        return layer._has_wrong_gradient(np.zeros((1, frames, 4, 4, 1), np.float32))

    on_tensorflow = keras.backend.backend() == "tensorflow"
    assert padded(2) == padded(1) == padded(4, (5, 3, 3)) == on_tensorflow
    for other in (
        padded(3), padded(2, dtype="float32"), padded(2, padding="valid"), padded(2, strides=2),
        padded(1, (1, 3, 3)), padded(2, (3, 2, 2)),
    ):  # fmt: skip
        assert not other
