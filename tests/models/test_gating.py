import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras.models.gating import gated, gated_in_one_pass
from ar3d_keras.models.layers import AttentionGate


def cast(dtype, *arrays):
    return [keras.ops.cast(array, dtype) for array in arrays]


def arrays(seed, shape):
    draw = np.random.default_rng(seed)
    return draw.normal(0, 2, shape), draw.normal(0, 4, shape), draw.normal(0, 1, shape[-1:])


shapes = st.tuples(*[st.integers(1, 4)] * 4, st.integers(1, 5))


@pytest.mark.multi_backend
@settings(max_examples=10)
@given(st.integers(0, 2**32 - 1), shapes, st.sampled_from(["float32", "bfloat16"]))
def test_one_pass_gives_the_product(seed, shape, dtype):
    values = cast(dtype, *arrays(seed, shape))
    fast, plain = (
        keras.ops.convert_to_numpy(keras.ops.cast(product(*values), "float32"))
        for product in (gated_in_one_pass, gated)
    )
    # In bfloat16 the plain product rounds after each operation, the other one only once.
    rtol, atol = {"float32": (1e-5, 1e-6), "bfloat16": (0.05, 0.02)}[dtype]
    np.testing.assert_allclose(fast, plain, rtol=rtol, atol=atol)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_one_pass_has_the_gradients_of_the_product(dtype):
    import tensorflow as tf

    values = cast(dtype, *arrays(0, (2, 3, 4, 4, 5)))

    def gradients(product):
        with tf.GradientTape() as tape:
            tape.watch(values)
            loss = tf.reduce_sum(tf.cast(product(*values), tf.float32) ** 2)
        return [tf.cast(g, tf.float32).numpy() for g in tape.gradient(loss, values)]

    for fast, plain in zip(gradients(gated_in_one_pass), gradients(gated), strict=True):
        assert fast.shape == plain.shape
        scale = np.abs(plain).max()
        np.testing.assert_allclose(
            fast / scale, plain / scale, atol={"float32": 1e-6, "bfloat16": 0.03}[dtype]
        )


def test_only_training_needs_xla():
    import tensorflow as tf

    gate = AttentionGate()
    features = tf.zeros((1, 2, 4, 4, 3))
    gate(features)

    def needs_xla(training):
        graph = tf.function(lambda x: gate(x, training=training)).get_concrete_function(features)
        return "XlaMustCompile" in str(graph.graph.as_graph_def())

    assert needs_xla(training=True)
    assert not needs_xla(training=False)


def test_a_gate_trains_when_it_is_called_eagerly():
    import tensorflow as tf

    gate = AttentionGate()
    features = tf.random.normal((1, 2, 4, 4, 3))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(gate(features, training=True))
    gradients = tape.gradient(loss, [weight.value for weight in gate.trainable_weights])
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients)
