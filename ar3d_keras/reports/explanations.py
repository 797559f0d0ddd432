"""What explains a network's answers to some videos, as frames to be looked at."""

from collections.abc import Iterator, Sequence

import keras
import numpy as np

from ar3d_keras.explanation.attention_map import find_gate
from ar3d_keras.explanation.explain import explain, responsive_channels
from ar3d_keras.explanation.grad_cam import grad_cam
from ar3d_keras.explanation.heat_map import blend, stretched
from ar3d_keras.reports import drawing
from ar3d_keras.reports.explanation_sheet import Explanations

FRAMES = 6  # shown of each clip
ENDS = 2  # frames at each end that are not: there a gate sees what lies beyond the clip, black
CHANNELS = 2  # of the gate, shown beside its mean


def explain_videos(
    network: keras.Model, clips: np.ndarray, answers: np.ndarray, class_names: Sequence[str]
) -> Explanations:
    """Explains a network's answers, one clip at a time.

    Args:
        network: from clips to class probabilities.
        clips: uint8 (n, T, H, W, C), n >= 1; of channels beyond RGB nothing is shown.
        answers: int (n,), the classes that Grad-CAM explains.
        class_names: the names of the network's outputs.
    """
    kind = "Grad-CAM" if find_gate(network) is None else "attention"
    return Explanations(
        kind,
        tuple(
            tuple(_rows(network, clip, answer, drawing.clean(class_names[answer], 14)))
            for clip, answer in zip(clips, answers, strict=True)
        ),
    )


def _rows(
    network: keras.Model, clip: np.ndarray, answer: int, name: str
) -> Iterator[tuple[str, np.ndarray]]:
    inner = np.arange(len(clip))[ENDS:-ENDS] if len(clip) > 2 * ENDS + 1 else np.arange(len(clip))
    middles = (2 * np.arange(FRAMES) + 1) * len(inner) // (2 * FRAMES)
    shown = inner[np.unique(middles)]  # of a shorter clip, every frame
    frames, batch = clip[shown, ..., :3], clip[None]

    def spread(name: str, values: np.ndarray) -> tuple[str, np.ndarray]:
        values, (low, high) = stretched(values)
        return f"{name}\n{low:.2f} to {high:.2f}", blend(frames, values[shown])

    yield "video", frames
    if find_gate(network) is not None:
        yield spread("attention", explain(network, batch).maps[0])
        channels, maps = responsive_channels(network, batch, CHANNELS)
        for channel, values in zip(channels[0], maps[0], strict=True):
            yield spread(f"channel {channel}", values)
    yield spread(f"Grad-CAM of\n{name}", grad_cam(network, batch, np.array([answer]))[0])
