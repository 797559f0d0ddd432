import numpy as np
import pytest
from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras import Fused3D
from ar3d_keras.models.fused3d import cut_moments


class TestFused3D(NetworkTests):
    name = "fused3d"
    quick_on_jax = False
    small = {  # noqa: RUF012
        "frames": 3, "height": 32, "width": 32, "backbone": "MobileNet", "filters": 4,
        "gate_kernel": 1,
    }  # fmt: skip
    gated = "fusion"
    shapes = {"rgb": (3, 1, 1, 1024), "motion": (3, 1, 1, 1024), "fusion": (3, 1, 1, 4)}  # noqa: RUF012
    learning_rate = 3e-3


@pytest.mark.multi_backend
@pytest.mark.parametrize(
    ("frames", "middles", "first", "length"),
    [(16, [1, 4, 7, 10, 13], 0, 3), (17, [2, 5, 8, 11, 14], 1, 3), (50, [5, 15, 25, 35, 45], 0, 10),
     (3, [0, 1, 2], 0, 1)],
)  # fmt: skip
def test_moments(frames, middles, first, length):
    """A clip whose values are its frame numbers, with channel c adding 100 c."""
    clip = (
        np.arange(frames)[None, :, None, None, None]
        + 100 * np.arange(5)
        + np.zeros((1, 1, 2, 2, 1))
    )
    colour, flow = map(np.asarray, cut_moments(clip.astype("float32")))
    assert colour[0, :, 0, 0, 0].tolist() == middles
    assert colour[0, 0, 1, 1].tolist() == [middles[0] + 100 * c for c in range(3)]
    expected = [frame + 100 * c for frame in range(first, first + length) for c in (3, 4)]
    assert flow[0, 0, 1, 0].tolist() == expected
    assert flow.shape == (1, len(middles), 2, 2, 2 * length)


def test_its_default_size():
    with blank():
        model = Fused3D(101, attention=True)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["rgb"] == shapes["motion"] == (5, 4, 4, 1280)
    assert shapes["fusion"] == shapes["gate"] == (5, 4, 4, 512)
    assert shapes["pool"] == (2, 2, 2, 512)
    assert model.count_params() - model.get_layer("gate").count_params() == 40_320_581
