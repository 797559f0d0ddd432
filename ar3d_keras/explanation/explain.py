"""Where a network looks in a clip: its own attention where it has a gate, else Grad-CAM."""

from dataclasses import dataclass
from typing import Literal

import keras
import numpy as np
from keras import ops

from ar3d_keras.explanation.attention_map import attention_network, enlarged, find_gate
from ar3d_keras.explanation.grad_cam import grad_cam


@dataclass(frozen=True)
class Explanation:
    """Maps over clips, the larger the more.

    Attributes:
        kind: "attention", the gate's mean over channels, which has no regard to any class; or
            "Grad-CAM", what speaks for a class.
        maps: float32 (batch, T, H, W), in 0..1. Attention keeps the gate's own values, which may
            lie close together (`heat_map.stretched` spreads them); of Grad-CAM each clip's
            largest is 1.
    """

    kind: Literal["attention", "Grad-CAM"]
    maps: np.ndarray


def explain(
    network: keras.Model, clips: np.ndarray, targets: np.ndarray | None = None
) -> Explanation:
    """Where `network` looks in each of some clips.

    Args:
        network: a Keras model from clips to class probabilities.
        clips: uint8 or float (batch, T, H, W, C), 0..255; a clip of the paper's size takes 0.2 GB.
        targets: int (batch,), the classes that Grad-CAM explains; None: the likeliest.
    """
    attention = attention_network(network)
    if attention is None:
        return Explanation("Grad-CAM", grad_cam(network, clips, targets))
    maps = attention(clips, training=False)["attention"]
    return Explanation("attention", ops.convert_to_numpy(maps))


def responsive_channels(
    network: keras.Model, clips: np.ndarray, count: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """The gate's channels that respond most to what happens in each of some clips.

    Those whose values vary most over time, on the mean of all positions, the first and the last
    time left out: there the convolutions see black beyond the clip's ends, and all changes. Where
    the gate sees a single time, those that vary most over positions.

    Args:
        network: a Keras model with a gate.
        clips: uint8 or float (batch, T, H, W, C), 0..255.
        count: of channels; a gate with fewer gives all.

    Returns:
        The channels' numbers, int (batch, count), the most responsive first, and the gate's
        values, float32 (batch, count, T, H, W), in 0..1.

    Raises:
        ValueError: the network has no gate.
    """
    gate = find_gate(network)
    if gate is None:
        raise ValueError(f"{network.name} has no gate.")
    below = keras.Model(network.input, gate.input)
    values = gate.attention_map(below(clips, training=False))
    values = np.moveaxis(ops.convert_to_numpy(values), -1, 1)
    channels = np.argsort(-_response(values), axis=1, kind="stable")[:, :count]
    chosen = np.take_along_axis(values, channels[:, :, None, None, None], axis=1)
    maps = enlarged(chosen.reshape(-1, *chosen.shape[2:]), *clips.shape[1:4])
    return channels, ops.convert_to_numpy(maps).reshape(*channels.shape, *clips.shape[1:4])


def _response(values: np.ndarray) -> np.ndarray:
    """Of (batch, channels, t, h, w): how much each channel varies, (batch, channels)."""
    times = values.shape[2]
    if times == 1:
        return values.var(axis=(2, 3, 4))
    inner = values[:, :, 1:-1] if times > 3 else values
    return inner.var(axis=2).mean(axis=(2, 3))
