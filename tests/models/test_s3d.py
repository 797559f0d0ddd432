import numpy as np
import pytest
from networks import NetworkTests  # tests/models/networks.py

from ar3d_keras import S3D
from ar3d_keras.errors import UserError
from ar3d_keras.models.costs import multiply_adds
from ar3d_keras.models.inception3d import head


@pytest.mark.slow  # its trunk and head are those of I3D; test_published predicts with it
class TestS3D(NetworkTests):
    name = "s3d"
    quick_on_jax = False
    small = {  # noqa: RUF012
        "frames": 8, "height": 20, "width": 20, "width_multiplier": 1 / 8, "gate_kernel": 1,
        "norm_momentum": 0.9,
    }  # fmt: skip
    gated = "Mixed_5c"
    shapes = {"Mixed_3c": (4, 3, 3, 60), "Mixed_5c": (1, 1, 1, 128)}  # noqa: RUF012
    learning_rate = 3e-3


@pytest.mark.slow
def test_it_is_torchvisions_network():
    """Parameters and multiply-adds that torchvision publishes, at its clip of 16x224x224."""
    model = S3D(400, height=224, width=224)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["Conv3d_1a_7x7_temporal"] == (8, 112, 112, 64)
    assert shapes["MaxPool3d_3a_3x3"] == (8, 28, 28, 192)
    assert shapes["MaxPool3d_4a_3x3"] == (4, 14, 14, 480)
    assert shapes["Mixed_5c"] == (2, 7, 7, 1024)
    assert shapes["Logits"] == (1, 400)
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 8_320_048
    assert multiply_adds(model) / 1e9 == pytest.approx(17.979, abs=5e-4)


def test_the_head_averages_windows_of_seven():
    import keras

    features = keras.Input((3, 9, 8, 2))
    sizes = {"num_classes": 3, "dropout": 0.0, "log_pooling": False}
    model = keras.Model(features, head(features, sizes))
    values = np.random.default_rng(0).random((1, 3, 9, 8, 2), np.float32)
    windows = [
        values[:, t : t + 2, y : y + 7, x : x + 7].mean((1, 2, 3))
        for t in range(2) for y in range(3) for x in range(2)
    ]  # fmt: skip
    kernel, bias = model.get_layer("Logits").get_weights()
    scores = np.mean(windows, axis=0) @ kernel + bias
    expected = np.exp(scores) / np.exp(scores).sum()
    np.testing.assert_allclose(model(values).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("option", "parameter"),
    [
        ({"frames": 4}, "frames"),
        ({"frames": 5, "differences": True}, "frames"),
        ({"height": 16}, "height"),
        ({"motion_crop": (16, 20)}, "height"),
        ({"norm_momentum": 1.0}, "norm_momentum"),
    ],
)
def test_what_it_refuses(option, parameter):
    with pytest.raises(UserError) as caught:
        S3D(3, **{"frames": 8, "height": 20, "width": 20, "width_multiplier": 1 / 8, **option})
    assert caught.value.parameter == parameter
