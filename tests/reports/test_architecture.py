import io

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from ar3d_keras import Conv3DClassifier
from ar3d_keras.reports import architecture, drawing
from ar3d_keras.reports.network_blocks import READABLE, SIGNS, blocks

SMALL = {"frames": 4, "height": 8, "width": 8, "filters": 2, "pool": 2, "dense": 3}


def names(found):
    return [block.kind if block.kind in SIGNS else block.name for block in found]


def rendered(networks):
    png = drawing.png_bytes(architecture.draw(networks))
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def order_holds(found):
    return all(parent < place for place, block in enumerate(found) for parent in block.parents)


def unit(x, channels, name):
    x = layers.Conv3D(channels, 1, use_bias=False, name=name)(x)
    x = layers.BatchNormalization(name=f"{name}_norm")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def test_the_gate_is_a_branch_that_is_multiplied_with_the_features():
    found = blocks(Conv3DClassifier(5, attention=True, **SMALL))
    assert names(found) == [
        "clip", "features", "gate", "Multiply", "pool", "flatten", "dense", "output",
    ]  # fmt: skip
    features, gate, product, pool = found[1:5]
    assert gate.parents == (1,) and product.parents == (1, 2) and pool.parents == (3,)
    assert "Conv3D" in gate.text and "sigmoid" in gate.text
    assert features.shape == gate.shape == product.shape == (4, 8, 8, 2)
    assert found[-1].shape == (5,)
    # The features' way to the product is straight; the gate stands beside it.
    places = architecture._place(found)
    assert places[1][0] == places[3][0] != places[2][0]


@pytest.mark.parametrize("attention", [False, True])
def test_no_parameter_is_lost(attention):
    network = Conv3DClassifier(5, attention=attention, **SMALL)
    found = blocks(network)
    assert sum(block.parameters for block in found) == network.count_params()
    assert ("gate" in names(found)) is attention


def test_quiet_layers_are_named_in_the_block_before():
    found = blocks(Conv3DClassifier(5, **SMALL))
    assert found[-2].text == "Dense 3, relu · dropout 0.25"
    assert found[0].text.endswith("rescaling")


def test_slicing_and_arithmetic_are_left_out_and_joins_are_not():
    clip = keras.Input((4, 8, 8, 3), name="clip")
    x = (clip[:, ::2] - 128) / 128
    one, other = layers.Conv3D(2, 1, name="one")(x), layers.Conv3D(2, 1, name="other")(x)
    found = blocks(keras.Model(clip, one * other + one))
    assert names(found) == ["clip", "one", "other", "Multiply", "Add"]
    assert found[3].parents == (1, 2) and set(found[4].parents) == {1, 3}
    assert rendered({"net": found}).min() < 128


def inception(mixed):
    clip = keras.Input((4, 8, 8, 3), name="clip")
    x = clip
    for number in range(mixed):
        start = f"mixed{number}"
        branches = [
            unit(x, 4 + number, f"{start}_a"),
            unit(unit(x, 2, f"{start}_b"), 3, f"{start}_c"),
        ]
        x = layers.Concatenate(name=f"{start}_join")(branches)
    x = layers.GlobalAveragePooling3D(name="pool")(x)
    return keras.Model(clip, layers.Dense(5, name="output")(x))


def test_a_deep_network_is_drawn_by_its_modules():
    network = inception(9)
    found = blocks(network)
    assert len(network.layers) > 90 and len(found) == 12
    assert names(found)[:3] == ["clip", "mixed0", "mixed1"]
    assert found[1].text == "3 Conv3D"
    assert found[1].shape == (4, 8, 8, 7)
    assert sum(block.parameters for block in found) == network.count_params()
    assert order_holds(found)
    rendered({"deep": found})


def test_a_small_one_is_drawn_whole():
    found = blocks(inception(2))
    assert len(found) == 1 + 2 * 4 + 2 and len(found) <= READABLE


def test_repeated_layers_are_one_block():
    x = clip = keras.Input((4, 8, 8, 3), name="clip")
    for number in range(30):
        x = layers.Conv3D(8 if number < 20 else 4, 1, name=f"conv{number}")(x)
    found = blocks(keras.Model(clip, x))
    assert names(found) == ["clip", "conv0 … conv19", "conv20 … conv29"]
    assert (found[1].layers, found[2].layers) == (20, 10)


def test_nested_streams_stand_side_by_side_even_when_they_are_long():
    def stream(name):
        image = keras.Input((8, 8, 3))
        x = image
        for number in range(12):
            x = layers.Conv2D(4 + number, 1, name=f"{name}{number}")(x)
        return keras.Model(image, layers.Flatten()(x), name=name)

    clip = keras.Input((4, 8, 8, 6), name="clip")
    both = [stream("spatial")(clip[:, 0, ..., :3]), stream("temporal")(clip[:, 1, ..., 3:])]
    found = blocks(keras.Model(clip, layers.Average(name="mean")(both)))
    lanes = {lane for lane, _ in architecture._place(found)}
    assert lanes == {0, 1} and len(found) == 28
    assert found[-1].name == "mean" and len(found[-1].parents) == 2
    rendered({"two": found})


def test_a_large_nested_network_is_one_block():
    image = keras.Input((8, 8, 3))
    x = image
    for _ in range(40):
        x = layers.Conv2D(3, 1)(x)
    inner = keras.Model(image, x, name="backbone")
    clip = keras.Input((8, 8, 3), name="clip")
    found = blocks(keras.Model(clip, inner(clip)))
    assert names(found) == ["clip", "backbone"]
    assert found[1].text == "a network of 41 layers"


def test_networks_stand_side_by_side_whatever_their_names():
    gated, plain = (Conv3DClassifier(5, attention=a, **SMALL) for a in (True, False))
    picture = rendered({"$gated$ 밀기": blocks(gated), "plain " * 40: blocks(plain)})
    assert picture.shape[1] > picture.shape[0]
