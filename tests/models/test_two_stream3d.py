"""Two streams of the small network, one of which sees optical flow."""

from typing import ClassVar

import keras
import numpy as np
import pytest
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.models import network
from ar3d_keras.models.two_stream3d import BrightnessAndFlow
from ar3d_keras.training.fine_tuning import freeze
from ar3d_keras.videos.flow import quantize

SMALL = {"frames": 6, "height": 16, "width": 16, "filters": 4, "grid": (1, 2, 2)}


def numbers(tensor):
    return keras.ops.convert_to_numpy(tensor)


class TestTwoStream3D(NetworkTests):
    name = "two_stream3d"
    small: ClassVar = SMALL
    gated = "relu3"
    shapes: ClassVar = {"relu1": (3, 8, 8, 4), "flow_relu3": (2, 2, 2, 16), "pool": (1, 2, 2, 16)}

    def test_the_gate_multiplies_the_last_features_or_is_no_option(self):
        model = self.build(attention=True)
        for prefix in ("", "flow_"):
            gate = model.get_layer(f"{prefix}gate")
            assert gate.input is model.get_layer(f"{prefix}relu3").output
            assert model.get_layer(f"{prefix}pool").input is gate.output
        plain = model.predict_on_batch(self.clips)
        both = attention_network(model).predict_on_batch(self.clips)
        np.testing.assert_allclose(both["probabilities"], plain, atol=1e-6)
        assert both["attention"].shape == self.clips.shape[:4]

    @pytest.mark.multi_backend
    def test_each_stream_sees_its_own_channels(self):
        model, clips = self.model, self.clips
        streams = [model.get_layer(name).output for name in ("output", "flow_output")]
        split = keras.Model(model.input, [*streams, model.output])
        brightness, flow, mean = map(numbers, split(clips))
        np.testing.assert_allclose(mean, (brightness + flow) / 2, atol=1e-6)
        for channels, same, other in ((slice(0, 3), 1, 0), (slice(3, 5), 0, 1)):
            changed = clips.copy()
            changed[..., channels] = changed[:, ::-1, :, :, channels]
            found = list(map(numbers, split(changed)))
            np.testing.assert_allclose(found[same], (brightness, flow)[same], atol=1e-6)
            assert np.abs(found[other] - (brightness, flow)[other]).max() > 1e-4


@pytest.mark.multi_backend
@pytest.mark.parametrize("rows", [1, 2, 5, 6])
def test_in_training_each_half_of_a_batch_trains_one_stream(rows):
    model = network("two_stream3d")(3, **SMALL, dropout=0.0)
    shape = (rows, *model.input_shape[1:])
    clips = np.random.default_rng(0).integers(1, 256, shape).astype(np.float32)
    parts = ["output", "flow_output"]
    streams = keras.Model(model.input, [model.get_layer(name).output for name in parts])
    first, second = map(numbers, streams(clips, training=True))
    output = numbers(model(clips, training=True))
    assert (len(first), len(second), len(output)) == (rows - rows // 2, rows - rows // 2, rows)
    np.testing.assert_allclose(output[: len(first)], first, atol=1e-5)
    rest = second[len(second) - rows // 2 :]
    np.testing.assert_allclose(output[len(first) :], rest, atol=1e-5)
    assert len(model(clips, training=False)) == rows


@pytest.mark.multi_backend
@pytest.mark.parametrize("training", [True, False])
def test_flow_is_read_as_it_was_written(training):
    pixels = np.random.default_rng(0).uniform(-4, 4, (1, 2, 3, 4, 2)).astype(np.float32)
    clip = np.zeros((1, 2, 3, 4, 5), np.float32)
    clip[..., :3] = 255
    clip[..., 3:] = quantize(pixels, "dis_fine")
    seen = numbers(BrightnessAndFlow()(clip, training=training))
    np.testing.assert_allclose(seen[..., 0], 1, atol=1e-5)
    np.testing.assert_allclose(20 * seen[..., 1:], pixels, atol=0.07)


def test_a_frozen_backbone_leaves_both_gates():
    model = network("two_stream3d")(3, **SMALL, attention=True)
    freeze(model, ["backbone"])
    trained = {layer.name for layer in model.layers if layer.trainable_weights}
    assert trained == {"gate", "flow_gate", "output", "flow_output"}


def test_it_takes_the_fine_flow_alone(user_error):
    shape = {"frames": 6, "height": 16, "width": 16, "resize_height": 16, "resize_width": 16}
    with user_error("`clip_shape`", "dis_fine"):
        network("two_stream3d")(2, **SMALL, clip_shape={**shape, "stride": 1, "flow": "dis"})
