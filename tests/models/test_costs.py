import keras
import numpy as np
import pytest
from networks import blank  # tests/models/networks.py

from ar3d_keras import C3D, I3D, LRCN, Conv3DClassifier
from ar3d_keras.models.costs import gflops, multiply_adds
from ar3d_keras.models.frames import FrameByFrame


def test_networks_have_their_published_costs():
    # 38.5 G multiply-adds: Tran et al. 2018 and every table since.
    with blank():
        c3d = C3D(101)
        i3d = I3D(400, frames=79, height=224, width=224)
        lrcn = LRCN(101, frames=2, height=224, width=224, dense=1, units=1)
    assert multiply_adds(c3d) / 1e9 == pytest.approx(38.5, abs=0.1)
    # 278.981 GFLOP for 79 frames, all operations: i3d-rgb-tf in Open Model Zoo.
    assert gflops(i3d) == pytest.approx(278.98, rel=5e-3)
    # MobileNetV2 takes 300 M multiply-adds a frame, its classifier of 1.28 M included.
    assert multiply_adds(lrcn) / 2 == pytest.approx(299e6, rel=5e-3)


def test_layers_counted_by_hand():
    frame = keras.Input((6, 6, 3))
    x = keras.layers.DepthwiseConv2D(3, padding="same")(frame)
    x = keras.layers.SeparableConv2D(5, 3, strides=2, padding="same")(x)
    per_frame = 36 * 27 + 9 * (27 + 15)
    network = keras.Model(frame, x)
    clip = keras.Input((4, 6, 6, 3))
    y = FrameByFrame(network)(clip)
    y = keras.layers.Reshape((4, 45))(y)
    y = keras.layers.LSTM(7, return_sequences=True)(y)
    y = keras.layers.Dense(2)(y)
    by_hand = 4 * (per_frame + (45 + 7) * 4 * 7 + 7 * 2)
    assert multiply_adds(keras.Model(clip, y)) == by_hand


def test_the_gate_costs_its_convolution_and_one_product():
    sizes = {
        "frames": 4,
        "height": 8,
        "width": 8,
        "filters": 6,
        "pool": 2,
        "gate_kernel": (1, 3, 3),
    }
    gated, plain = (Conv3DClassifier(3, attention=gate, **sizes) for gate in (True, False))
    positions = 4 * 8 * 8
    assert multiply_adds(gated) - multiply_adds(plain) == positions * (9 * 6 * 6 + 6)
    assert multiply_adds(plain) == positions * 81 * 6 + np.prod((2, 4, 4, 6)) * 512 + 512 * 3
