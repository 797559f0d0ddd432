"""Draws frames of some videos, and below them the maps that explain the network's predictions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from ar3d_keras.reports import drawing
from ar3d_keras.reports.examples import title

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAME, TALL, GAP = (
    84,
    168,
    3,
)  # pixels: a frame's largest width and height, and the gap between frames
NAMES, ABOVE, BELOW, BESIDE = 104, 32, 14, 12  # pixels, for the text and the margins

CAPTIONS = {
    "attention": (
        "Attention is the gate's mean over its channels; below it are the channels that change "
        "most in time, then the Grad-CAM map of the predicted class. "
    ),
    "Grad-CAM": "Below each video is the Grad-CAM map of the predicted class. ",
}
READING = (
    "Hot colors are high values; where a map is cold, the video is visible. The numbers beside a map "
    "are the values of cold and hot, its 1st and 99th percentile. A map shows where the network "
    "responds, not why: bright areas and edges attract even an untrained network."
)


@dataclass(frozen=True)
class Explanations:
    """The maps that explain a network's predictions for some videos.

    Attributes:
        kind: the kind of the first map.
        rows: for each video, the name of each row and its frames, uint8 (n, H, W, 3); the video
            itself comes first.
    """

    kind: Literal["attention", "Grad-CAM"]
    rows: tuple[tuple[tuple[str, np.ndarray], ...], ...]

    @property
    def caption(self) -> str:
        """What the maps are and how to read them."""
        return CAPTIONS[self.kind] + READING


def draw_explanations(
    explanations: Explanations,
    paths: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> Figure:
    """Draws one block per video, in two columns.

    Args:
        explanations: those of n videos, all of one frame size.
        paths: (n,) names of the videos.
        labels: (n,) indices into `class_names`.
        probabilities: (n, classes) in 0..1.
        class_names: the class names.
    """
    blocks = explanations.rows
    across = min(2, len(blocks))
    down = -(-len(blocks) // across)
    rows = max(map(len, blocks))
    count, height, width = blocks[0][0][1].shape[:3]
    scale = min(FRAME / width, TALL / height)
    high = max(8, round(height * scale))
    wide = count * (max(8, round(width * scale)) + GAP) - GAP
    pitch = BESIDE + NAMES + wide, ABOVE + rows * (high + GAP) + BELOW
    whole = across * pitch[0] + BESIDE, down * pitch[1]
    figure = drawing.new_figure(whole[0] / 120, whole[1] / 120)
    for place, block in enumerate(blocks):
        # Column by column, as in the examples: right predictions left, wrong ones right.
        left = place // down * pitch[0] + BESIDE + NAMES
        top = place % down * pitch[1] + ABOVE
        # One Axes for all rows of a block: each Axes takes longer than its picture.
        tall = len(block) * (high + GAP) - GAP
        bottom = whole[1] - top - tall
        axes = figure.add_axes(
            (left / whole[0], bottom / whole[1], wide / whole[0], tall / whole[1])
        )
        drawing.hide_axis(axes)
        for row, (name, frames) in enumerate(block):
            low = tall - row * (high + GAP) - high
            extent = (0, wide, low, low + high)
            axes.imshow(_strip(frames), aspect="auto", interpolation="antialiased", extent=extent)
            axes.text(
                -8, low + high / 2, name, ha="right", va="center",
                fontsize=7.5, color=drawing.INK if row == 0 else drawing.PALE,
            )  # fmt: skip
        axes.set(xlim=(0, wide), ylim=(0, tall))
        title(axes, paths[place], int(labels[place]), probabilities[place], class_names)
    return drawing.finish(figure)


def _strip(frames: np.ndarray) -> np.ndarray:
    """Joins frames side by side: uint8 (H, ~n W, 3)."""
    gap = np.full((len(frames), frames.shape[1], max(1, frames.shape[2] * GAP // FRAME), 3), 255)
    spaced = np.concatenate([frames, gap.astype(np.uint8)], axis=2)
    return np.concatenate(list(spaced), axis=1)[:, : -gap.shape[2]]
