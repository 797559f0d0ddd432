import keras
import numpy as np
import pytest
from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras import TwoStream
from ar3d_keras.models.layers import LocalResponseNormalization


class TestTwoStream(NetworkTests):
    name = "two_stream"
    small = {"frames": 4, "height": 20, "width": 20, "width_multiplier": 1 / 32}  # noqa: RUF012
    shapes = {"spatial": (3,), "temporal": (3,)}  # noqa: RUF012
    learning_rate = 1e-2

    def test_each_stream_sees_its_own_channels(self):
        model, clips = self.build(), self.clips
        outputs = keras.Model(model.input, model.get_layer("output").input)

        def scores(clips):
            return [keras.ops.convert_to_numpy(stream) for stream in outputs(clips)]

        spatial, temporal = scores(clips)
        np.testing.assert_allclose(
            model.predict_on_batch(clips), (spatial + temporal) / 2, atol=1e-6
        )
        other = clips.copy()
        other[:, [0, 1, 3], ..., :3] = 0  # the spatial stream sees only the middle frame
        np.testing.assert_allclose(scores(other)[0], spatial, atol=1e-6)
        np.testing.assert_allclose(scores(other)[1], temporal, atol=1e-6)
        other = clips.copy()
        other[..., 3:] = 255 - other[..., 3:]
        np.testing.assert_allclose(scores(other)[0], spatial, atol=1e-6)
        assert np.abs(scores(other)[1] - temporal).max() > 1e-4

    def test_camera_motion_is_subtracted_from_the_flow(self):
        model, clips = self.build(), self.clips.astype(np.float32)
        panned = clips.copy()
        panned[:, 2, ..., 3] += 40  # the whole frame moves right
        np.testing.assert_allclose(
            model.predict_on_batch(panned), model.predict_on_batch(clips), atol=1e-5
        )


@pytest.mark.multi_backend
def test_local_response_normalization_by_hand():
    features = np.random.default_rng(0).normal(0, 50, (2, 3, 7)).astype(np.float32)
    found = keras.ops.convert_to_numpy(LocalResponseNormalization()(features))
    for channel in range(7):
        around = features[..., max(0, channel - 2) : channel + 3]
        divisor = (2 + 1e-4 * (around**2).sum(-1)) ** 0.75
        np.testing.assert_allclose(found[..., channel], features[..., channel] / divisor, rtol=1e-5)


def test_it_is_the_published_network():
    """The Caffe model of CNN-M-2048 at 224x224, for a frame and for 20 channels of flow."""
    with blank():
        model = TwoStream(101, height=224, width=224)
    for name, channels in (("spatial", 3), ("temporal", 20)):
        layers = {layer.name: layer.output.shape[1:] for layer in model.get_layer(name).layers}
        assert layers["image"] == (224, 224, channels)
        assert layers["conv1"] == (109, 109, 96)
        assert layers["pool1"] == (54, 54, 96)
        assert layers["conv2"] == (26, 26, 256)
        assert layers["pool2"] == (*layers["conv3"][:2], 256) == (13, 13, 256)
        assert layers["conv5"] == (13, 13, 512)
        assert layers["pool5"] == (6, 6, 512)
        assert (layers["full6"], layers["full7"]) == ((4096,), (2048,))
        assert ("norm2" in layers) == (name == "spatial")
        first = 7 * 7 * channels * 96 + 96
        assert model.get_layer(name).count_params() == first + 90_613_605
    assert model.count_params() == 181_335_594


def test_frames_that_are_too_small_raise(user_error):
    with user_error("19x19", "18x40", "`height`"):
        TwoStream(3, height=18, width=40)
    assert TwoStream(3, height=19, width=19, width_multiplier=0.01).output_shape == (None, 3)
