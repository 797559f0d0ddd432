"""What a network costs: multiply-adds of one clip, counted layer by layer."""

import math

import keras

from ar3d_keras.models.frames import FrameByFrame
from ar3d_keras.models.layers import AttentionGate


def gflops(network: keras.Model) -> float:
    """Floating point operations of one clip through `network`, in 1e9, two a multiply-add.

    Counted are convolutions, dense layers and LSTMs, as the literature does; poolings,
    normalisations and activations are not.
    """
    return 2 * multiply_adds(network) / 1e9


def multiply_adds(network: keras.Model) -> int:
    """Multiply-adds of one input of a built functional model, nested ones included."""
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
        # Each position: the convolution, then one product a channel.
        positions = math.prod(layer.output.shape[1:-1])
        return positions * (_size(layer.convolution.kernel) + layer.output.shape[-1])
    # Every kernel is used once a position; a separable convolution has two of them.
    kernels = [
        getattr(layer, name, None) for name in ("kernel", "depthwise_kernel", "pointwise_kernel")
    ]
    return math.prod(layer.output.shape[1:-1]) * sum(_size(k) for k in kernels if k is not None)


def _size(weight) -> int:
    return math.prod(weight.shape)
