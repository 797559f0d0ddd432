"""Image networks: their features and their initial weights."""

from typing import get_args

import keras
import numpy as np
import pytest

from ar3d_keras.config import Backbone
from ar3d_keras.models.frames import FrameByFrame, open_network


def test_a_clip_equals_its_frames_one_by_one():
    network = open_network("MobileNet", "none", height=32, width=32)
    clips = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32, 3)).astype(np.float32)
    together = keras.ops.convert_to_numpy(FrameByFrame(network)(clips))
    one = keras.ops.convert_to_numpy(network(clips[1, 2][None]))
    assert together.shape == (2, 3, 1, 1, 1024)
    np.testing.assert_allclose(together[1, 2], one[0], atol=1e-5)


@pytest.mark.parametrize(
    ("size", "least", "last", "shape"),
    [
        (48, 1, "conv_pw_13_relu", (1, 1024)),
        (48, 2, "conv_pw_11_relu", (3, 512)),
        (48, 6, "conv_pw_5_relu", (6, 256)),
        (48, 7, "conv_pw_3_relu", (12, 128)),
        (80, 6, "conv_pw_5_relu", (10, 256)),
    ],
)
def test_a_network_is_cut_after_its_last_features_of_a_size(size, least, last, shape):
    network = open_network("MobileNet", "none", height=size, width=size + 16, least=least)
    rows, columns, features = network.output.shape[1:]
    assert network.layers[-1].name == last
    assert (rows, features) == shape
    assert columns >= rows


@pytest.mark.parametrize("name", get_args(Backbone))
def test_every_network_can_be_cut(name):
    network = open_network(name, "none", height=112, width=112, least=6)
    assert 6 <= min(network.output.shape[1:3]) <= 11


def test_the_layer_can_be_serialized():
    layer = FrameByFrame(open_network("MobileNet", "none", height=32, width=32), name="f")
    float32_model = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert float32_model.compute_output_shape((None, 3, 32, 32, 3)) == (None, 3, 1, 1, 1024)


def test_batch_norms_have_momentum_0_9_and_keras_settings_are_restored():
    network = open_network(
        "MobileNetV2", "none", height=32, width=40, channels=6, dtype="mixed_bfloat16"
    )
    norms = [each for each in network.layers if isinstance(each, keras.layers.BatchNormalization)]
    assert {norm.momentum for norm in norms} == {0.9}
    assert {norm.compute_dtype for norm in norms} == {"bfloat16"}
    assert network.input_shape == (None, 32, 40, 6)
    assert keras.config.dtype_policy().name == "float32"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"name": "VGG16"}, ["`backbone`", "VGG16", "MobileNetV2"]),
        ({"name": "Xception", "height": 48}, ["`backbone`", "Xception", "48x128"]),
        ({"least": 65}, ["65x65", "`height`"]),
        ({"weights": "jft"}, ["`backbone_weights`", "jft"]),
    ],
)
def test_invalid_arguments_raise(changes, parts, user_error):
    with user_error(*parts):
        open_network(
            **{"name": "MobileNet", "weights": "none", "height": 128, "width": 128, **changes}
        )


def test_imagenet_weights_come_from_the_cache_of_keras_or_raise(tmp_path, monkeypatch, user_error):
    def opened(channels):
        return open_network("MobileNet", "imagenet", height=128, width=128, channels=channels)

    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # KERAS_HOME
    # No proxy listens at this address, so the download fails.
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    with user_error("`backbone_weights`"):
        opened(3)
    # Keras does not download what is in its cache. These weights can be recognized.
    network = keras.applications.MobileNet(include_top=False, weights=None)
    first, *rest = network.get_weights()
    network.set_weights([np.full_like(first, 0.125), *rest])
    (tmp_path / "models").mkdir(exist_ok=True)
    network.save(tmp_path / "models/mobilenet_1_0_128_tf_no_top.h5")
    first, *rest = opened(3).get_weights()
    mean, *same = opened(6).get_weights()
    assert np.allclose(first, 0.125) and mean.shape[2] == 6 and np.allclose(mean, 0.125)
    assert all(np.array_equal(a, b) for a, b in zip(rest, same, strict=True))
