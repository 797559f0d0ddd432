"""Rewrites a network for LiteRT: 2D layers in place of 3D layers, and no loops.

The stock LiteRT interpreter has no 3D pooling ("FlexAvgPool3D"), and its 3D convolution is slow and
has no int8 weights. With frames moved into the batch dimension both become 2D layers, which run on
XNNPACK: the paper's network takes half the time, and a fifth of it with int8 weights
(docs/formats.md).
"""

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from ar3d_keras.models.convolution import conv_by_frames
from ar3d_keras.models.gating import gated
from ar3d_keras.models.layers import AttentionGate


def for_litert(network: keras.Model) -> keras.Model:
    """Returns an equal network made of layers that LiteRT has; it shares the weights."""
    return keras.models.clone_model(network, clone_function=_replaced)


def _replaced(layer: layers.Layer) -> layers.Layer:
    if isinstance(layer, layers.Conv3D):
        return Convolution(layer, name=layer.name)
    if isinstance(layer, AttentionGate):
        return Gate(layer, name=layer.name)
    if isinstance(layer, layers.AveragePooling3D | layers.MaxPooling3D):
        return Pooling(layer, name=layer.name)
    if isinstance(layer, layers.LSTM):
        return _unrolled(layer)
    return layer


class Convolution(layers.Layer):
    """A Conv3D as one Conv2D, see `models/convolution.py`.

    Input: float (batch, time, height, width, channels). Output: that of the convolution.

    Args:
        convolution: a built layer, whose weights are shared.
    """

    def __init__(self, convolution: layers.Conv3D, **kwargs: Any):
        super().__init__(**kwargs)
        self.convolution = convolution

    def call(self, clips: Any) -> Any:
        layer = self.convolution
        features = conv_by_frames(clips, layer.kernel, layer.strides, layer.padding)
        return layer.activation(features + layer.bias if layer.use_bias else features)


class Gate(layers.Layer):
    """An AttentionGate whose convolution is a `Convolution`.

    Args:
        gate: a built layer, whose weights are shared.
    """

    def __init__(self, gate: AttentionGate, **kwargs: Any):
        super().__init__(**kwargs)
        self.gate = gate
        self.convolution = Convolution(gate.convolution)

    def call(self, features: Any) -> Any:
        return gated(features, self.convolution(features), self.gate.bias)


class Pooling(layers.Layer):
    """An AveragePooling3D or MaxPooling3D as two 2D poolings: over space, then over time.

    Averages are equal at a border too: Keras does not count the padding there.

    Input: float (batch, time, height, width, channels). Output: that of the pooling.

    Args:
        pooling: the layer to replace.
    """

    def __init__(self, pooling: layers.AveragePooling3D | layers.MaxPooling3D, **kwargs: Any):
        super().__init__(**kwargs)
        self.pooling = pooling
        largest = isinstance(pooling, layers.MaxPooling3D)
        self.pool = ops.max_pool if largest else ops.average_pool

    def call(self, clips: Any) -> Any:
        window, *size = self.pooling.pool_size
        stride, *strides = self.pooling.strides
        time, height, width, channels = clips.shape[1:]

        def pool(images: Any, size: Sequence[int], strides: Sequence[int]) -> Any:
            return self.pool(images, size, strides, self.pooling.padding, "channels_last")

        frames = pool(ops.reshape(clips, (-1, height, width, channels)), size, strides)
        _, height, width, _ = frames.shape
        # Time becomes rows, positions become columns.
        places = ops.reshape(frames, (-1, time, height * width, channels))
        segments = pool(places, (window, 1), (stride, 1))
        return ops.reshape(segments, (-1, segments.shape[1], height, width, channels))


def _unrolled(lstm: layers.LSTM) -> layers.LSTM:
    """Unrolls an LSTM, because a loop in LiteRT needs a fixed batch size."""
    unrolled = layers.LSTM.from_config({**lstm.get_config(), "unroll": True})
    unrolled.build(lstm.input.shape)
    unrolled.set_weights(lstm.get_weights())
    return unrolled
