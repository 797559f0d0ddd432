"""Explains clips by the network's attention map if it has a gate, else by Grad-CAM."""

import functools
from dataclasses import dataclass
from typing import Literal, NamedTuple

import keras
import numpy as np
from keras import ops

from ar3d_keras.explanation.attention_map import attention_network, find_gate, over_the_clip
from ar3d_keras.explanation.grad_cam import grad_cam


@dataclass(frozen=True)
class Explanation:
    """Maps over clips; larger values matter more.

    Attributes:
        kind: "attention", the gate's mean over channels, which does not depend on a class; or
            "Grad-CAM", the evidence for a class.
        maps: float32 (batch, T, H, W), in 0..1. Attention maps are the gate's own values, which
            may lie close together (`heat_map.stretched` spreads them). The largest value of a
            Grad-CAM map is 1 in each clip.
    """

    kind: Literal["attention", "Grad-CAM"]
    maps: np.ndarray


def explain(
    network: keras.Model, clips: np.ndarray, targets: np.ndarray | None = None
) -> Explanation:
    """Explains where `network` looks in each clip.

    Args:
        network: a Keras model from clips to class probabilities.
        clips: uint8 or float (batch, T, H, W, C), 0..255. The paper's network takes 0.2 GB of
            memory a clip.
        targets: int (batch,), the classes that Grad-CAM explains; None: the likeliest.
    """
    attention = attention_network(network)
    if attention is None:
        return Explanation("Grad-CAM", grad_cam(network, clips, targets))
    maps = attention(clips, training=False)["attention"]
    return Explanation("attention", ops.convert_to_numpy(maps))


class GateMaps(NamedTuple):
    """The maps of a network's gate over clips.

    Attributes:
        attention: float32 (batch, T, H, W), in 0..1, see `Explanation`.
        channels: int (batch, count), see `responsive_channels`.
        maps: float32 (batch, count, T, H, W), the values of these channels.
    """

    attention: np.ndarray
    channels: np.ndarray
    maps: np.ndarray


def responsive_channels(
    network: keras.Model, clips: np.ndarray, count: int = 3
) -> tuple[np.ndarray, np.ndarray]:
    """Finds the channels of the gate that respond most to the events in each clip.

    These are the channels whose values vary most over time, averaged over all positions. The first
    and the last time step do not count: there the zero padding of the convolutions changes all
    values. If the gate has one time step only, the variance over positions counts.

    Args:
        network: a Keras model with a gate.
        clips: uint8 or float (batch, T, H, W, C), 0..255.
        count: number of channels; a gate with fewer channels returns all of them.

    Returns:
        The channel numbers, int (batch, count), the most responsive first, and the values of the
        gate, float32 (batch, count, T, H, W), in 0..1.

    Raises:
        ValueError: the network has no gate.
    """
    maps = gate_maps(network, clips, count)
    return maps.channels, maps.maps


def gate_maps(network: keras.Model, clips: np.ndarray, count: int) -> GateMaps:
    """Computes a gate once, for its attention map and its most responsive channels.

    Args:
        network: as for `responsive_channels`, like the arguments below.
        clips: uint8 or float (batch, T, H, W, C), 0..255.
        count: number of channels.

    Raises:
        ValueError: the network has no gate.
    """
    gate = find_gate(network)
    if gate is None:
        raise ValueError(f"{network.name} has no gate.")
    values = gate.attention_map(_below_gate(network)(clips, training=False))
    attention = ops.mean(ops.cast(values, "float32"), axis=-1)
    attention = ops.convert_to_numpy(over_the_clip(network, attention, clips))
    values = np.moveaxis(ops.convert_to_numpy(values), -1, 1)
    channels = np.argsort(-_response(values), axis=1, kind="stable")[:, :count]
    chosen = np.take_along_axis(values, channels[:, :, None, None, None], axis=1)
    maps = [over_the_clip(network, chosen[:, n], clips) for n in range(chosen.shape[1])]
    stacked = np.stack([ops.convert_to_numpy(each) for each in maps], axis=1)
    return GateMaps(attention, channels, stacked)


@functools.lru_cache(maxsize=1)  # the layers of `network` keep a reference to each new model
def _below_gate(network: keras.Model) -> keras.Model:
    """From clips to what the gate receives."""
    gate = find_gate(network)
    assert gate is not None
    return keras.Model(network.input, gate.input)


def _response(values: np.ndarray) -> np.ndarray:
    """Maps values (batch, channels, t, h, w) to the variance of each channel (batch, channels)."""
    times = values.shape[2]
    if times == 1:
        return values.var(axis=(2, 3, 4))
    inner = values[:, :, 1:-1] if times > 3 else values
    return inner.var(axis=2).mean(axis=(2, 3))
