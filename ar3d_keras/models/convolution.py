"""A Conv3D that works around slow and wrong 3D convolutions of the backends.

On JAX it is a Conv2D: with the frames in the batch dimension and the frames under the kernel in the
channels, a convolution over time and space is one over space. On a CPU, JAX's own 3D convolution takes
minutes where this one takes seconds; on a GPU it takes 1.4 times as long (docs/benchmarks.md). On a CPU,
PyTorch gets its input as it lies in memory. On one CPU, TensorFlow (in training) and JAX compute
kernels of three frames with Winograd's algorithm, see `winograd`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import keras
from keras import ops

from ar3d_keras.models import winograd

PACKAGE = "ar3d_keras"


@keras.saving.register_keras_serializable(PACKAGE)
class Conv3D(keras.layers.Conv3D):
    """keras.layers.Conv3D, with the same arguments and weights.

    In float32, results differ by less than 1e-5 of their largest value.

    On TensorFlow its gradient is right in bfloat16 on a CPU too. With padding "same" and fewer frames
    than the kernel has, oneDNN (TensorFlow 2.21, a CPU with AVX512_BF16) uses memory that nothing has
    written: for two frames and a kernel of three, up to a third of the gradient of the kernel is
    what was there before, at times NaN. Larger kernels damage the heap. With zeros around the input
    the gradient is right (tests/models/test_conv3d_bfloat16.py).
    """

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not self._is_faster_with_winograd(inputs, training):
            return super().call(inputs)
        convolution = _for_this_device() or _of_keras
        features = winograd.conv3d(inputs, self.kernel, self.strides, convolution)
        return self.activation(features + self.bias if self.use_bias else features)

    def _is_faster_with_winograd(self, inputs: Any, training: bool) -> bool:
        return (
            self._is_plain
            and self.compute_dtype == "float32"
            and winograd.is_faster(inputs.shape, self.kernel.shape, self.strides, self.padding)
            # XLA computes its sums. Model servers have none for CPUs, so a TensorFlow network that
            # is not trained has to do without.
            and (training or keras.backend.backend() == "jax")
            and _has_fast_sums()
        )

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self._has_wrong_gradient(inputs):
            sides = [(size // 2, size // 2) for size in self.kernel_size]
            inputs = ops.pad(inputs, [(0, 0), *sides, (0, 0)])
            return ops.conv(inputs, kernel, 1, "valid", self.data_format)
        if self._is_plain and (faster := _for_this_device()):
            kernel = ops.convert_to_tensor(kernel)
            if set(self.kernel_size) == set(self.strides) == {1}:
                return ops.matmul(inputs, kernel[0, 0, 0])  # its gradient needs no transposes
            return faster(inputs, kernel, self.strides, self.padding)
        return super().convolution_op(inputs, kernel)

    @property
    def _is_plain(self) -> bool:
        plain = self.groups == 1 and set(self.dilation_rate) == {1}
        return plain and self.data_format == "channels_last"

    def _has_wrong_gradient(self, inputs: Any) -> bool:
        return (
            keras.backend.backend() == "tensorflow"
            and self.compute_dtype == "bfloat16"
            and (self.padding, self.data_format) == ("same", "channels_last")
            and inputs.shape[1] is not None
            and inputs.shape[1] < self.kernel_size[0]
            and set(self.strides) == set(self.dilation_rate) == {1}
            and all(size % 2 for size in self.kernel_size)
        )


def conv_by_frames(clips: Any, kernel: Any, strides: Sequence[int], padding: str) -> Any:
    """The 3D convolution as one 2D convolution.

    Args:
        clips: float (batch, time, height, width, channels); all but the batch are known.
        kernel: (time, height, width, channels, filters), the same dtype.
        strides: (time, height, width).
        padding: `same` or `valid`.

    Returns:
        (batch, time', height', width', filters), without bias.
    """
    window, *size, _, filters = kernel.shape
    stride, *strides = strides
    time, height, width, channels = clips.shape[1:]
    segments = -(-(time if padding == "same" else time - window + 1) // stride)
    last = (segments - 1) * stride + 1  # one past the first frame of the last window
    around = zeros_around([time], [window], [stride], padding)
    clips = ops.pad(clips, [(0, 0), *around, *[(0, 0)] * 3])
    seen = [clips[:, step : step + last : stride] for step in range(window)]
    frames = ops.reshape(ops.concatenate(seen, -1), (-1, height, width, window * channels))
    kernel = ops.reshape(ops.moveaxis(kernel, 0, 2), (*size, window * channels, filters))
    features = ops.conv(frames, kernel, strides, padding, "channels_last")
    return ops.reshape(features, (-1, segments, *features.shape[1:]))


def _of_keras(clips: Any, kernel: Any, strides: Sequence[int], padding: str) -> Any:
    return ops.conv(clips, kernel, strides, padding, "channels_last")


def _on_torch(clips: Any, kernel: Any, strides: Sequence[int], padding: str) -> Any:
    """PyTorch's own 3D convolution. Keras copies its input and output into another order of axes."""
    from torch.nn import functional

    clips = clips.permute(0, 4, 1, 2, 3)
    sides = zeros_around(clips.shape[2:], kernel.shape[:3], strides, padding)
    if any(before != after for before, after in sides):
        clips = functional.pad(clips, [zeros for side in reversed(sides) for zeros in side])
        sides = [(0, 0)] * 3
    around = [before for before, _ in sides]
    features = functional.conv3d(clips, kernel.permute(4, 3, 0, 1, 2), None, strides, around)
    return features.permute(0, 2, 3, 4, 1)


def zeros_around(
    sizes: Sequence[int], windows: Sequence[int], strides: Sequence[int], padding: str
) -> list[tuple[int, int]]:
    """The zeros before and after each axis: with `same` those of TensorFlow, with `valid` none."""
    if padding == "valid":
        return [(0, 0)] * len(sizes)
    missing = [
        max((-(-size // stride) - 1) * stride + window - size, 0)
        for size, window, stride in zip(sizes, windows, strides, strict=True)
    ]
    return [(zeros // 2, zeros - zeros // 2) for zeros in missing]


@functools.cache
def _has_fast_sums() -> bool:
    """Whether Winograd's algorithm is faster here: one CPU, on which XLA computes its sums."""
    match keras.backend.backend():
        case "jax":
            import jax

            return jax.default_backend() == "cpu" and jax.device_count() == 1
        case "tensorflow":
            import tensorflow as tf

            return not tf.config.get_visible_devices("GPU")
    return False


@functools.cache
def _for_this_device() -> Callable[..., Any] | None:
    """A function that is faster than Keras's 3D convolution here; None: not known."""
    match keras.backend.backend():
        case "jax":
            import jax

            platform = jax.default_backend()
            if platform not in ("cpu", "gpu"):
                return None
            # The blocks of a batch that is divided among devices would be sent from one to the other.
            if platform == "gpu" or jax.device_count() > 1:
                return conv_by_frames
            from ar3d_keras.models.kernel_gradient import conv3d

            return conv3d
        case "torch":
            import torch

            gpu = torch.cuda.is_available() or torch.backends.mps.is_available()
            return None if gpu else _on_torch
    return None
