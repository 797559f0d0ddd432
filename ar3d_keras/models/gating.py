"""features * sigmoid(logits + bias): the gate's arithmetic, in one pass over memory each way.

It is cheap to compute and dear to move: one clip of the paper's size has 12.8 million features.
TensorFlow makes a pass for every operation, and for a bias's gradient a slow one; XLA compiles
them into one, but with the whole network in it is ten times slower on a CPU, because of its
convolutions. So only this product is compiled. A training step of the default network then takes
0.80 of the time (benchmarks/step.py, 2 cores with AMX, batch 16, mixed_bfloat16: 122 ms a clip
against 152).
"""

import functools

import keras
from keras import ops


def gated(features, logits, bias):
    """The product, from operations that every backend and every runtime has.

    Args:
        features: float (..., channels).
        logits: the same shape and type.
        bias: (channels,), of the same type.
    """
    return features * ops.sigmoid(logits + bias)


def gated_in_one_pass(features, logits, bias):
    """The same for training. Not for export: a model server has no XLA for CPUs.

    JAX and `torch.compile` fuse operations by themselves.
    """
    if keras.backend.backend() != "tensorflow":
        return gated(features, logits, bias)
    return _on_tensorflow()(features, logits, bias)


@functools.cache
def _on_tensorflow():
    import tensorflow as tf

    one_pass = tf.function(jit_compile=True, autograph=False)

    def wide(*values):
        return (tf.cast(value, tf.float32) for value in values)

    @one_pass
    def product(features, logits, bias):
        f, z, b = wide(features, logits, bias)
        return tf.cast(f * tf.sigmoid(z + b), features.dtype)

    @one_pass
    def gradients(features, logits, bias, upstream):
        f, z, b, up = wide(features, logits, bias, upstream)
        gate = tf.sigmoid(z + b)
        to_features = up * gate
        to_logits = to_features * f * (1 - gate)
        return tf.cast(to_features, features.dtype), tf.cast(to_logits, logits.dtype)

    @tf.custom_gradient
    def with_gradients(features, logits, bias):
        def backward(upstream):
            # The gate is computed again: that is cheaper than to keep and load it.
            to_features, to_logits = gradients(features, logits, bias, upstream)
            rows = tf.reshape(to_logits, (-1, to_logits.shape[-1]))
            # Their sum, as a matrix product: two to three times as fast as any reduction.
            ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
            return to_features, to_logits, (ones @ rows)[0]

        return product(features, logits, bias), backward

    # Eagerly, it would ask for the gradients of variables; an identity makes the bias none.
    return lambda features, logits, bias: with_gradients(features, logits, tf.identity(bias))
