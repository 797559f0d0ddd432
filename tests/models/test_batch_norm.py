import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.models.batch_norm import BatchNormalization


def both(**options):
    kinds = BatchNormalization, keras.layers.BatchNormalization
    return [kind(momentum=0.7, **options) for kind in kinds]


def as_float32(value):
    return keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))


shapes = st.tuples(*[st.integers(1, 4)] * 4, st.integers(1, 5))


@pytest.mark.multi_backend
@settings(max_examples=15)
@given(st.integers(0, 2**32 - 1), shapes, st.booleans(), st.booleans())
def test_it_is_the_batch_normalization_of_keras(seed, shape, scale, center):
    draw = np.random.default_rng(seed)
    ours, theirs = layers = both(scale=scale, center=center)
    weights = None
    for _ in range(2):
        batch = draw.normal(3, 2, shape).astype(np.float32)
        outputs = [as_float32(layer(batch, training=True)) for layer in layers]
        # Of few equal values the variance is all rounding error.
        np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-3)
        if weights is None:
            weights = [draw.normal(1, 0.5, w.shape) for w in ours.trainable_weights]
            for layer in layers:
                layer.set_weights([*weights, *layer.get_weights()[len(weights) :]])
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-5)
    for training in (False, None):
        outputs = [as_float32(layer(batch, training=training)) for layer in layers]
        np.testing.assert_allclose(*outputs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("scale", [True, False])
def test_its_gradients_are_those_of_keras(dtype, scale):
    import tensorflow as tf

    draw = np.random.default_rng(0)
    batch = tf.constant(draw.normal(1, 2, (4, 3, 5, 6, 7)), tf.float32)
    up = tf.constant(draw.normal(0, 1, batch.shape), tf.float32)

    def gradients(layer):
        layer.build(batch.shape)
        weights = [weight.value for weight in layer.trainable_weights]
        with tf.GradientTape() as tape:
            tape.watch(batch)
            loss = tf.reduce_sum(tf.cast(layer(batch, training=True), tf.float32) * up)
        return [as_float32(gradient) for gradient in tape.gradient(loss, [batch, *weights])]

    tolerance = {"float32": 1e-5, "mixed_bfloat16": 0.03}[dtype]
    ours, theirs = map(gradients, both(dtype=dtype, scale=scale))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, atol=tolerance * np.abs(other).max())


@pytest.mark.multi_backend
def test_a_frozen_one_uses_and_keeps_its_moving_statistics():
    layer, _ = both()
    batch = np.full((2, 3, 4), 5, np.float32)
    layer(batch, training=True)
    layer.trainable = False
    before = layer.get_weights()
    output = as_float32(layer(batch, training=True))
    np.testing.assert_array_equal(before, layer.get_weights())
    np.testing.assert_allclose(output, as_float32(layer(batch, training=False)), rtol=1e-6)
    assert np.abs(output).max() > 0.1
