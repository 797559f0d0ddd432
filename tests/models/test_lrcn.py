import keras
import numpy as np
from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras import LRCN


class TestLRCN(NetworkTests):
    name = "lrcn"
    small = {  # noqa: RUF012
        "frames": 3, "height": 32, "width": 32, "backbone": "MobileNet", "dense": 6,
        "units": 4,
    }  # fmt: skip
    shapes = {"frames": (3, 8, 8, 128), "fc6": (3, 6), "lstm": (3, 4), "scores": (3, 3)}  # noqa: RUF012
    learning_rate = 3e-3

    def test_later_frames_do_not_change_earlier_scores(self):
        """The LSTM reads forward; the output is the mean of the frames' scores."""
        model = self.build()
        read = keras.Model(
            model.get_layer("fc6").input, [model.get_layer("scores").output, model.output]
        )
        features = np.random.default_rng(0).normal(0, 1, (2, 3, 8192)).astype(np.float32)
        before, output = map(keras.ops.convert_to_numpy, read(features))
        np.testing.assert_allclose(output, before.mean(1), atol=1e-6)
        features[:, 2] *= -1
        after = keras.ops.convert_to_numpy(read(features)[0])
        np.testing.assert_allclose(after[:, :2], before[:, :2], atol=1e-6)
        assert np.abs(after[:, 2] - before[:, 2]).max() > 1e-4


def test_its_default_size():
    with blank():
        model = LRCN(101)
    assert model.get_layer("frames").output.shape == (None, 16, 7, 7, 576)
    assert model.count_params() == 15_880_869
