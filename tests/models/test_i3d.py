from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras import I3D


class TestI3D(NetworkTests):
    # With 1/32 of the channels (one or two in most layers) TensorFlow 2.21's bfloat16 gives NaN now
    # and then on a CPU with AMX.
    name = "i3d"
    quick_on_jax = False
    small = {  # noqa: RUF012
        "frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 8, "gate_kernel": 1,
    }  # fmt: skip
    gated = "Mixed_5c"
    shapes = {"Conv3d_1a_7x7": (4, 8, 8, 8), "Mixed_5c": (1, 1, 1, 128)}  # noqa: RUF012
    learning_rate = 3e-3


def test_it_is_the_published_network():
    """The end points and the variables of kinetics-i3d's i3d.py at its clip size."""
    with blank():
        model = I3D(400, frames=64, height=224, width=224)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["Conv3d_1a_7x7"] == (32, 112, 112, 64)
    assert shapes["MaxPool3d_2a_3x3"] == (32, 56, 56, 64)
    assert shapes["Conv3d_2c_3x3"] == (32, 56, 56, 192)
    assert shapes["MaxPool3d_3a_3x3"] == (32, 28, 28, 192)
    assert shapes["Mixed_3b"] == (32, 28, 28, 256)
    assert shapes["Mixed_3c"] == (32, 28, 28, 480)
    assert shapes["MaxPool3d_4a_3x3"] == (16, 14, 14, 480)
    assert [shapes[f"Mixed_4{each}"][-1] for each in "bcdef"] == [512, 512, 512, 528, 832]
    assert shapes["MaxPool3d_5a_2x2"] == (8, 7, 7, 832)
    assert shapes["Mixed_5b"] == (8, 7, 7, 832)
    assert shapes["Mixed_5c"] == (8, 7, 7, 1024)
    assert shapes["Logits"] == (7, 400)  # averaged over pairs of time steps
    # 57 convolutions with batch norm: kernels without bias, an offset, two moving statistics.
    norms = [layer for layer in model.layers if layer.name.endswith("_norm")]
    channels = sum(layer.output.shape[-1] for layer in norms)
    assert (len(norms), channels) == (57, 7280)
    assert model.count_params() == 12_704_544
    assert model.count_params() - 2 * channels == 12_689_984  # "12.69 M", Open Model Zoo
