from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras import C3D


class TestC3D(NetworkTests):
    name = "c3d"
    small = {  # noqa: RUF012
        "frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16, "dense": 16,
        "gate_kernel": (1, 3, 3),
    }  # fmt: skip
    gated = "conv5b"
    shapes = {"conv1a": (8, 16, 16, 4), "pool1": (8, 8, 8, 4), "pool5": (1, 1, 1, 32)}  # noqa: RUF012
    learning_rate = 3e-3
    steps = 12


def test_it_is_the_published_network():
    """Figure 3 of Tran et al., and the parameters of its network for 101 classes."""
    with blank():
        model = C3D(101)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["pool1"] == (16, 56, 56, 64)
    assert shapes["pool2"] == (8, 28, 28, 128)
    assert shapes["pool3"] == (4, 14, 14, 256)
    assert shapes["pool4"] == (2, 7, 7, 512)
    assert shapes["pool5"] == (1, 4, 4, 512)
    assert shapes["flatten"] == (8192,)
    assert model.count_params() == 78_409_573
