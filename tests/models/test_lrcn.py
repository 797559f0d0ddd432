import numpy as np
import pytest
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras import LRCN


class TestLRCN(NetworkTests):
    name = "lrcn"
    small = {  # noqa: RUF012
        "frames": 3, "height": 32, "width": 32, "frames_network": "MobileNet", "dense": 6,
        "units": 4,
    }  # fmt: skip
    shapes = {"frames": (3, 1, 1, 1024), "fc6": (3, 6), "lstm": (3, 4), "scores": (3, 3)}  # noqa: RUF012
    learning_rate = 3e-3
    test_clips_become_probabilities_and_uint8_equals_float = pytest.mark.every_backend(
        NetworkTests.test_clips_become_probabilities_and_uint8_equals_float
    )

    def test_later_frames_do_not_change_earlier_scores(self):
        """The LSTM reads forward; each frame's score is averaged."""
        import keras

        model, clips = self.build(), self.clips
        scores = keras.Model(model.input, model.get_layer("scores").output)
        before = scores.predict_on_batch(clips)
        np.testing.assert_allclose(model.predict_on_batch(clips), before.mean(1), atol=1e-6)
        clips[:, 2] = 0
        after = scores.predict_on_batch(clips)
        np.testing.assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
        assert np.abs(after[:, 2] - before[:, 2]).max() > 1e-4


def test_its_default_size():
    model = LRCN(101)
    assert model.get_layer("frames").output.shape == (None, 16, 4, 4, 1280)
    assert model.count_params() == 13_557_669
