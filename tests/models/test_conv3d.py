import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ar3d_keras import AttentionGate, Conv3DClassifier, UserError, load_model

pytestmark = pytest.mark.every_backend
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
    twin = Conv3DClassifier.from_config(model.get_config())
    assert twin.get_config() == model.get_config()
    gate = AttentionGate((1, 3, 3), name="g")
    assert AttentionGate.from_config(gate.get_config()).kernel_size == (1, 3, 3)


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
