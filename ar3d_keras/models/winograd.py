"""A 3D convolution with half of the multiplications, for float32 on CPUs.

A kernel of three frames takes twelve products of a frame and a part of the kernel for four frames of
output. Winograd's algorithm F(4, 3) takes six, of sums of frames. A training step of the paper's
network takes 0.73 of the time (docs/benchmarks.md). Sums in 16 bits would be less exact.

Source: Lavin, Gray: *Fast Algorithms for Convolutional Neural Networks*, CVPR 2016, section 4.1 and
appendix, here in time only.
"""

import functools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from ar3d_keras.models.one_pass import in_one_pass

# Of clips, a kernel, strides and a padding, see `convolution.conv_by_frames`.
Convolution = Callable[[Any, Any, Sequence[int], str], Any]

_TILE = 4  # frames of output from one tile
# Multiply-adds of a clip below which compiling the sums, a second, is not worth it.
_WORTHWHILE = 500_000_000

# From the six frames around a tile to the six sums that are convolved.
_OF_FRAMES = (
    (4, 0, -5, 0, 1, 0),
    (0, -4, -4, 1, 1, 0),
    (0, 4, -4, -1, 1, 0),
    (0, -2, -1, 2, 1, 0),
    (0, 2, -1, -2, 1, 0),
    (0, 4, 0, -5, 0, 1),
)
# From the three frames of the kernel to the six kernels of these convolutions.
_OF_KERNEL = (
    (1 / 4, 0, 0),
    (-1 / 6, -1 / 6, -1 / 6),
    (-1 / 6, 1 / 6, -1 / 6),
    (1 / 24, 1 / 12, 1 / 6),
    (1 / 24, -1 / 12, 1 / 6),
    (0, 0, 1),
)
# From their six results to the four frames of output.
_OF_PRODUCTS = (
    (1, 1, 1, 1, 1, 0),
    (0, 1, -1, 2, -2, 0),
    (0, 1, 1, 4, 4, 0),
    (0, 1, -1, 8, -8, 1),
)


def is_faster(
    clips: Sequence[int | None], kernel: Sequence[int], strides: Sequence[int], padding: str
) -> bool:
    """Whether `conv3d` computes this convolution, and takes less time than the definition.

    Args:
        clips: shape of the input: (batch, time, height, width, channels).
        kernel: shape: (time, height, width, channels, filters).
        strides: (time, height, width).
        padding: `same` or `valid`.
    """
    window, *size, channels, filters = kernel
    if None in clips[1:] or (window, strides[0], padding) != (3, 1, "same"):
        return False
    time, *frame = (int(size or 0) for size in clips[1:-1])
    if time % _TILE or math.prod(size) < 9 or min(channels, filters) < 32:
        return False  # the sums would take longer than what is saved
    positions = time * math.prod(-(-a // b) for a, b in zip(frame, strides[1:], strict=True))
    return positions * math.prod(kernel) >= _WORTHWHILE


def conv3d(clips: Any, kernel: Any, strides: Sequence[int], convolution: Convolution) -> Any:
    """The convolution with padding `same`, without bias.

    Args:
        clips: float32 (batch, time, height, width, channels); all but the batch are known, and the
            time is a multiple of 4.
        kernel: float32 (3, height, width, channels, filters).
        strides: (1, height, width).
        convolution: computes it with kernels of one frame.

    Returns:
        (batch, time, height', width', filters). It differs from what the definition gives by about
        2e-6 of its standard deviation, because float32 sums are rounded.
    """
    kernels = ops.tensordot(np.asarray(_OF_KERNEL, "float32"), kernel, 1)
    if keras.backend.backend() == "tensorflow":
        size = _clips_of_a_part(clips, kernel)
        return _in_parts(convolution, tuple(strides), size)(clips, kernels)
    return _sums_of_products(*_products(convolution, _sums_of_frames(clips), kernels, strides))


def _products(
    convolution: Convolution, sums: Iterable[Any], kernels: Any, strides: Sequence[int]
) -> list[Any]:
    return [
        convolution(frames, kernels[i : i + 1], strides, "same") for i, frames in enumerate(sums)
    ]


def _sums_of_frames(clips: Any) -> list[Any]:
    """Six times (batch, tiles, height, width, channels)."""
    time, *frame = clips.shape[1:]
    tiles = ops.reshape(clips, (-1, time // _TILE, _TILE, math.prod(frame)))
    frames = [tiles[:, :, i] for i in range(_TILE)]
    around = [_from_before(frames[-1]), *frames, _from_after(frames[0])]
    shape = (-1, time // _TILE, *frame)
    return [ops.reshape(_weighted(row, around), shape) for row in _OF_FRAMES]


def _gradient_of_frames(*to_sums: Any) -> Any:
    """The gradient of `_sums_of_frames`: (batch, time, height, width, channels)."""
    tiles, *frame = to_sums[0].shape[1:]
    flat = [ops.reshape(gradient, (-1, tiles, math.prod(frame))) for gradient in to_sums]
    before, *frames, after = [_weighted(row, flat) for row in zip(*_OF_FRAMES, strict=True)]
    frames[-1] = frames[-1] + _from_after(before)
    frames[0] = frames[0] + _from_before(after)
    return ops.reshape(ops.stack(frames, 2), (-1, tiles * _TILE, *frame))


def _sums_of_products(*products: Any) -> Any:
    """(batch, time, height, width, filters)."""
    tiles, *frame = products[0].shape[1:]
    flat = [ops.reshape(product, (-1, tiles, math.prod(frame))) for product in products]
    frames = [_weighted(row, flat) for row in _OF_PRODUCTS]
    return ops.reshape(ops.stack(frames, 2), (-1, tiles * _TILE, *frame))


def _gradient_of_products(upstream: Any) -> list[Any]:
    """The gradient of `_sums_of_products`: six times (batch, tiles, height, width, filters)."""
    time, *frame = upstream.shape[1:]
    tiles = ops.reshape(upstream, (-1, time // _TILE, _TILE, math.prod(frame)))
    frames = [tiles[:, :, i] for i in range(_TILE)]
    shape = (-1, time // _TILE, *frame)
    return [ops.reshape(_weighted(row, frames), shape) for row in zip(*_OF_PRODUCTS, strict=True)]


def _from_before(tiles: Any) -> Any:
    """Each tile gets what the one before it has, and the first one zeros."""
    return ops.concatenate([ops.zeros_like(tiles[:, :1]), tiles[:, :-1]], 1)


def _from_after(tiles: Any) -> Any:
    return ops.concatenate([tiles[:, 1:], ops.zeros_like(tiles[:, :1])], 1)


def _weighted(weights: Iterable[float], values: Iterable[Any]) -> Any:
    terms = [w * value for w, value in zip(weights, values, strict=True) if w]
    return sum(terms[1:], terms[0])


def _clips_of_a_part(clips: Any, kernel: Any) -> int:
    """As many as have 16 million features; a clip of the paper's network has 13 million."""
    features = math.prod(clips.shape[1:-1]) * max(kernel.shape[-2:])
    return max(1, 2**24 // features)


@functools.cache
def _in_parts(
    convolution: Convolution, strides: Sequence[int], size: int
) -> Callable[[Any, Any], Any]:
    """The convolution of `size` clips at a time, for TensorFlow.

    So the sums and products of the paper's network and 16 clips need 0.7 GB instead of 4. The
    gradient computes the sums again.
    """
    import tensorflow as tf

    sums_of_frames, gradient_of_frames, sums_of_products, gradient_of_products = map(
        in_one_pass,
        (_sums_of_frames, _gradient_of_frames, _sums_of_products, _gradient_of_products),
    )

    def over_parts(body, clips, shape, *state):
        starts = tf.range(0, tf.shape(clips)[0], size)
        # With the shape of an element, a batch of no clips works too: a device may get none.
        parts = tf.TensorArray(
            clips.dtype, tf.size(starts), infer_shape=False, element_shape=(None, *shape)
        )

        def step(index, parts, *state):
            part, *state = body(slice(starts[index], starts[index] + size), *state)
            return index + 1, parts.write(index, part), *state

        _, parts, *state = tf.while_loop(
            lambda index, *_: index < tf.size(starts),
            step,
            (0, parts, *state),
            parallel_iterations=1,
        )
        return parts.concat(), *state

    @tf.custom_gradient
    def convolved(clips, kernels):
        def forward(part):
            sums = sums_of_frames(clips[part])
            return (sums_of_products(*_products(convolution, sums, kernels, strides)),)

        def backward(upstream):
            def body(part, to_kernels):
                sums = sums_of_frames(clips[part])
                with tf.GradientTape() as tape:
                    tape.watch((sums, kernels))
                    products = _products(convolution, sums, kernels, strides)
                to_sums, to_these = tape.gradient(
                    products, (sums, kernels), gradient_of_products(upstream[part])
                )
                return gradient_of_frames(*to_sums), to_kernels + to_these

            return over_parts(body, clips, clips.shape[1:], tf.zeros_like(kernels))

        time, *frame = clips.shape[1:-1]
        frame = [-(-size // stride) for size, stride in zip(frame, strides[1:], strict=True)]
        return over_parts(forward, clips, (time, *frame, kernels.shape[-1]))[0], backward

    # Traced once for each shape, see gating.py.
    return tf.function(convolved, autograph=False)
