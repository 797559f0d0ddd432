import numpy as np
import pytest
from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras.models.costs import multiply_adds
from ar3d_keras.models.video_resnet import MC3, R3D, R2Plus1D


class TestR2Plus1D(NetworkTests):
    name = "r2plus1d"
    quick_on_jax = False
    small = {  # noqa: RUF012
        "frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16, "gate_kernel": 1,
    }  # fmt: skip
    gated = "stage4"
    shapes = {"stem": (8, 8, 8, 4), "stage1": (8, 8, 8, 4), "stage4": (1, 1, 1, 32)}  # noqa: RUF012
    learning_rate = 1e-2


@pytest.mark.slow  # its code is that of R2Plus1D
class TestR3D(TestR2Plus1D):
    name = "r3d"


@pytest.mark.slow
class TestMC3(TestR2Plus1D):
    name = "mc3"
    shapes = {"stem": (8, 8, 8, 4), "stage1": (8, 8, 8, 4), "stage4": (8, 1, 1, 32)}  # noqa: RUF012


@pytest.mark.parametrize(
    ("kind", "parameters", "gflops", "time"),
    [
        pytest.param(R3D, 33_371_472, 40.697, (8, 4, 2), marks=pytest.mark.slow),
        pytest.param(MC3, 11_695_440, 43.343, (16, 16, 16), marks=pytest.mark.slow),
        (R2Plus1D, 31_505_325, 40.519, (8, 4, 2)),
    ],
)
def test_it_is_torchvisions_network(kind, parameters, gflops, time):
    """Parameters and multiply-adds that torchvision publishes."""
    with blank():
        model = kind(400)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["stem"] == shapes["stage1"] == (16, 56, 56, 64)
    assert shapes["stage2"] == (time[0], 28, 28, 128)
    assert shapes["stage3"] == (time[1], 14, 14, 256)
    assert shapes["stage4"] == (time[2], 7, 7, 512)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == parameters
    assert multiply_adds(model) / 1e9 == pytest.approx(gflops, abs=5e-4)
    if kind is R2Plus1D:
        middle = [shapes[f"stage{n}_block{b}_conv1_spatial"][-1] for n in (1, 2) for b in (1, 2)]
        assert middle == [144, 144, 230, 288]


def test_strided_convolutions_pad_both_sides_alike():
    """As torch pads; Keras's "same" would pad even sizes on one side only."""
    model = R2Plus1D(2, frames=8, height=16, width=16, width_multiplier=1 / 16)
    strided = model.get_layer("stage2_block1_conv1_spatial")
    image = np.zeros(strided.input.shape[1:], np.float32)[None]
    image[0, 0, 1, 1] = 1  # position (0, 0) after the padding of one pixel
    kernel = np.zeros(strided.kernel.shape, np.float32)
    kernel[0, 1, 1] = 1
    strided.kernel.assign(kernel)
    output = strided(image).numpy()
    assert output[0, 0, 0, 0].all()
    assert np.count_nonzero(output) == output.shape[-1]
