"""A BatchNormalization that TensorFlow computes in one operation in training.

Keras makes one operation of TensorFlow for each step of the arithmetic, and each is a pass over the
features. JAX and torch.compile fuse them by themselves.
"""

import math
from typing import Any

import keras
from keras import ops

from ar3d_keras.models.convolution import PACKAGE


@keras.saving.register_keras_serializable(PACKAGE)
class BatchNormalization(keras.layers.BatchNormalization):
    """keras.layers.BatchNormalization over the last axis, with the same weights and results.

    A training step of `compact3d` takes 0.9 of the time (docs/benchmarks.md).

    Input and output: float (batch, ..., channels).
    """

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        if training and self.trainable and mask is None and self._is_one_operation(inputs.shape):
            return self._trained(inputs)
        return super().call(inputs, training=training, mask=mask)

    def _is_one_operation(self, shape: Any) -> bool:
        plain = self.axis == -1 and not self.renorm and not self.synchronized
        plain = plain and None not in tuple(shape)[1:]
        return plain and keras.backend.backend() == "tensorflow"

    def _trained(self, inputs: Any) -> Any:
        import tensorflow as tf

        channels = inputs.shape[-1]
        # On GPUs, cuDNN refuses a very large first axis, so the clips stay that.
        places = math.prod(inputs.shape[1:-1])
        rows = tf.reshape(inputs, (-1, places, 1, channels))
        normal, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
            x=rows,
            scale=tf.ones(channels) if self.gamma is None else ops.convert_to_tensor(self.gamma),
            offset=tf.zeros(channels) if self.beta is None else ops.convert_to_tensor(self.beta),
            mean=tf.zeros(0),
            variance=tf.zeros(0),
            epsilon=self.epsilon,
            is_training=True,
        )
        # The operation divides the squares by one less than their number, Keras by their number.
        number = tf.cast(tf.shape(rows)[0] * places, variance.dtype)
        variance *= tf.maximum(number - 1, 1) / number
        for moving, batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            moving.assign(moving * self.momentum + batch * (1 - self.momentum))
        return tf.reshape(normal, tf.shape(inputs))
