"""The gate's arithmetic, features * sigmoid(logits + bias), in one pass over memory.

Memory traffic dominates its cost: one clip of the paper's size has 12.8 million features, and the
gradient of a bias is a slow pass more. One pass reduces the time of a training step of the default
network to 0.80 (benchmarks/step.py, 2 cores with AMX, batch 16, mixed_bfloat16: 122 ms a clip
instead of 152).
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
from keras import ops

from ar3d_keras.models.one_pass import in_one_pass


def gated(features: Any, logits: Any, bias: Any) -> Any:
    """The product, from operations that every backend and every model server supports.

    Args:
        features: float (..., channels).
        logits: the same shape and dtype.
        bias: (channels,), the same dtype.

    Returns:
        The shape and dtype of `features`.
    """
    return features * ops.sigmoid(logits + bias)


def gated_in_one_pass(features: Any, logits: Any, bias: Any) -> Any:
    """The same as `gated`, faster in training. Not for export: model servers have no XLA for CPUs.

    JAX and `torch.compile` fuse the operations of `gated` by themselves.
    """
    if keras.backend.backend() != "tensorflow":
        return gated(features, logits, bias)
    return _on_tensorflow()(features, logits, bias)


@functools.cache
def _on_tensorflow() -> Callable[[Any, Any, Any], Any]:
    import tensorflow as tf

    def wide(*values):
        return (tf.cast(value, tf.float32) for value in values)

    @in_one_pass
    def product(features, logits, bias):
        f, z, b = wide(features, logits, bias)
        return tf.cast(f * tf.sigmoid(z + b), features.dtype)

    @in_one_pass
    def gradients(features, logits, bias, upstream):
        f, z, b, up = wide(features, logits, bias, upstream)
        gate = tf.sigmoid(z + b)
        to_features = up * gate
        to_logits = to_features * f * (1 - gate)
        return tf.cast(to_features, features.dtype), tf.cast(to_logits, logits.dtype)

    @tf.custom_gradient
    def with_gradients(features, logits, bias):
        def backward(upstream):
            # Computing the gate again is cheaper than storing and loading it.
            to_features, to_logits = gradients(features, logits, bias, upstream)
            rows = tf.reshape(to_logits, (-1, to_logits.shape[-1]))
            # Their sum as a matrix product: two to three times as fast as a reduction.
            ones = tf.ones((1, tf.shape(rows)[0]), rows.dtype)
            return to_features, to_logits, (ones @ rows)[0]

        return product(features, logits, bias), backward

    # TensorFlow registers the gradient of every call of custom_gradient in a graph for good, and
    # with it the graph of the whole training step. A function is traced once for each shape and
    # type, so a process can train many networks without growing.
    traced = tf.function(with_gradients, autograph=False)
    # In eager mode a variable as an argument makes custom_gradient expect a gradient for variables;
    # the identity turns the bias into a tensor.
    return lambda features, logits, bias: traced(features, logits, tf.identity(bias))
