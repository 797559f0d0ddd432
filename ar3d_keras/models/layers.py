"""Layers that several networks use, written in keras.ops, so that they run on every backend."""

import itertools
from typing import Any

import keras
import numpy as np
from keras import ops

from ar3d_keras.models.convolution import PACKAGE, Conv3D
from ar3d_keras.models.gating import gated, gated_in_one_pass
from ar3d_keras.models.one_pass import in_one_pass


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
class AveragePooling3D(keras.layers.AveragePooling3D):
    """keras.layers.AveragePooling3D, with the same arguments and results (within 1e-6).

    On JAX and PyTorch, windows that do not overlap are an axis of their own. JAX's gradient of a sum
    over windows visits every feature once for each place in a window: (4, 8, 8) takes 28 times as
    long on a CPU. For PyTorch, Keras would copy the features into another order of axes.
    """

    def call(self, inputs: Any) -> Any:
        apart = self.strides == self.pool_size and self.padding == "valid"
        backend, last = keras.backend.backend(), self.data_format == "channels_last"
        if backend == "tensorflow" or not last or not apart:
            return super().call(inputs)
        windows = [
            (size // p, p) for size, p in zip(inputs.shape[1:4], self.pool_size, strict=True)
        ]
        time, height, width = (count * size for count, size in windows)
        whole = inputs[:, :time, :height, :width]
        shape = (-1, *itertools.chain(*windows), inputs.shape[-1])
        return ops.mean(ops.reshape(whole, shape), axis=(2, 4, 6))


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


# Red, green and blue.
_BRIGHTNESS = 0.299, 0.587, 0.114


@keras.saving.register_keras_serializable(PACKAGE)
class Brightness(keras.layers.Layer):
    """The brightness of colors, in -1..1, with the weights of ITU-R BT.601.

    Input: (batch, time, height, width, 3), RGB, 0..255. Output: float32 (batch, time, height, width, 1).
    """

    def __init__(self, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, clips: Any, training: bool = False) -> Any:
        if training:
            return in_one_pass(brightness)(clips)
        # As a 1x1 convolution, which takes half the time of a weighted sum of the channels.
        kernel = ops.reshape(ops.convert_to_tensor(_BRIGHTNESS, "float32"), (1, 1, 3, 1))
        frames = ops.reshape(clips, (-1, *clips.shape[2:]))
        gray = ops.conv(frames, kernel / 127.5, padding="valid", data_format="channels_last") - 1
        return ops.reshape(gray, (-1, *clips.shape[1:4], 1))

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (*input_shape[:-1], 1)


def brightness(clips: Any) -> Any:
    """The arithmetic of Brightness: float32 (..., 3), 0..255, to (..., 1), -1..1."""
    weighted = clips * ops.convert_to_tensor(_BRIGHTNESS, "float32")
    return ops.sum(weighted, axis=-1, keepdims=True) / 127.5 - 1


@keras.saving.register_keras_serializable(PACKAGE)
class FrameDifferences(keras.layers.Layer):
    """Differences between consecutive frames.

    Input: float (batch, time, height, width, channels), at least 2 frames. Output: one frame less.

    Args:
        colors: how many of the first channels are color. Those after them are optical flow, which
            stays as it is.
    """

    def __init__(self, colors: int = 3, **kwargs: Any):
        super().__init__(**kwargs)
        self.colors = colors

    def call(self, frames: Any) -> Any:
        if frames.shape[-1] <= self.colors:
            return frames[:, 1:] - frames[:, :-1]
        # A product with 0 is faster than cutting channels out.
        kept = np.arange(frames.shape[-1]) < self.colors
        return frames[:, 1:] - frames[:, :-1] * ops.convert_to_tensor(kept, frames.dtype)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        batch, time, *rest = input_shape
        return batch, None if time is None else time - 1, *rest

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "colors": self.colors}


@keras.saving.register_keras_serializable(PACKAGE)
class MotionNormalization(keras.layers.Layer):
    """Divides the differences of each clip by their root mean square.

    A recording of small people far away then has as much motion as one of large people near by, and
    a video without contrast as much as one with.

    Input: float (batch, time, height, width, channels), at least 1 frame. Output: the same shape,
    float32.

    Args:
        floor: added to the root mean square, in the units of the input, so that the noise of a clip
            without motion stays small.
        colors: how many of the first channels are color. Those after them are optical flow, which
            stays as it is.
    """

    def __init__(self, floor: float = 0.02, colors: int = 3, **kwargs: Any):
        super().__init__(**{**kwargs, "dtype": "float32"})
        self.floor, self.colors = floor, colors

    def call(self, differences: Any, training: bool = False) -> Any:
        normalized = in_one_pass(_normalized) if training else _normalized
        return normalized(differences, self.colors, self.floor)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor, "colors": self.colors}


def _normalized(differences: Any, colors: int, floor: float) -> Any:
    channels = differences.shape[-1]
    powers = ops.mean(ops.square(differences), axis=(1, 2, 3), keepdims=True)
    power = ops.mean(powers[..., :colors], axis=-1, keepdims=True)
    flow = ops.convert_to_tensor(np.arange(channels) >= colors)
    return differences / ops.where(flow, 1.0, ops.sqrt(power) + floor)


@keras.saving.register_keras_serializable(PACKAGE)
class LogNormalization(keras.layers.Layer):
    """The logarithm of non-negative features, normalized over the training batches.

    Motion energies differ between recordings by orders of magnitude (distance of the camera, its
    noise); their logarithms differ by offsets. Evaluation uses moving averages of the batches' mean
    and variance. Their momentum is 0.8, because they would not converge with Keras's 0.99 in the
    few steps of a small dataset.

    Input and output: float (..., features); computed in float32. Negative features count as 0.

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
        return self.normalization(ops.log(ops.maximum(features, 0) + self.floor), training=training)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "floor": self.floor}


@keras.saving.register_keras_serializable(PACKAGE)
class GridPooling(keras.layers.Layer):
    """Averages features over the cells of a grid of equal parts, whatever the size of the features.

    A pixel on the border of two parts counts for each in proportion, so no frame, row or column is
    left out, unlike with a window that does not divide the size.

    Input: float (batch, time, height, width, channels). Output: (batch, *grid, channels).

    Args:
        grid: the number of parts (time, height, width).
    """

    def __init__(self, grid: tuple[int, int, int], **kwargs: Any):
        super().__init__(**kwargs)
        self.grid = tuple(grid)

    def call(self, features: Any) -> Any:
        for axis, parts in enumerate(self.grid, start=1):
            size = features.shape[axis]
            behind = int(np.prod(features.shape[axis + 1 :]))
            # Without a transpose: the axes behind are columns, those before are other matrices.
            x = ops.reshape(features, (-1, size, behind))
            x = ops.matmul(ops.convert_to_tensor(parts_of(size, parts), x.dtype), x)
            features = ops.reshape(x, (-1, *self.grid[:axis], *features.shape[axis + 1 :]))
        return features

    def compute_output_shape(self, input_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return input_shape[0], *self.grid, input_shape[-1]

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "grid": list(self.grid)}


def parts_of(size: int, parts: int) -> np.ndarray:
    """A matrix that averages `size` values over equal parts: float32 (parts, size)."""
    borders = np.linspace(0, size, parts + 1)
    low, high = borders[:-1, None], borders[1:, None]
    pixels = np.arange(size)
    overlap = np.clip(np.minimum(high, pixels + 1) - np.maximum(low, pixels), 0, None)
    return (overlap / overlap.sum(1, keepdims=True)).astype(np.float32)
