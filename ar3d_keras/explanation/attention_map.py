"""The attention map of a network with a gate: the gate's mean over channels, at clip size."""

import functools
from typing import Any

import keras
import numpy as np
from keras import ops

from ar3d_keras.models.layers import AttentionGate
from ar3d_keras.models.motion_crop import MotionCrop, find_motion_crop


def find_gate(network: keras.Model) -> AttentionGate | None:
    """Returns the gate of a network, None if it has none; of two streams the last, which sees motion."""
    gates = _gates(network)
    return gates[-1] if gates else None


def _gates(network: keras.Model) -> list[AttentionGate]:
    return [layer for layer in network.layers if isinstance(layer, AttentionGate)]


@functools.lru_cache(maxsize=1)  # the layers of `network` keep a reference to each new model
def attention_network(network: keras.Model) -> keras.Model | None:
    """Adds the attention map to a network as a second output.

    The new model shares the weights of `network` and computes each layer once.

    Returns:
        A model from `clip` (batch, T, H, W, C) to a dict of `probabilities` float32 (batch,
        classes) and `attention` float32 (batch, T, H, W), in 0..1: the mean of the gate's
        sigmoids over its channels. A map smaller than the clip is enlarged to the size of the
        clip: bilinear in space, nearest in time; see `over_the_clip`. None if the network has no
        gate.
    """
    gate = find_gate(network)
    if gate is None:
        return None
    features, values = gate.input, gate.attention_map(gate.input)
    if len(_gates(network)) == 1:
        # Starts from the gate's values, so that its convolution, half of the cost, runs once.
        behind = keras.Model(gate.output, network.output, name="behind_the_gate")
        probabilities = behind(features * values)
    else:
        probabilities = network.output
    attention = ops.mean(ops.cast(values, "float32"), axis=-1)
    crop = find_motion_crop(network)
    return keras.Model(
        network.input,
        {
            "probabilities": probabilities,
            "attention": _over(attention, network.input_shape, crop, crop and crop.input),
        },
        name=f"{network.name}_attention_map",
    )


def over_the_clip(network: keras.Model, maps: Any, clips: np.ndarray) -> Any:
    """Enlarges maps of a network's features to the size of its clips.

    Args:
        network: with clips as input.
        maps: float (batch, t, h, w).
        clips: uint8 or float (batch, T, H, W, C), what the features were computed from.

    Returns:
        (batch, T, H, W). If the network sees only a part of each clip (MotionCrop), the maps lie over
        that part, and the rest is 0.
    """
    crop = find_motion_crop(network)
    return _over(maps, clips.shape, crop, crop and _above(network)(clips, training=False))


@functools.lru_cache(maxsize=1)
def _above(network: keras.Model) -> keras.Model:
    """From clips to what the network's MotionCrop receives."""
    crop = find_motion_crop(network)
    assert crop is not None
    return keras.Model(network.input, crop.input)


def _over(maps: Any, shape: tuple[int, ...], crop: MotionCrop | None, cropped: Any) -> Any:
    _, frames, height, width, _ = shape
    if crop is None:
        return enlarged(maps, frames, height, width)
    return crop.placed(enlarged(maps, frames, crop.height, crop.width), cropped)


def enlarged(maps: Any, frames: int, height: int, width: int) -> Any:
    """Enlarges maps to the size of a clip.

    Args:
        maps: float (batch, t, h, w), an array or a tensor of the backend.
        frames: T of the clip.
        height: H of the clip, in pixels.
        width: W of the clip, in pixels.

    Returns:
        (batch, frames, height, width); bilinear in space, nearest in time.
    """
    _, time, *size = maps.shape
    if size != [height, width]:
        rows = ops.reshape(maps, (-1, *size, 1))
        rows = ops.image.resize(
            rows, (height, width), interpolation="bilinear", data_format="channels_last"
        )
        maps = ops.reshape(rows, (-1, time, height, width))
    if time != frames:
        nearest = [(2 * frame + 1) * time // (2 * frames) for frame in range(frames)]
        maps = ops.take(maps, nearest, axis=1)
    return maps
