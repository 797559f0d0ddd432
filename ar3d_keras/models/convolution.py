"""A Conv3D that works around slow and wrong 3D convolutions of the backends on CPUs.

On JAX and PyTorch it is a Conv2D, because their 3D convolutions are slow there.

With the frames in the batch dimension and the frames under the kernel in the channels, a convolution
over time and space is one over space. JAX then computes about 100 GFLOP/s on two cores of a CPU
with AVX-512 where its own 3D convolution takes minutes, see docs/benchmarks.md.
"""

import functools
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

PACKAGE = "ar3d_keras"


@keras.saving.register_keras_serializable(PACKAGE)
class Conv3D(keras.layers.Conv3D):
    """keras.layers.Conv3D, with the same arguments, weights and results (within 1e-5).

    On TensorFlow its gradient is right in bfloat16 on a CPU too. With padding "same" and fewer frames
    than the kernel has, oneDNN (TensorFlow 2.21, a CPU with AVX512_BF16) uses memory that nothing has
    written: for two frames and a kernel of three, up to a third of the gradient of the kernel is
    what was there before, at times NaN. Larger kernels damage the heap. With zeros around the input
    the gradient is right (tests/models/test_conv3d_bfloat16.py).
    """

    def convolution_op(self, inputs: Any, kernel: Any) -> Any:
        if self._has_wrong_gradient(inputs):
            sides = [(size // 2, size // 2) for size in self.kernel_size]
            inputs = ops.pad(inputs, [(0, 0), *sides, (0, 0)])
            return ops.conv(inputs, kernel, 1, "valid", self.data_format)
        plain = self.groups == 1 and set(self.dilation_rate) == {1}
        if plain and self.data_format == "channels_last" and _is_slow_in_three_dimensions():
            return conv_by_frames(inputs, kernel, self.strides, self.padding)
        return super().convolution_op(inputs, kernel)

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
    missing = max(last - 1 + window - time, 0)
    clips = ops.pad(clips, [(0, 0), (missing // 2, missing - missing // 2), *[(0, 0)] * 3])
    seen = [clips[:, step : step + last : stride] for step in range(window)]
    frames = ops.reshape(ops.concatenate(seen, -1), (-1, height, width, window * channels))
    kernel = ops.reshape(ops.moveaxis(kernel, 0, 2), (*size, window * channels, filters))
    features = ops.conv(frames, kernel, strides, padding, "channels_last")
    return ops.reshape(features, (-1, segments, *features.shape[1:]))


@functools.cache
def _is_slow_in_three_dimensions() -> bool:
    match keras.backend.backend():
        case "jax":
            import jax

            return jax.default_backend() == "cpu"
        case "torch":
            import torch

            return not (torch.cuda.is_available() or torch.backends.mps.is_available())
    return False
