"""Which map explains a network, and which channels of its gate are shown."""

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.explanation.attention_map import attention_network
from ar3d_keras.explanation.explain import explain, responsive_channels
from ar3d_keras.explanation.grad_cam import grad_cam

SMALL = {"frames": 6, "height": 16, "width": 12, "filters": 5, "pool": (3, 4, 4), "dense": 4}


def clips(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 6, 16, 12, 3), np.uint8)


@pytest.mark.multi_backend
def test_a_gated_network_is_explained_by_its_gate():
    model = Conv3DClassifier(3, attention=True, **SMALL)
    explanation = explain(model, clips())
    assert explanation.kind == "attention"
    assert explanation.maps.shape == (2, 6, 16, 12) and explanation.maps.dtype == np.float32
    wanted = attention_network(model).predict_on_batch(clips())["attention"]
    np.testing.assert_allclose(explanation.maps, wanted, atol=1e-6)


@pytest.mark.multi_backend
def test_another_network_by_grad_cam_of_the_given_class():
    keras.utils.set_random_seed(0)
    model = Conv3DClassifier(3, **{**SMALL, "dense": 32})
    likeliest = explain(model, clips())
    assert likeliest.kind == "Grad-CAM"
    named = model.predict_on_batch(clips()).argmax(1)
    np.testing.assert_allclose(likeliest.maps, grad_cam(model, clips(), named), atol=1e-6)
    other = explain(model, clips(), (named + 1) % 3)
    assert abs(other.maps - likeliest.maps).max() > 0.1


@pytest.mark.parametrize("attention", [True, False])
def test_explanations_do_not_add_nodes_to_the_network(attention):
    model = Conv3DClassifier(3, attention=attention, **SMALL)

    def size():
        if attention:
            responsive_channels(model, clips())
        explain(model, clips())
        grad_cam(model, clips())
        return sum(len(layer._inbound_nodes) for layer in model._flatten_layers())

    assert size() == size() == size()


def gate_of(model, weights, bias):
    gate = model.get_layer("gate")
    gate.convolution.kernel.assign(weights)
    gate.bias.assign(bias)


@pytest.mark.multi_backend
def test_the_channels_shown_are_those_that_change_in_time():
    model = Conv3DClassifier(3, attention=True, gate_kernel=1, kernel=1, **SMALL)
    # Feature 0 is red, 1 is green; the gate's channel 2 sees red, channel 4 green, the rest none.
    kernel = np.zeros((1, 1, 1, 3, 5), np.float32)
    kernel[..., 0, 0] = kernel[..., 1, 1] = 1
    model.get_layer("features").set_weights([kernel, np.zeros(5, np.float32)])
    weights = np.zeros((1, 1, 1, 5, 5), np.float32)
    weights[..., 0, 2] = weights[..., 1, 4] = 5
    gate_of(model, weights, np.zeros(5, np.float32))
    clip = np.zeros((2, 6, 16, 12, 3), np.uint8)
    clip[0, 2:4, 4:8, 4:8, 0] = 255  # a flash of red
    clip[0, :, 8:, :, 1] = 255  # half the picture green, always
    clip[1, ::2, ..., 1] = 255  # flickering green
    channels, maps = responsive_channels(model, clip, count=2)
    assert channels[:, 0].tolist() == [2, 4]
    assert maps.shape == (2, 2, 6, 16, 12) and maps.dtype == np.float32
    lit = clip[0, ..., 0] > 0
    np.testing.assert_allclose(maps[0, 0][lit], 1 / (1 + np.exp(-5)), rtol=1e-5)
    np.testing.assert_allclose(maps[0, 0][~lit], 0.5)


def test_a_gate_of_one_time_step_and_few_channels_returns_all_of_them():
    small = {**SMALL, "frames": 1, "filters": 2, "pool": (1, 4, 4)}
    model = Conv3DClassifier(2, attention=True, **small)
    channels, maps = responsive_channels(model, clips()[:1, :1], count=3)
    assert maps.shape == (1, 2, 1, 16, 12)
    first, second = maps[0].var(axis=(1, 2, 3))
    assert first >= second
    assert sorted(channels[0]) == [0, 1]


def test_without_a_gate_there_are_no_channels():
    with pytest.raises(ValueError, match="has no gate"):
        responsive_channels(Conv3DClassifier(3, **SMALL), clips())
