"""Counts the multiply-adds of a network for one clip, layer by layer."""

import math
from typing import Any

import keras

from ar3d_keras.models.frames import FrameByFrame
from ar3d_keras.models.layers import AttentionGate


def gflops(network: keras.Model) -> float:
    """Floating point operations for one clip, in 1e9; a multiply-add counts as two.

    Like the literature, this counts convolutions, dense layers and LSTMs, but no poolings,
    normalizations or activations.
    """
    return 2 * multiply_adds(network) / 1e9


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of a built functional model, including nested models, for one input."""
    return sum(map(_of_layer, network.layers))


def _of_layer(layer: keras.layers.Layer) -> int:
    if isinstance(layer, FrameByFrame):
        return layer.output.shape[1] * multiply_adds(layer.network)
    if isinstance(layer, keras.Model):
        return multiply_adds(layer)
    if isinstance(layer, keras.layers.LSTM):
        return layer.input.shape[1] * sum(
            _size(weight) for weight in (layer.cell.kernel, layer.cell.recurrent_kernel)
        )
    if isinstance(layer, AttentionGate):
        # At each position: the convolution, then one product for each channel.
        positions = math.prod(layer.output.shape[1:-1])
        return positions * (_size(layer.convolution.kernel) + layer.output.shape[-1])
    # Each kernel is applied once at each position; a separable convolution has two kernels.
    kernels = [
        getattr(layer, name, None) for name in ("kernel", "depthwise_kernel", "pointwise_kernel")
    ]
    return math.prod(layer.output.shape[1:-1]) * sum(_size(k) for k in kernels if k is not None)


def _size(weight: Any) -> int:
    return math.prod(weight.shape)
