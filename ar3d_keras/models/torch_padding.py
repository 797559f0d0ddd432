"""Convolution and pooling with PyTorch's padding: the same number of positions on both sides.

Keras's "same" pads an even size on one side only where the stride is 2, so published weights would
see each map shifted.
"""

from typing import Any

import keras
from keras import layers

from ar3d_keras.models.convolution import Conv3D

Three = tuple[int, int, int]


def convolution(x: Any, channels: int, kernel: Three, strides: Three, name: str, dtype: Any) -> Any:
    """A convolution without bias, of odd kernel sizes; the map keeps its size at stride 1."""
    same = strides == (1, 1, 1)
    if not same:
        x = _padded(x, kernel, name, dtype)
    return Conv3D(
        channels,
        kernel,
        strides=strides,
        padding="same" if same else "valid",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal"),
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )(x)


def max_pool(x: Any, window: Three, strides: Three, name: str, dtype: Any) -> Any:
    """The maximum over windows, of values that are not negative; an even window is not padded."""
    same = strides == (1, 1, 1)
    if not same:
        x = _padded(x, window, name, dtype)
    return layers.MaxPooling3D(
        window,
        strides,
        padding="same" if same else "valid",
        data_format="channels_last",
        dtype=dtype,
        name=name,
    )(x)


def _padded(x: Any, window: Three, name: str, dtype: Any) -> Any:
    """Zeros on both sides, as many as a window of odd size reaches beyond its middle."""
    reach = tuple(size // 2 if size % 2 else 0 for size in window)
    if reach == (0, 0, 0):
        return x
    return layers.ZeroPadding3D(
        reach, data_format="channels_last", dtype=dtype, name=f"{name}_pad"
    )(x)
