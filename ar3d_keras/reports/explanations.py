"""Computes the maps that explain a network's predictions, as frames for a picture."""

from collections.abc import Iterator, Sequence
from typing import Literal

import keras
import numpy as np

from ar3d_keras.explanation.attention_map import find_gate
from ar3d_keras.explanation.explain import gate_maps
from ar3d_keras.explanation.grad_cam import grad_cam
from ar3d_keras.explanation.heat_map import blend, stretched
from ar3d_keras.reports import fonts
from ar3d_keras.reports.explanation_sheet import Explanations

FRAMES = 6  # per clip
ENDS = 2  # frames left out at each end: there a gate sees the zero padding beyond the clip
CHANNELS = 2  # of the gate, below its mean


def explain_videos(
    network: keras.Model, clips: np.ndarray, predicted: np.ndarray, class_names: Sequence[str]
) -> Explanations:
    """Explains a network's predictions, one clip at a time.

    Args:
        network: from clips to class probabilities.
        clips: uint8 (n, T, H, W, C), n >= 1; channels beyond RGB are not shown.
        predicted: int (n,), the classes that Grad-CAM explains.
        class_names: the names of the network's outputs.
    """
    kind: Literal["attention", "Grad-CAM"] = (
        "Grad-CAM" if find_gate(network) is None else "attention"
    )
    return Explanations(
        kind,
        tuple(
            tuple(_rows(network, clip, int(c), fonts.clean(fonts.class_label(class_names, c), 14)))
            for clip, c in zip(clips, predicted, strict=True)
        ),
    )


def _rows(
    network: keras.Model, clip: np.ndarray, predicted: int, name: str
) -> Iterator[tuple[str, np.ndarray]]:
    inner = np.arange(len(clip))[ENDS:-ENDS] if len(clip) > 2 * ENDS + 1 else np.arange(len(clip))
    middles = (2 * np.arange(FRAMES) + 1) * len(inner) // (2 * FRAMES)
    shown = inner[np.unique(middles)]  # every frame of a shorter clip
    frames, batch = clip[shown, ..., :3], clip[None]

    def spread(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
        values, (low, high) = stretched(values)
        return f"{name}\n{low:.2f} to {high:.2f}", blend(frames, values[shown])

    yield "video", frames
    if find_gate(network) is not None:
        found = gate_maps(network, batch, CHANNELS)
        yield spread("attention", found.attention[0])
        for channel, values in zip(found.channels[0], found.maps[0], strict=True):
            yield spread(f"channel {channel}", values)
    yield spread(f"Grad-CAM of\n{name}", grad_cam(network, batch, np.array([predicted]))[0])
