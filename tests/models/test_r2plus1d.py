import numpy as np
import pytest
from networks import NetworkTests, blank  # tests/models/networks.py

from ar3d_keras.models.costs import multiply_adds
from ar3d_keras.models.r2plus1d import R2Plus1D


class TestR2Plus1D(NetworkTests):
    name = "r2plus1d"
    quick_on_jax = False
    small = {  # noqa: RUF012
        "frames": 8, "height": 16, "width": 16, "width_multiplier": 1 / 16, "gate_kernel": 1,
    }  # fmt: skip
    gated = "stage4"
    shapes = {"stem": (8, 8, 8, 4), "stage1": (8, 8, 8, 4), "stage4": (1, 1, 1, 32)}  # noqa: RUF012
    learning_rate = 1e-2


def test_it_is_torchvisions_network():
    """Parameters and multiply-adds that torchvision publishes for r2plus1d_18."""
    with blank():
        model = R2Plus1D(400)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["stem"] == shapes["stage1"] == (16, 56, 56, 64)
    assert shapes["stage2"] == (8, 28, 28, 128)
    assert shapes["stage3"] == (4, 14, 14, 256)
    assert shapes["stage4"] == (2, 7, 7, 512)
    middle = [shapes[f"stage{n}_block{b}_conv1_spatial"][-1] for n in (1, 2) for b in (1, 2)]
    assert middle == [144, 144, 230, 288]
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 31_505_325
    assert model.count_params() == 31_505_325 + 25_350
    assert multiply_adds(model) / 1e9 == pytest.approx(40.519, abs=5e-4)


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
