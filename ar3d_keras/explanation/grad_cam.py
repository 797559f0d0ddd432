"""Grad-CAM: what in a clip speaks for a class, for every network and on every backend.

Source: Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: *Grad-CAM: Visual Explanations from Deep
Networks via Gradient-based Localization*, ICCV 2017, section 3.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ar3d_keras.explanation.attention_map import enlarged

POOLINGS = layers.AveragePooling3D | layers.MaxPooling3D | layers.MaxPooling2D


def grad_cam(
    network: keras.Model, clips: np.ndarray, targets: np.ndarray | None = None
) -> np.ndarray:
    """Where a clip holds what raises the score of a class.

    The network's last feature maps are summed, each weighted with the mean of its gradient over
    time and space, and what is negative is set to 0: equations 1 and 2 of the publication, with
    time as a third axis. The gradient is that of the class's score before softmax (the mean of
    its scores where the network answers for each frame), for a sure network's probability has
    none. Of two streams the last is looked at, the one that sees motion.

    A clip takes the memory of the network's last features some times over; of the paper's network
    that is 0.2 GB.

    Args:
        network: made of Keras layers, with feature maps (batch, [time,] rows, columns, channels).
        clips: uint8 or float (batch, T, H, W, C), 0..255.
        targets: int (batch,), the class of each clip; None: the likeliest.

    Returns:
        float32 (batch, T, H, W), each clip's from 0 to 1, its own largest value: maps of two
        clips are not to be compared. Enlarged from the feature maps' size, bilinearly in space,
        to the nearest in time. All 0 where nothing in the clip speaks for the class.

    Raises:
        ValueError: the network has no feature maps, or no softmax.
    """
    below, above = _cut(network)
    maps, pooled, probabilities = below(clips, training=False)
    if targets is None:
        targets = ops.argmax(probabilities, axis=-1)
    chosen = ops.one_hot(targets, probabilities.shape[-1], dtype="float32")
    gradient = _gradient(lambda at: ops.sum(above(at, training=False) * chosen), pooled)
    positions = tuple(range(1, len(maps.shape) - 1))
    weights = ops.mean(gradient, axis=positions, keepdims=True)
    maps = ops.relu(ops.sum(ops.stop_gradient(maps) * weights, axis=-1))
    if len(positions) == 2:
        maps = maps[:, None]  # the same at all times
    maps = ops.convert_to_numpy(enlarged(maps, *clips.shape[1:4]))
    largest = maps.max(axis=(1, 2, 3), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


@functools.lru_cache(maxsize=1)  # each one made stays tied to the network's layers for good
def _cut(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """The network in two parts, which share its layers.

    Returns:
        Clips to (last feature maps, the same behind their pooling, probabilities), and what is
        behind the pooling to the classes' scores. A pooling hands each gradient on whole, so the
        mean over its outputs gives the same weights, but for a factor, as that over its inputs;
        TensorFlow's for MaxPooling3D goes to every maximum instead, all zeros behind a ReLU.
    """
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            below, above = _cut(layer)
            # A model's own `input` is its inside's; an operation's is what it was called on.
            maps, pooled, _ = below(keras.Operation.input.fget(layer))
            return keras.Model(network.input, (maps, pooled, network.output)), above
        pooled = layer.output
        if len(pooled.shape) >= 4 and not isinstance(layer, layers.InputLayer):
            maps = layer.input if isinstance(layer, POOLINGS) else pooled
            below = keras.Model(network.input, (maps, pooled, network.output))
            return below, keras.Model(pooled, _scores(network))
    raise ValueError(f"{network.name} has no feature maps.")


def _scores(network: keras.Model):
    """Of the classes, before the last softmax; the mean over frames where each has its own."""
    for layer in reversed(network.layers):
        if isinstance(layer, layers.Softmax):
            scores = layer.input
        elif getattr(layer, "activation", None) is keras.activations.softmax:
            scores = ops.matmul(layer.input, layer.kernel) + layer.bias
        else:
            continue
        return ops.mean(scores, axis=1) if len(scores.shape) == 3 else scores
    raise ValueError(f"{network.name} has no softmax.")


def _gradient(function: Callable[[Any], Any], at):
    """The gradient of `function`, from a tensor of the backend to a scalar, at a tensor."""
    match keras.backend.backend():
        case "tensorflow":
            import tensorflow as tf

            with tf.GradientTape() as tape:
                tape.watch(at)
                value = function(at)
            return tape.gradient(value, at)
        case "jax":
            import jax

            return jax.grad(function)(at)
        case "torch":
            import torch

            at = at.detach().requires_grad_()
            return torch.autograd.grad(function(at), at)[0]
