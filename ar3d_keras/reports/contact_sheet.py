"""Draws a contact sheet: clips as the network gets them, one per row, frames from left to right."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.reports import drawing, fonts

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FRAMES = 8  # per clip, including the first and the last
FRAME = 110  # approximate width of a frame in pixels; small clips are enlarged
LARGEST = 440  # pixels of a frame's side; of larger clips every 2nd, 3rd, ... pixel is shown
ABOVE, BELOW, BESIDE = 34, 32, 12  # pixels, for the text and the margin


@dataclass(frozen=True)
class Row:
    """A clip and its captions.

    Attributes:
        clip: (T, H, W, 3) uint8 RGB.
        label: the class, or the classes of a mixed clip.
        path: the video's name.
        view: how the clip was cut out of the video and augmented.
    """

    clip: np.ndarray
    label: str
    path: str
    view: str


def draw_clips(rows: Sequence[Row]) -> Figure:
    """Draws one or more rows; all clips have one shape. Pixels are shown without interpolation."""
    strips = [strip(row.clip) for row in rows]
    height, width = strips[0].shape[:2]
    pitch = ABOVE + height + BELOW
    whole = pitch * len(rows), width + 2 * BESIDE
    figure = drawing.new_figure(whole[1] / 120, whole[0] / 120)
    for place, (row, picture) in enumerate(zip(rows, strips, strict=True)):
        bottom = whole[0] - place * pitch - ABOVE - height
        axes = figure.add_axes(
            (BESIDE / whole[1], bottom / whole[0], width / whole[1], height / whole[0])
        )
        drawing.hide_axis(axes)
        axes.imshow(picture, interpolation="nearest", aspect="auto")
        letters = width / 6.9  # the letters of `view` that fit
        label = fonts.clean(row.label, int(letters / 2))
        axes.set_title(label, loc="left", fontsize=10, fontweight="bold", color=drawing.INK, pad=4)
        room = int(letters * 1.07 - 1.6 * fonts.display_width(label))
        path = fonts.clean(row.path, max(room, 12), keep_end=True)
        axes.set_title(path, loc="right", fontsize=7, color=drawing.PALE, pad=4)
        view = fonts.clean(row.view, int(letters))
        below = 1 + 7 / height  # in fractions of the picture's height, from its top
        axes.text(
            0, 1 - below, view, transform=axes.transAxes, fontsize=7.5, color=drawing.PALE, va="top"
        )
    return drawing.finish(figure)


def strip(clip: np.ndarray) -> np.ndarray:
    """Joins up to FRAMES frames, spread evenly, side by side: (H, ~n W, 3) uint8, enlarged."""
    chosen = np.linspace(0, len(clip) - 1, min(FRAMES, len(clip))).round().astype(int)
    side = max(clip.shape[1:3])
    step = -(-side // LARGEST)
    larger = max(1, min(round(FRAME / clip.shape[2]), LARGEST // side))
    frames = clip[chosen, ::step, ::step].repeat(larger, axis=1).repeat(larger, axis=2)
    gap = np.full((frames.shape[1], 4, 3), 255, np.uint8)
    pieces = [piece for frame in frames for piece in (frame, gap)]
    return np.concatenate(pieces[:-1], axis=1)
