import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras import AttentionGate, Conv3DClassifier, UserError, load_model
from ar3d_keras.models.layers import LogNormalization

pytestmark = pytest.mark.multi_backend
SMALL = {"frames": 4, "height": 8, "width": 8, "filters": 6, "pool": (2, 4, 4), "dense": 5}


def clips(count=2, seed=0, **sizes):
    shape = {"frames": 4, "height": 8, "width": 8} | sizes
    return np.random.default_rng(seed).integers(0, 256, (count, *shape.values(), 3), np.uint8)


def output_of(model, layer, data):
    inner = keras.Model(model.input, model.get_layer(layer).output)
    return keras.ops.convert_to_numpy(inner(data))


@pytest.mark.parametrize("attention", [False, True])
def test_clips_become_probabilities(attention):
    model = Conv3DClassifier(7, attention=attention, **SMALL)
    answer = model.predict_on_batch(clips(3))
    assert answer.shape == (3, 7)
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer.sum(1), 1, rtol=1e-5)


def test_the_default_is_the_papers_input_and_width():
    model = Conv3DClassifier(101, attention=True)
    assert model.input_shape == (None, 16, 112, 112, 3)
    assert model.get_layer("features").output.shape == (None, 16, 112, 112, 64)
    assert model.get_layer("gate").output.shape == (None, 16, 112, 112, 64)
    assert model.get_layer("dropout").rate == 0.25


@settings(max_examples=10, deadline=None)
@given(
    classes=st.integers(2, 9),
    filters=st.integers(1, 5),
    kernel=st.integers(1, 3),
    gate_kernel=st.tuples(*[st.integers(1, 3)] * 3),
    pool=st.tuples(st.integers(1, 4), st.integers(1, 8), st.integers(1, 8)),
    dense=st.integers(1, 6),
)
def test_parameters_are_those_counted_by_hand(classes, filters, kernel, gate_kernel, pool, dense):
    model = Conv3DClassifier(
        classes, attention=True, frames=4, height=8, width=8, filters=filters,
        kernel=kernel, gate_kernel=gate_kernel, pool=pool, dense=dense,
    )  # fmt: skip
    features = filters * int(np.prod([size // p for size, p in zip((4, 8, 8), pool, strict=True)]))
    by_hand = (
        (kernel**3 * 3 + 1) * filters
        + (int(np.prod(gate_kernel)) * filters + 1) * filters
        + (features + 1) * dense
        + (dense + 1) * classes
    )
    assert model.count_params() == by_hand


def test_scaling_is_inside():
    model = Conv3DClassifier(3, **SMALL)
    data = clips()
    np.testing.assert_allclose(output_of(model, "rescaling", data), data / 255, atol=1e-6)


def test_float_clips_keep_their_fraction_and_whole_ones_equal_uint8():
    model = Conv3DClassifier(3, **SMALL)
    data = clips()
    as_float = data.astype(np.float32)
    np.testing.assert_array_equal(model.predict_on_batch(data), model.predict_on_batch(as_float))
    shifted = output_of(model, "rescaling", as_float + 0.5) - output_of(
        model, "rescaling", as_float
    )
    np.testing.assert_allclose(shifted, 0.5 / 255, atol=1e-6)


def test_the_gate_multiplies_features_with_a_sigmoid_convolution_of_them():
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
    # By hand at one inner position: the convolution's window over the features.
    gate = model.get_layer("gate")
    kernel, bias = map(keras.ops.convert_to_numpy, (gate.convolution.kernel, gate.bias))
    window = features[0, 0:3, 2:5, 2:5]
    logits = np.tensordot(window, kernel, axes=4) + bias
    np.testing.assert_allclose(attention[0, 1, 3, 3], 1 / (1 + np.exp(-logits)), rtol=1e-4)


def test_without_attention_there_is_no_gate():
    names = [layer.name for layer in Conv3DClassifier(3, **SMALL).layers]
    assert "gate" not in names


def test_the_attention_map_can_be_read_out_of_a_trained_network():
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


def test_config_round_trip():
    model = Conv3DClassifier(3, attention=True, dropout=0.5, **SMALL)
    float32_model = Conv3DClassifier.from_config(model.get_config())
    assert float32_model.get_config() == model.get_config()
    gate = AttentionGate((1, 3, 3), name="g")
    assert AttentionGate.from_config(gate.get_config()).kernel_size == (1, 3, 3)


def test_differences_are_from_each_frame_to_the_next():
    model = Conv3DClassifier(3, differences=True, **SMALL)
    data = clips().astype(np.float32)
    expected = np.diff(data / 255, axis=1)
    np.testing.assert_allclose(output_of(model, "differences", data), expected, atol=1e-6)
    # What stands still is not seen: a clip of one picture, whichever it is.
    still = np.repeat(clips(2)[:, :1], 4, axis=1)
    answers = model.predict_on_batch(still)
    np.testing.assert_array_equal(answers[0], answers[1])


def test_shrinking_averages_squares_of_pixels():
    model = Conv3DClassifier(3, spatial_downsample=2, **{**SMALL, "pool": (2, 4, 4)})
    data = clips().astype(np.float32) / 255
    expected = data.reshape(2, 4, 4, 2, 4, 2, 3).mean((3, 5))
    np.testing.assert_allclose(output_of(model, "shrink", clips()), expected, atol=1e-6)


def test_a_global_pool_is_one_average_a_channel():
    model = Conv3DClassifier(3, **{**SMALL, "pool": "global"})
    features = output_of(model, "features", clips())
    pooled = output_of(model, "pool", clips())
    np.testing.assert_allclose(pooled, features.mean((1, 2, 3)), rtol=1e-5)


def test_log_features_are_normalised_by_their_batch_in_training_and_by_its_average_after():
    layer = LogNormalization()
    features = np.exp(np.random.default_rng(0).normal(3, 2, (64, 5))).astype(np.float32)
    logs = np.log(features + 1e-3)
    normal = (logs - logs.mean(0)) / np.sqrt(logs.var(0) + 1e-3)
    trained = keras.ops.convert_to_numpy(layer(features, training=True))
    np.testing.assert_allclose(trained, normal, atol=1e-4)
    # Momentum 0.8: what training sees and what evaluation sees agree after some twenty steps.
    for _ in range(20):
        layer(features, training=True)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(layer(features)), normal, atol=0.1)
    assert np.isfinite(keras.ops.convert_to_numpy(layer(np.zeros((2, 5), np.float32)))).all()


MOTION = {**SMALL, "shrink": 2, "differences": True, "pool": "global", "log_pooling": True}


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_a_network_of_motion_energies_is_saved_and_loaded(tmp_path, dtype):
    model = Conv3DClassifier(3, attention=True, **MOTION, dtype=dtype)
    model.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    model.fit(clips(6), np.arange(6) % 3, epochs=2, verbose=0)
    assert model.get_layer("log_features").compute_dtype == "float32"
    assert model.get_layer("differences").compute_dtype == "float32"
    model.save(tmp_path / "network.keras")
    loaded = load_model(tmp_path / "network.keras")
    assert loaded.get_config() == model.get_config()
    tolerance = 1e-5 if dtype == "float32" else 3e-2
    np.testing.assert_allclose(
        loaded.predict_on_batch(clips()), model.predict_on_batch(clips()), atol=tolerance
    )


def restless(count, seed):
    """Clips of pictures of their own, half of which flicker four times as much: label 1."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    pictures = random.integers(40, 200, (count, 1, 8, 8, 3))
    flicker = random.normal(size=(count, 4, 8, 8, 3)) * (3 + 9 * labels)[:, None, None, None, None]
    return (pictures + flicker).astype(np.uint8), labels


def test_how_much_moves_is_learnt_from_few_clips_and_holds_in_evaluation():
    keras.utils.set_random_seed(0)
    model = Conv3DClassifier(2, attention=True, **{**MOTION, "shrink": 1})
    model.compile(
        keras.optimizers.Adam(1e-2),
        "sparse_categorical_crossentropy",
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(*restless(24, seed=1), epochs=15, batch_size=8, verbose=0)
    assert model.evaluate(*restless(24, seed=2), verbose=0)[1] > 0.9


NO_BFLOAT16_POOLING = keras.backend.backend() == "torch"  # on a CPU, in 3D


@pytest.mark.parametrize(
    "dtype",
    [
        "float32",
        pytest.param(
            "mixed_bfloat16",
            marks=pytest.mark.skipif(
                NO_BFLOAT16_POOLING, reason="torch pools no bfloat16 on a CPU"
            ),
        ),
    ],
)
def test_a_saved_network_predicts_the_same_in_float32(tmp_path, dtype):
    model = Conv3DClassifier(3, attention=True, **SMALL, dtype=dtype)
    model.save(tmp_path / "network.keras")
    loaded = load_model(tmp_path / "network.keras")
    assert loaded.get_layer("features").compute_dtype == "float32"
    tolerance = 1e-6 if dtype == "float32" else 2e-2
    np.testing.assert_allclose(
        loaded.predict_on_batch(clips()), model.predict_on_batch(clips()), atol=tolerance
    )


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ({"pool": (2, 9, 4)}, "--pool 2 9 4 is larger than the features, which have height 8"),
        ({"pool": 0}, "--pool (0, 0, 0) must be at least 1"),
        ({"filters": 0}, "--filters 0 must be at least 1"),
        ({"dense": -1}, "--dense -1"),
        ({"frames": 0}, "--frames 0"),
        ({"kernel": (3, 3)}, "--kernel (3, 3) must be one integer or three"),
        ({"gate_kernel": (0, 3, 3)}, "--gate-kernel"),
        ({"kernel": 3.5}, "--kernel"),
        ({"filters": 4.5}, "--filters 4.5 must be of whole numbers"),
        ({"pool": (2, 2.5, 2)}, "--pool (2, 2.5, 2) must be of whole numbers"),
        ({"classes": 3.5}, "--classes 3.5"),
        ({"dropout": 1.0}, "--dropout 1.0"),
        ({"dropout": -0.1}, "--dropout -0.1"),
        ({"classes": 1}, "at least 2 classes"),
        ({"shrink": 0}, "--spatial-downsample 0 must be at least 1"),
        ({"shrink": 3}, "--spatial-downsample 3 must divide --height 8 and --width 8"),
        (
            {"spatial_downsample": 4},
            "--pool 2 4 4 is larger than the features, which have height 2",
        ),
        ({"differences": True, "frames": 1, "pool": 1}, "--differences needs --frames 2 or more"),
        ({"differences": True, "pool": (4, 4, 4)}, "which have frames 3"),
    ],
)
def test_bad_sizes_are_refused_with_a_sentence(bad, told):
    with pytest.raises(UserError) as error:
        Conv3DClassifier(**{"classes": 3, **SMALL, **bad})
    assert told in str(error.value)


def test_clips_are_channels_last_whatever_keras_is_set_to():
    keras.config.set_image_data_format("channels_first")
    try:
        model = Conv3DClassifier(3, attention=True, **SMALL)
    finally:
        keras.config.set_image_data_format("channels_last")
    assert model.get_layer("gate").output.shape == (None, 4, 8, 8, 6)
    assert model.predict_on_batch(clips()).shape == (2, 3)


@pytest.mark.parametrize("content", [None, b"not a zip file"])
def test_a_file_that_is_no_network_is_refused(tmp_path, content):
    file = tmp_path / "network.keras"
    if content:
        file.write_bytes(content)
    with pytest.raises(UserError, match="network"):
        load_model(file)
