"""The attention map: the values of the gate, at the size of the clip."""

import keras
import numpy as np
import pytest

from ar3d_keras import C3D, Conv3DClassifier
from ar3d_keras.explanation.attention_map import attention_network

SMALL = {"frames": 4, "height": 16, "width": 12}


def clips(count=2):
    return np.random.default_rng(0).integers(0, 256, (count, 4, 16, 12, 3), np.uint8)


@pytest.mark.multi_backend
def test_it_is_the_gates_mean_over_channels():
    model = Conv3DClassifier(3, attention=True, filters=5, pool=(2, 4, 4), dense=4, **SMALL)
    outputs = attention_network(model).predict_on_batch(clips())
    np.testing.assert_allclose(outputs["probabilities"], model.predict_on_batch(clips()), atol=1e-6)
    # The same by hand: the features, and the gate's own layer on them.
    features = model.get_layer("features")(model.get_layer("rescaling")(clips()))
    gate = keras.ops.convert_to_numpy(model.get_layer("gate").attention_map(features))
    assert outputs["attention"].shape == (2, 4, 16, 12)
    assert outputs["attention"].dtype == np.float32
    np.testing.assert_allclose(outputs["attention"], gate.mean(-1), atol=1e-6)


@pytest.mark.multi_backend
@pytest.mark.parametrize(
    "network",
    [
        lambda: Conv3DClassifier(
            3,
            attention=True,
            filters=5,
            spatial_downsample=4,
            differences=True,
            pool="global",
            dense=4,
            **SMALL,
        ),
        lambda: C3D(
            3, attention=True, frames=8, height=32, width=32, width_multiplier=0.05, dense=4
        ),
    ],
)
def test_a_smaller_map_is_enlarged_to_the_clip(network):
    model = network()
    shape = (1, *model.input_shape[1:])
    clip = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    attention = attention_network(model).predict_on_batch(clip)["attention"]
    assert attention.shape == shape[:-1]
    assert 0 < attention.min() < attention.max() < 1


def test_without_a_gate_there_is_no_map():
    model = Conv3DClassifier(3, filters=5, pool=(2, 4, 4), dense=4, **SMALL)
    assert attention_network(model) is None
