"""The gradient of the kernel of a 3D convolution, for JAX on CPUs.

XLA computes it as a convolution with a kernel as large as the image, in one thread. Here it is a sum
of matrix products, one for each block of the input or each frame of the output, see
docs/benchmarks.md.
"""

import functools
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from ar3d_keras.models.convolution import conv_by_frames, zeros_around

# Elements of the windows of a block, so that they stay in a CPU's cache.
_BLOCK = 1_000_000

_Sizes = tuple[int, int, int]


@functools.partial(jax.custom_vjp, nondiff_argnums=(2, 3))
def conv3d(clips: jax.Array, kernel: jax.Array, strides: _Sizes, padding: str) -> jax.Array:
    """`convolution.conv_by_frames`, with the same arguments and results, and a faster gradient."""
    return conv_by_frames(clips, kernel, strides, padding)


def _forward(clips: jax.Array, kernel: jax.Array, strides: _Sizes, padding: str) -> Any:
    return conv_by_frames(clips, kernel, strides, padding), (clips, kernel)


def _backward(strides: _Sizes, padding: str, saved: Any, upstream: jax.Array) -> Any:
    clips, kernel = saved
    forward = functools.partial(conv_by_frames, strides=strides, padding=padding)
    to_clips, to_kernel = jax.vjp(forward, clips, kernel)[1](upstream)
    if kernel.size <= 2 * _BLOCK:  # with a larger one, the sum over the blocks takes longer
        few = clips.shape[-1] <= 32
        gradient = kernel_gradient_of_few_channels if few else kernel_gradient
        to_kernel = gradient(clips, upstream, kernel.shape, strides, padding)
    return to_clips, to_kernel


conv3d.defvjp(_forward, _backward)


def kernel_gradient(
    clips: jax.Array, upstream: jax.Array, shape: tuple[int, ...], strides: _Sizes, padding: str
) -> jax.Array:
    """The gradient of the kernel.

    Args:
        clips: float (batch, time, height, width, channels), the input of the convolution.
        upstream: (batch, time', height', width', filters), the gradient of its output.
        shape: of the kernel: (time, height, width, channels, filters).
        strides: (time, height, width).
        padding: `same` or `valid`.

    Returns:
        The shape given, and the dtype of `clips`.
    """
    steps, tall, wide, channels, filters = shape
    batch, time = clips.shape[:2]
    height, width = upstream.shape[2:4]
    (early, _), *sides = zeros_around(clips.shape[1:4], shape[:3], strides, padding)
    clips = jnp.pad(clips, [(0, 0), (0, 0), *sides, (0, 0)])
    # Each frame of the clips meets the gradients of `steps` frames of the output. So these are the
    # rows of the product: fewer windows are copied than with all places of the kernel in its columns.
    before = steps - 1 - early
    after = time + early - ((upstream.shape[1] - 1) * strides[0] + 1)
    between = strides[0] - 1
    zero = jnp.zeros((), upstream.dtype)
    upstream = lax.pad(upstream, zero, [(0, 0, 0), (before, after, between), *[(0, 0, 0)] * 3])

    row = width * tall * wide * channels
    rows = _divisor(height, _BLOCK // row)
    frames = _divisor(time, _BLOCK // (rows * row)) if rows == height else 1
    counts = batch, time // frames, height // rows
    down, right = (
        (count - 1) * stride + 1 for count, stride in zip((rows, width), strides[1:], strict=True)
    )

    def add(total: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        clip, frame, line = jnp.unravel_index(number, counts)
        frame, line = frame * frames, line * rows
        part = lax.dynamic_slice(
            clips,
            (clip, frame, line * strides[1], 0, 0),
            (1, frames, down + tall - 1, clips.shape[3], channels),
        )[0]
        windows = [
            part[:, y : y + down : strides[1], x : x + right : strides[2]]
            for y in range(tall)
            for x in range(wide)
        ]
        gradients = lax.dynamic_slice(
            upstream,
            (clip, frame, line, 0, 0),
            (1, frames + steps - 1, rows, width, filters),
        )[0]
        met = [gradients[step : step + frames] for step in reversed(range(steps))]
        return total + lax.dot_general(
            jnp.concatenate(met, -1).reshape(-1, steps * filters),
            jnp.concatenate(windows, -1).reshape(-1, tall * wide * channels),
            (((0,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        ), None

    zeros = jnp.zeros((steps * filters, tall * wide * channels), jnp.float32)
    total, _ = lax.scan(add, zeros, jnp.arange(math.prod(counts)))
    gradient = total.reshape(steps, filters, tall, wide, channels)
    return jnp.moveaxis(gradient, 1, -1).astype(clips.dtype)


def kernel_gradient_of_few_channels(
    clips: jax.Array, upstream: jax.Array, shape: tuple[int, ...], strides: _Sizes, padding: str
) -> jax.Array:
    """`kernel_gradient`, faster for up to 32 channels: one product for each frame of the output.

    The windows are copied in whole rows of a channel, not channel by channel.
    """
    batch, time, height, width, filters = upstream.shape
    sides = zeros_around(clips.shape[1:4], shape[:3], strides, padding)
    clips = jnp.pad(jnp.moveaxis(clips, -1, 1), [(0, 0), (0, 0), *sides])
    down, right = (
        (count - 1) * stride + 1 for count, stride in zip((height, width), strides[1:], strict=True)
    )

    def add(total: jax.Array, number: jax.Array) -> tuple[jax.Array, None]:
        clip, frame = jnp.unravel_index(number, (batch, time))
        part = lax.dynamic_slice(
            clips,
            (clip, 0, frame * strides[0], 0, 0),
            (1, clips.shape[1], shape[0], *clips.shape[3:]),
        )[0]
        windows = [
            part[:, t, y : y + down : strides[1], x : x + right : strides[2]]
            for t, y, x in itertools.product(*map(range, shape[:3]))
        ]
        gradients = lax.dynamic_slice(
            upstream, (clip, frame, 0, 0, 0), (1, 1, height, width, filters)
        )
        return total + lax.dot_general(
            jnp.stack(windows).reshape(-1, height * width),
            gradients.reshape(-1, filters),
            (((1,), (0,)), ((), ())),
            preferred_element_type=jnp.float32,
        ), None

    zeros = jnp.zeros((math.prod(shape[:4]), filters), jnp.float32)
    total, _ = lax.scan(add, zeros, jnp.arange(batch * time))
    return total.reshape(shape).astype(clips.dtype)


def _divisor(number: int, most: int) -> int:
    """The largest divisor that is not larger than `most`, at least 1."""
    return max((d for d in range(1, min(number, most) + 1) if number % d == 0), default=1)
