"""Grad-CAM of every network, compared with the formula and with finite differences."""

import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from ar3d_keras import Conv3DClassifier
from ar3d_keras.explanation import grad_cam as gradients
from ar3d_keras.explanation.attention_map import enlarged
from ar3d_keras.explanation.grad_cam import grad_cam
from ar3d_keras.models import network

SMALL = {"frames": 6, "height": 16, "width": 12, "pool": (3, 4, 4)}
TINY = {"frames": 8, "height": 64, "width": 64}
# Every network in a small size, with the layer whose maps Grad-CAM weights.
NETWORKS = {
    "conv3d": ({"filters": 4, "pool": (4, 16, 16), "dense": 6}, "features"),
    "conv3d gated": ({"attention": True, "filters": 4, "pool": (4, 16, 16), "dense": 6}, "gate"),
    "conv3d of motion": (
        {
            "attention": True,
            "filters": 4,
            "spatial_downsample": 4,
            "differences": True,
            "pool": "global",
            "log_pooling": True,
            "dense": 6,
        },
        "gate",
    ),
    "compact3d": ({"filters": 4}, "relu3"),
    "two_stream3d": ({"filters": 4}, "flow_relu3"),
    "c3d": ({"width_multiplier": 0.03, "dense": 8}, "conv5b"),
    "i3d": ({"width_multiplier": 0.03}, "Mixed_5c"),
    "i3d gated": ({"attention": True, "width_multiplier": 0.03}, "gate"),
    "lrcn": ({"backbone": "MobileNet", "dense": 8, "units": 8}, "frames"),
    "two_stream": ({"width_multiplier": 0.03}, "conv5"),
    "fused3d": ({"backbone": "MobileNet", "filters": 6}, "fusion"),
}


def build(name):
    """The network with weights that are the same on every backend."""
    model = network(name.split()[0])(3, **TINY, **NETWORKS[name][0])
    random = np.random.default_rng(0)
    for weight in model.trainable_weights:
        spread = 1 / np.sqrt(max(1, np.prod(weight.shape[:-1])))
        weight.assign(random.normal(0, 2 * spread, weight.shape))
    return model


def clips_for(model, count=2):
    return np.random.default_rng(1).integers(0, 256, (count, *model.input_shape[1:]), np.uint8)


@pytest.mark.multi_backend
@pytest.mark.parametrize("attention", [False, True])
def test_it_is_the_formula_of_the_paper(attention):
    model = Conv3DClassifier(3, attention=attention, filters=5, dense=7, **SMALL)
    clips, targets = clips_for(model), np.array([2, 0])
    below = keras.Model(
        model.input,
        [model.get_layer(n).output for n in ("gate" if attention else "features", "pool")],
    )
    features, pooled = below.predict_on_batch(clips)
    # The gradient, layer by layer back from the score.
    (kernel, bias), (last, _) = (model.get_layer(n).get_weights() for n in ("dense", "output"))
    active = pooled.reshape(2, -1) @ kernel + bias > 0
    to_pooled = (active * last[:, targets].T) @ kernel.T
    to_features = to_pooled.reshape(pooled.shape) / np.prod(SMALL["pool"])
    weights = to_features.mean(axis=(1, 2, 3))
    maps = np.maximum(np.einsum("bthwc,bc->bthw", features, weights), 0)
    largest = maps.max(axis=(1, 2, 3), keepdims=True)
    wanted = np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)
    assert wanted.any()
    np.testing.assert_allclose(grad_cam(model, clips, targets), wanted, atol=1e-4)


# The logarithm of the energies of motion bends too much for differences in float32.
@pytest.mark.parametrize(
    "name",
    [
        # A gate on the same layers is harder.
        pytest.param(name, marks=pytest.mark.slow if f"{name} gated" in NETWORKS else ())
        for name in NETWORKS
        if name != "conv3d of motion"
    ],
)
def test_the_weights_are_those_of_finite_differences(name):
    """A channel's weight: how much the score changes when the whole channel is raised a little."""
    model = build(name)
    clips, targets = clips_for(model, 3), np.arange(3)
    stream = model.get_layer("temporal") if name == "two_stream" else model
    maps = stream.get_layer(NETWORKS[name][1]).output
    above = keras.Model(maps, gradients._scores(stream))
    (features, *_), probabilities = gradients._cut(model)[0](clips), model.predict_on_batch(clips)
    features = np.asarray(features)
    assert features.shape[1:] == maps.shape[1:]
    if name not in ("two_stream", "two_stream3d", "lrcn"):  # their outputs are means of softmaxes
        np.testing.assert_allclose(keras.ops.softmax(above(features)), probabilities, atol=1e-5)

    def scores(channel, raised):
        changed = features.copy()
        changed[..., channel] += raised
        return np.float64(above.predict_on_batch(changed)[targets, targets])

    step = 1e-2 * features.std()
    weights = [scores(k, step) - scores(k, -step) for k in range(features.shape[-1])]
    wanted = np.maximum(np.einsum("b...k,kb->b...", features, weights), 0)
    if name == "two_stream":
        wanted = wanted[:, None]
    wanted = np.asarray(enlarged(wanted.astype("float32"), *clips.shape[1:4]))
    assert wanted.any()
    found = grad_cam(model, clips, targets)
    assert found.dtype == np.float32 and found.shape == clips.shape[:-1]
    np.testing.assert_allclose(
        found * wanted.max(axis=(1, 2, 3), keepdims=True), wanted, atol=0.01 * wanted.max()
    )


@pytest.mark.multi_backend
def test_a_confident_output_still_has_a_map():
    """The gradient of a probability of 1 is 0; that of the score before softmax is not."""
    model = Conv3DClassifier(3, filters=5, dense=7, **SMALL)
    raised = np.array([0, 200, 0], np.float32)
    for name, bias in (("dense", np.zeros(7)), ("output", raised)):
        layer = model.get_layer(name)
        layer.set_weights([abs(layer.get_weights()[0]), bias])
    clips = clips_for(model)
    assert (model.predict_on_batch(clips)[:, 1] == 1).all()
    maps = grad_cam(model, clips)
    np.testing.assert_allclose(maps.max(axis=(1, 2, 3)), 1)
    np.testing.assert_array_equal(maps, grad_cam(model, clips, np.array([1, 1])))


def test_without_evidence_for_the_class_the_map_is_zero():
    model = Conv3DClassifier(3, filters=5, dense=7, **SMALL)
    for name in ("dense", "output"):
        model.get_layer(name).set_weights([abs(w) for w in model.get_layer(name).get_weights()])
    kernel, bias = model.get_layer("output").get_weights()
    kernel[:, 1] *= -1
    model.get_layer("output").set_weights([kernel, bias])
    maps = grad_cam(model, clips_for(model, 1).repeat(2, axis=0), np.array([0, 1]))
    assert maps[0].max() == 1
    assert not maps[1].any()


def test_the_network_is_as_it_was():
    model = build("i3d")
    clips = clips_for(model)
    before, weights = model.predict_on_batch(clips), model.get_weights()
    grad_cam(model, clips)
    np.testing.assert_array_equal(model.predict_on_batch(clips), before)
    for was, now in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_a_network_without_maps_or_softmax_is_an_error():
    clip = keras.Input((4, 8, 8, 3))
    flat = keras.layers.Dense(2, activation="softmax")(keras.layers.Flatten()(clip))
    maps = keras.layers.Conv3D(2, 3)(clip)
    scores = keras.layers.Dense(2)(keras.layers.Flatten()(maps))
    for output, message in ((flat, "no feature maps"), (scores, "no softmax")):
        with pytest.raises(ValueError, match=message):
            grad_cam(keras.Model(clip, output), np.zeros((1, 4, 8, 8, 3), np.uint8))


@pytest.mark.slow
def test_all_backends_draw_the_same_maps(tmp_path):
    code = (
        "import sys, numpy as np; sys.path.insert(0, sys.argv[2])\n"
        "from test_grad_cam import NETWORKS, build, clips_for\n"
        "from ar3d_keras.explanation.grad_cam import grad_cam\n"
        "models = {name: build(name) for name in NETWORKS}\n"
        "np.savez(sys.argv[1], **{n: grad_cam(m, clips_for(m, 3), np.arange(3))"
        " for n, m in models.items()})"
    )
    found = {}
    for backend in ("tensorflow", "jax", "torch"):
        file = tmp_path / f"{backend}.npz"
        subprocess.run(
            [sys.executable, "-c", code, file, Path(__file__).parent],
            cwd=Path(__file__).parents[2], env={**os.environ, "KERAS_BACKEND": backend}, check=True,
        )  # fmt: skip
        found[backend] = np.load(file)
    for name in NETWORKS:
        assert found["tensorflow"][name].any()
        for backend in ("jax", "torch"):
            np.testing.assert_allclose(
                found[backend][name], found["tensorflow"][name], atol=1e-4, err_msg=name
            )
