"""Grad-CAM: the evidence for a class in a clip, for every network and on every backend.

Source: Selvaraju, Cogswell, Das, Vedantam, Parikh, Batra: *Grad-CAM: Visual Explanations from Deep
Networks via Gradient-based Localization*, ICCV 2017, section 3.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from ar3d_keras.explanation.attention_map import over_the_clip
from ar3d_keras.models.layers import GridPooling

POOLINGS = layers.AveragePooling3D | layers.MaxPooling3D | layers.MaxPooling2D | GridPooling


def grad_cam(
    network: keras.Model, clips: np.ndarray, targets: np.ndarray | None = None
) -> np.ndarray:
    """Maps the regions of each clip that raise the score of a class.

    The map is the sum of the network's last feature maps, each weighted with the mean of its
    gradient over time and space, with negative values set to 0: equations 1 and 2 of the paper,
    with time as a third axis. The gradient is that of the class score before softmax (averaged over
    frames if the network scores each frame), because the probability of a confident network has a
    gradient near 0. Of two streams the last one is explained, which sees motion.

    A clip takes a few times the memory of the network's last features: 0.2 GB for the paper's
    network.

    Args:
        network: made of Keras layers, with feature maps (batch, [time,] rows, columns, channels).
        clips: uint8 or float (batch, T, H, W, C), 0..255.
        targets: int (batch,), the class of each clip; None: the likeliest.

    Returns:
        float32 (batch, T, H, W), in 0..1, enlarged from the size of the feature maps: bilinear in
        space, nearest in time. The largest value in each clip is 1, so maps of two clips cannot be
        compared. A map is all 0 if nothing in the clip raises the score of the class.

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
        maps = maps[:, None]  # 2D features: the same map at all times
    maps = ops.convert_to_numpy(over_the_clip(network, maps, clips))
    largest = maps.max(axis=(1, 2, 3), keepdims=True)
    return np.divide(maps, largest, out=np.zeros_like(maps), where=largest > 0)


@functools.lru_cache(maxsize=1)  # the layers of `network` keep a reference to each new model
def _cut(network: keras.Model) -> tuple[keras.Model, keras.Model]:
    """Cuts a network behind its last feature maps and their pooling; both parts share its layers.

    The gradient is taken behind the pooling. The mean over the outputs of a pooling gives the same
    weights as the mean over its inputs, up to a factor. TensorFlow's gradient of MaxPooling3D would
    reach every maximum of a window, such as all zeros behind a ReLU.

    Returns:
        A model from clips to (last feature maps, pooled feature maps, probabilities), and a model
        from pooled feature maps to class scores.
    """
    for layer in reversed(network.layers):
        if isinstance(layer, keras.Model):
            below, above = _cut(layer)
            # `Model.input` is the input inside; `Operation.input` is what the model was called on.
            maps, pooled, _ = below(keras.Operation.input.fget(layer))
            return keras.Model(network.input, (maps, pooled, network.output)), above
        pooled = layer.output
        if len(pooled.shape) >= 4 and not isinstance(layer, layers.InputLayer):
            maps = layer.input if isinstance(layer, POOLINGS) else pooled
            below = keras.Model(network.input, (maps, pooled, network.output))
            return below, keras.Model(pooled, _scores(network))
    raise ValueError(f"{network.name} has no feature maps.")


def _scores(network: keras.Model) -> Any:
    """Returns the class scores before the last softmax, averaged over frames if there are many."""
    for layer in reversed(network.layers):
        if isinstance(layer, layers.Softmax):
            scores = layer.input
        elif getattr(layer, "activation", None) is keras.activations.softmax:
            scores = ops.matmul(layer.input, layer.kernel) + layer.bias
        else:
            continue
        return ops.mean(scores, axis=1) if len(scores.shape) == 3 else scores
    raise ValueError(f"{network.name} has no softmax.")


def _gradient(function: Callable[[Any], Any], at: Any) -> Any:
    """Returns the gradient of `function`, from a tensor of the backend to a scalar, at `at`."""
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
