"""Layers that the networks share. Only keras.ops, so they run on every backend."""

import keras
from keras import ops

from ar3d_keras.models.gating import gated, gated_in_one_pass

PACKAGE = "ar3d_keras"


@keras.saving.register_keras_serializable(PACKAGE)
class AttentionGate(keras.layers.Layer):
    """Multiplies features element by element with a sigmoid gate computed from them.

    The paper's attention: `features * sigmoid(Conv3D(features))`, the gate having one value for
    every position and channel of the features.

    Input and output: float (batch, time, height, width, channels).

    Args:
        kernel_size: of the gate's convolution, one integer or (time, height, width).
    """

    def __init__(self, kernel_size: int | tuple[int, int, int] = 3, **kwargs):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape):
        self.convolution = keras.layers.Conv3D(
            filters=input_shape[-1],
            kernel_size=self.kernel_size,
            padding="same",
            use_bias=False,
            data_format="channels_last",
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.convolution.build(input_shape)
        self.bias = self.add_weight(shape=input_shape[-1:], initializer="zeros", name="bias")

    def call(self, features, training=False):
        product = gated_in_one_pass if training else gated
        return product(features, self.convolution(features), self.bias)

    def attention_map(self, features):
        """The gate's values for `features`: the same shape, in 0..1.

        With the symbolic features of a network this gives a symbolic map, so
        `keras.Model(network.input, gate.attention_map(features))` reads it out.
        """
        return ops.sigmoid(self.convolution(features) + self.bias)

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(PACKAGE)
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by (2 + 1e-4 s)^0.75, s being the squares of five neighbouring channels.

    Source: Krizhevsky, Sutskever, Hinton: *ImageNet Classification with Deep Convolutional Neural
    Networks*, NIPS 2012, section 3.3, with its constants.

    Input and output: float (..., channels).
    """

    def call(self, features):
        # In float32: a sum of squares has no place in 16 bits.
        squares = ops.square(ops.cast(features, "float32"))
        channels = features.shape[-1]
        around = ops.pad(squares, [(0, 0)] * (len(features.shape) - 1) + [(2, 2)])
        total = sum(around[..., shift : shift + channels] for shift in range(5))
        return features * ops.cast(ops.power(2 + 1e-4 * total, -0.75), features.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class FrameDifferences(keras.layers.Layer):
    """What changes from each frame to the next: what stands still becomes zero.

    Input: float (batch, time, height, width, channels), at least 2 frames. Output: one frame less.
    """

    def call(self, frames):
        return frames[:, 1:] - frames[:, :-1]

    def compute_output_shape(self, input_shape):
        batch, time, *rest = input_shape
        return batch, time - 1, *rest


@keras.saving.register_keras_serializable(PACKAGE)
class LogNormalization(keras.layers.Layer):
    """The logarithm of features that are never negative, normalised over the training batches.

    Energies of motion span orders of magnitude from one recording to the next (a camera's distance,
    its noise); their logarithms differ by amounts. What the network computes with in evaluation are
    moving averages of the batches' mean and variance with momentum 0.8, for Keras's 0.99 would not
    have arrived after the few steps that small data gives.

    Input and output: float (batch, features); computed in float32.

    Args:
        floor: added before the logarithm, so that zero has one.
    """

    def __init__(self, floor: float = 1e-3, **kwargs):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.floor = floor
        self.normalization = keras.layers.BatchNormalization(momentum=0.8, dtype="float32")

    def build(self, input_shape):
        self.normalization.build(input_shape)

    def call(self, features, training=None):
        return self.normalization(keras.ops.log(features + self.floor), training=training)

    def get_config(self):
        return {**super().get_config(), "floor": self.floor}
