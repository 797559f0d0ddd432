from typing import ClassVar

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras import AttentionGate, Conv3DClassifier
from ar3d_keras.models.layers import LogNormalization

SMALL = {"frames": 4, "height": 8, "width": 8, "filters": 6, "pool": (2, 4, 4), "dense": 5}
MOTION = {**SMALL, "differences": True, "pool": "global", "log_pooling": True}


class TestConv3D(NetworkTests):
    name = "conv3d"
    small: ClassVar = {**SMALL, "dense": 16}
    gated = "features"
    shapes: ClassVar = {"features": (4, 8, 8, 6), "pool": (2, 2, 2, 6), "dense": (16,)}
    learning_rate = 5e-3
    steps = 20


class TestMotionEnergies(NetworkTests):
    name = "conv3d"
    small: ClassVar = {**MOTION, "spatial_downsample": 2}
    gated = "features"
    shapes: ClassVar = {"differences": (3, 4, 4, 3), "features": (3, 4, 4, 6), "log_pooling": (6,)}
    learning_rate = 3e-2


def clips(count=2, seed=0, **sizes):
    shape = {"frames": 4, "height": 8, "width": 8} | sizes
    return np.random.default_rng(seed).integers(0, 256, (count, *shape.values(), 3), np.uint8)


def output_of(model, layer, data):
    inner = keras.Model(model.input, model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(inner(data))


def test_the_default_is_the_papers_input_and_width():
    model = Conv3DClassifier(101, attention=True)
    assert model.input_shape == (None, 16, 112, 112, 3)
    assert model.get_layer("features").output.shape == (None, 16, 112, 112, 64)
    assert model.get_layer("gate").output.shape == (None, 16, 112, 112, 64)
    assert model.get_layer("dropout").rate == 0.25


@settings(max_examples=10, deadline=None)
@given(
    num_classes=st.integers(2, 9),
    filters=st.integers(1, 5),
    kernel=st.integers(1, 3),
    gate_kernel=st.tuples(*[st.integers(1, 3)] * 3),
    pool=st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)),
    dense=st.integers(1, 6),
)
def test_parameters_counted_by_hand(num_classes, filters, kernel, gate_kernel, pool, dense):
    model = Conv3DClassifier(
        num_classes, attention=True, frames=4, height=8, width=8, filters=filters,
        kernel=kernel, gate_kernel=gate_kernel, pool=pool, dense=dense,
    )  # fmt: skip
    features = filters * int(np.prod([size // p for size, p in zip((4, 8, 8), pool, strict=True)]))
    by_hand = (
        (kernel**3 * 3 + 1) * filters
        + (int(np.prod(gate_kernel)) * filters + 1) * filters
        + (features + 1) * dense
        + (dense + 1) * num_classes
    )
    assert model.count_params() == by_hand


def test_the_network_scales_its_input():
    model = Conv3DClassifier(3, **SMALL)
    data = clips()
    np.testing.assert_allclose(output_of(model, "rescaling", data), data / 255, atol=1e-6)


def test_float_clips_keep_their_fraction():
    model = Conv3DClassifier(3, **SMALL)
    data = clips()
    as_float = data.astype(np.float32)
    shifted = output_of(model, "rescaling", as_float + 0.5) - output_of(
        model, "rescaling", as_float
    )
    np.testing.assert_allclose(shifted, 0.5 / 255, atol=1e-6)


@pytest.mark.multi_backend
def test_the_gate_multiplies_features_by_a_sigmoid_convolution_of_them():
    model = Conv3DClassifier(3, attention=True, **SMALL)
    features = keras.Model(model.input, model.get_layer("features").output)(clips())
    gated, attention = (
        model.get_layer("gate")(features),
        model.get_layer("gate").attention_map(features),
    )
    features, gated, attention = map(keras.ops.convert_to_numpy, (features, gated, attention))
    assert attention.shape == features.shape
    assert 0 < attention.min() <= attention.max() < 1
    np.testing.assert_allclose(gated, features * attention, rtol=1e-5)
    # By hand at one inner position, from the convolution's window.
    gate = model.get_layer("gate")
    kernel, bias = map(keras.ops.convert_to_numpy, (gate.convolution.kernel, gate.bias))
    window = features[0, 0:3, 2:5, 2:5]
    logits = np.tensordot(window, kernel, axes=4) + bias
    np.testing.assert_allclose(attention[0, 1, 3, 3], 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_the_attention_map_of_a_network_can_be_computed():
    model = Conv3DClassifier(3, attention=True, **SMALL)
    features = model.get_layer("features").output
    attention = model.get_layer("gate").attention_map(features)
    maps = keras.Model(model.input, attention).predict_on_batch(clips())
    assert maps.shape == (2, 4, 8, 8, 6)


def test_softmax_and_scaling_stay_float32_under_mixed_precision():
    model = Conv3DClassifier(3, attention=True, **SMALL, dtype="mixed_bfloat16")
    kinds = {layer.name: layer.compute_dtype for layer in model.layers}
    assert kinds["features"] == kinds["gate"] == kinds["dense"] == "bfloat16"
    assert kinds["rescaling"] == kinds["output"] == "float32"
    assert {str(weight.dtype) for weight in model.weights} <= {"float32", "uint32", "int64"}


def test_differences_are_from_each_frame_to_the_next():
    model = Conv3DClassifier(3, differences=True, **SMALL)
    data = clips().astype(np.float32)
    expected = np.diff(data / 255, axis=1)
    np.testing.assert_allclose(output_of(model, "differences", data), expected, atol=1e-6)
    # The outputs of clips without motion are equal, whatever they show.
    still = np.repeat(clips(2)[:, :1], 4, axis=1)
    outputs = model(still).numpy()
    np.testing.assert_array_equal(outputs[0], outputs[1])


def test_spatial_downsampling_averages_squares_of_pixels():
    model = Conv3DClassifier(3, spatial_downsample=2, **{**SMALL, "pool": (2, 4, 4)})
    data = clips().astype(np.float32) / 255
    expected = data.reshape(2, 4, 4, 2, 4, 2, 3).mean((3, 5))
    np.testing.assert_allclose(output_of(model, "spatial_downsample", clips()), expected, atol=1e-6)


def test_a_global_pool_averages_each_channel():
    model = Conv3DClassifier(3, **{**SMALL, "pool": "global"})
    features = output_of(model, "features", clips())
    pooled = output_of(model, "pool", clips())
    np.testing.assert_allclose(pooled, features.mean((1, 2, 3)), rtol=1e-5)


@pytest.mark.multi_backend
def test_log_normalization_uses_the_batch_in_training_and_moving_averages_in_evaluation():
    layer = LogNormalization()
    features = np.exp(np.random.default_rng(0).normal(3, 2, (64, 5))).astype(np.float32)
    logs = np.log(features + 1e-3)
    normal = (logs - logs.mean(0)) / np.sqrt(logs.var(0) + 1e-3)
    trained = keras.ops.convert_to_numpy(layer(features, training=True))
    np.testing.assert_allclose(trained, normal, atol=1e-4)
    # With momentum 0.8 training and evaluation agree after about twenty steps.
    for _ in range(20):
        layer(features, training=True)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(features)), normal, atol=0.1)
    assert np.isfinite(keras.ops.convert_to_numpy(layer(np.zeros((2, 5), np.float32)))).all()


def flickering(count, seed):
    """Clips of random pictures; those of class 1 flicker four times as much."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pictures = random.integers(40, 200, (count, 1, 8, 8, 3))
    flicker = random.normal(size=(count, 4, 8, 8, 3)) * (3 + 9 * labels)[:, None, None, None, None]
    return (pictures + flicker).astype(np.uint8), labels


def test_the_amount_of_motion_is_learned_from_few_clips():
    keras.utils.set_random_seed(0)
    model = Conv3DClassifier(2, attention=True, **MOTION)
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(*flickering(24, seed=1), epochs=15, batch_size=8, verbose=0)
    assert model.evaluate(*flickering(24, seed=2), verbose=0)[1] > 0.9


def test_a_gate_is_restored_from_its_config():
    gate = AttentionGate((1, 3, 3), name="g")
    assert AttentionGate.from_config(gate.get_config()).kernel_size == (1, 3, 3)
