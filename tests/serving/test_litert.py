"""3D layers rewritten as 2D layers: equal to Keras's own."""

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

from ar3d_keras import Conv3DClassifier
from ar3d_keras.models.layers import AttentionGate
from ar3d_keras.serving.litert import Convolution, Gate, Pooling, for_litert


@st.composite
def cases(draw):
    """A clip, and a window over it with its stride and padding."""
    extents = [draw(st.integers(1, 7)) for _ in range(3)]
    window = tuple(draw(st.integers(1, 5)) for _ in range(3))
    strides = tuple(draw(st.integers(1, 4)) for _ in range(3))
    padding = draw(st.sampled_from(["same", "valid"]))
    if padding == "valid":
        window = tuple(map(min, window, extents))
    seed = draw(st.integers(0, 99))
    clip = np.random.default_rng(seed).normal(size=(2, *extents, 3)).astype("float32")
    return clip, {"strides": strides, "padding": padding, "data_format": "channels_last"}, window


@settings(max_examples=60, deadline=None)
@given(cases(), st.sampled_from([layers.AveragePooling3D, layers.MaxPooling3D]))
def test_pooling(case, kind):
    clip, options, window = case
    pooling = kind(window, **options)
    np.testing.assert_allclose(Pooling(pooling)(clip), pooling(clip), atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(cases(), st.booleans())
def test_convolution(case, use_bias):
    clip, options, window = case
    layer = layers.Conv3D(
        4, window, activation="relu", use_bias=use_bias, bias_initializer="normal", **options
    )
    expected = layer(clip)
    np.testing.assert_allclose(Convolution(layer)(clip), expected, atol=1e-5)


@pytest.mark.parametrize("kernel", [1, 3, (2, 1, 3)])
def test_gate(kernel):
    clip = np.random.default_rng(0).normal(size=(2, 4, 5, 6, 3)).astype("float32")
    gate = AttentionGate(kernel)
    expected = gate(clip)
    np.testing.assert_allclose(Gate(gate)(clip), expected, atol=1e-6)


def test_a_network_has_no_layer_over_time_left_and_shares_its_weights():
    sizes = {"frames": 4, "height": 8, "width": 8, "filters": 4, "pool": 2, "dense": 3}
    network = Conv3DClassifier(3, attention=True, **sizes)
    rewritten = for_litert(network)
    kinds = {type(layer) for layer in rewritten.layers}
    assert {Convolution, Gate, Pooling} < kinds
    assert not {layers.Conv3D, layers.AveragePooling3D, AttentionGate} & kinds
    assert {id(w) for w in rewritten.weights} == {id(w) for w in network.weights}
    clips = np.random.default_rng(0).integers(0, 256, (3, 4, 8, 8, 3), np.uint8)
    np.testing.assert_allclose(
        rewritten.predict_on_batch(clips), network.predict_on_batch(clips), atol=1e-6
    )


def test_an_lstm_without_a_loop():
    clip = keras.Input((5, 3))
    network = keras.Model(clip, layers.LSTM(4, return_sequences=True)(clip))
    rewritten = for_litert(network)
    assert rewritten.layers[-1].unroll
    values = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_allclose(
        rewritten.predict_on_batch(values), network.predict_on_batch(values), atol=1e-6
    )
