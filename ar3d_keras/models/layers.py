"""Layers that several networks use, written in keras.ops, so that they run on every backend."""

from typing import Any

import keras
from keras import ops

from ar3d_keras.models.convolution import PACKAGE, Conv3D
from ar3d_keras.models.gating import gated, gated_in_one_pass


@keras.saving.register_keras_serializable(PACKAGE)
class AttentionGate(keras.layers.Layer):
    """Multiplies features element by element with a sigmoid gate computed from them.

    The paper's attention: `features * sigmoid(Conv3D(features))`. The gate has one value for each
    position and channel of the features.

    Input and output: float (batch, time, height, width, channels).

    Args:
        kernel_size: kernel of the gate's convolution, one integer or (time, height, width).
    """

    def __init__(self, kernel_size: int | tuple[int, int, int] = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.kernel_size = kernel_size

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.convolution = Conv3D(
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

    def call(self, features: Any, training: bool = False) -> Any:
        product = gated_in_one_pass if training else gated
        return product(features, self.convolution(features), self.bias)

    def attention_map(self, features: Any) -> Any:
        """The gate's values for `features`: the same shape, 0..1.

        For the symbolic features of a network it returns a symbolic map, so
        `keras.Model(network.input, gate.attention_map(features))` computes the map of a clip.
        """
        return ops.sigmoid(self.convolution(features) + self.bias)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "kernel_size": self.kernel_size}


@keras.saving.register_keras_serializable(PACKAGE)
class LocalResponseNormalization(keras.layers.Layer):
    """Divides each value by (2 + 1e-4 s)^0.75; s is the sum of squares of five neighboring channels.

    Source: Krizhevsky, Sutskever, Hinton: *ImageNet Classification with Deep Convolutional Neural
    Networks*, NIPS 2012, section 3.3, with its constants.

    Input and output: float (..., channels).
    """

    def call(self, features: Any) -> Any:
        # In float32: 16 bits are too few for a sum of squares.
        squares = ops.square(ops.cast(features, "float32"))
        channels = features.shape[-1]
        around = ops.pad(squares, [(0, 0)] * (len(features.shape) - 1) + [(2, 2)])
        total = sum(around[..., shift : shift + channels] for shift in range(5))
        return features * ops.cast(ops.power(2 + 1e-4 * total, -0.75), features.dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class FrameDifferences(keras.layers.Layer):
    """Differences between consecutive frames.

    Input: float (batch, time, height, width, channels), at least 2 frames. Output: one frame less.
    """

    def call(self, frames: Any) -> Any:
        return frames[:, 1:] - frames[:, :-1]

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, time, *rest = input_shape
        return batch, None if time is None else time - 1, *rest


@keras.saving.register_keras_serializable(PACKAGE)
class LogNormalization(keras.layers.Layer):
    """The logarithm of non-negative features, normalized over the training batches.

    Motion energies differ between recordings by orders of magnitude (distance of the camera, its
    noise); their logarithms differ by offsets. Evaluation uses moving averages of the batches' mean
    and variance. Their momentum is 0.8, because they would not converge with Keras's 0.99 in the
    few steps of a small dataset.

    Input and output: float (batch, features); computed in float32.

    Args:
        floor: added before the logarithm, so that the logarithm of zero is finite.
    """

    def __init__(self, floor: float = 1e-3, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.floor = floor
        self.normalization = keras.layers.BatchNormalization(momentum=0.8, dtype="float32")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        self.normalization.build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        return self.normalization(keras.ops.log(features + self.floor), training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor}
