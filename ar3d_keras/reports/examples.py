"""The paper's Figure 2: frames of some videos beside their five most likely classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.evaluation.metrics import Evaluation, top_k
from ar3d_keras.reports import drawing, fonts

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

RIGHT, WRONG, OTHER = "#7cc694", "#ef8a80", "#d3dae3"
FRAMES = 4  # per example, as in the paper
WIDEST, TALLEST = 12.0, 1.2  # width / height of a strip of frames is kept between these


def choose_examples(evaluation: Evaluation, right: int = 6, wrong: int = 6) -> np.ndarray:
    """Chooses the videos to show: the most confident right predictions, then wrong ones.

    Each kind is spread over the true classes: the most confident of every class comes before the
    second of any. Fewer are returned where there are fewer.

    Returns:
        (at most right + wrong,) int64 indices of videos; deterministic.
    """
    confidence = evaluation.probabilities.max(axis=1) if len(evaluation.paths) else np.empty(0)
    chosen = []
    for correct, count in ((True, right), (False, wrong)):
        candidates = np.flatnonzero(evaluation.correct == correct)
        candidates = candidates[np.argsort(-confidence[candidates], kind="stable")]
        seen: dict[int, int] = {}
        turns = []
        for label in evaluation.labels[candidates]:
            turns.append(seen.get(label, 0))
            seen[label] = turns[-1] + 1
        chosen.append(candidates[np.argsort(turns, kind="stable")[:count]])
    return np.concatenate(chosen).astype(np.int64)


def draw_examples(
    clips: np.ndarray,
    paths: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> Figure:
    """Draws the paper's Figure 2: frames of some videos beside their five most likely classes.

    Green is the true class, red the most likely class where it is wrong.

    Args:
        clips: (n, T, H, W, C) uint8, n >= 1; channels beyond RGB are not drawn.
        paths: (n,) names of the videos.
        labels: (n,) indices into `class_names`.
        probabilities: (n, classes) in 0..1.
        class_names: the class names.
    """
    rows, columns = -(-len(clips) // 2), min(2, len(clips))
    strips = [_strip(clip[..., :3]) for clip in clips]
    aspect = min(max(strips[0].shape[1] / strips[0].shape[0], TALLEST), WIDEST)
    layout = drawing.constrained(w_pad=0.05, h_pad=0.06, wspace=0.01, hspace=0.01)
    figure = drawing.new_figure(6.3 * columns, (0.42 + 4.3 / aspect) * rows + 0.1, layout=layout)
    # The bars are nearly as wide as two of the four frames.
    grid = figure.subplots(
        rows, 2 * columns, squeeze=False, width_ratios=[aspect, aspect / FRAMES * 1.8] * columns
    )
    for axes in grid.flat:
        drawing.hide_axis(axes)
    for i, (strip, path, label, shares) in enumerate(
        zip(strips, paths, labels, probabilities, strict=True)
    ):
        # Column by column: right predictions on the left, wrong ones on the right.
        film, bars = grid[i % rows, 2 * (i // rows) : 2 * (i // rows) + 2]
        film.imshow(strip, interpolation="bilinear")
        title(film, path, int(label), shares, class_names)
        _bars(bars, shares, int(label), class_names)
    return drawing.finish(figure)


def title(
    axes: Axes, path: str, label: int, probabilities: np.ndarray, class_names: Sequence[str]
) -> None:
    """Writes the true class, whether the prediction is right, and the video above its frames.

    Args:
        axes: about 4.3 inches wide.
        path: the video's name.
        label: index into `class_names`.
        probabilities: (classes,) in 0..1.
        class_names: the class names.
    """
    right = top_k(probabilities[None], 1)[0, 0] == label
    name = fonts.clean(fonts.class_label(class_names, label), 24)
    axes.set_title(
        f"{'✓' if right else '✗'} {name}",
        loc="left",
        fontsize=11,
        fontweight="bold",
        color="#1f7a3f" if right else "#b3261e",
    )
    room = 62 - int(1.65 * fonts.display_width(name))
    axes.set_title(
        fonts.clean(path, room, keep_end=True), loc="right", fontsize=7, color=drawing.PALE
    )


def _strip(clip: np.ndarray) -> np.ndarray:
    """Joins the first, two middle and the last frame side by side: (H, ~4 W, 3) uint8."""
    chosen = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    gap = np.full((clip.shape[1], max(1, clip.shape[2] // 40), 3), 255, np.uint8)
    pieces = [piece for index in chosen for piece in (clip[index], gap)]
    return np.concatenate(pieces[:-1], axis=1)


def _bars(axes: Axes, probabilities: np.ndarray, label: int, class_names: Sequence[str]) -> None:
    """Draws the five most likely classes as bars with their names on them."""
    best = top_k(probabilities[None], 5)[0]
    colours = [
        RIGHT if c == label else WRONG if rank == 0 else OTHER for rank, c in enumerate(best)
    ]
    axes.barh(range(len(best)), probabilities[best], color=colours, height=0.82)
    for rank, c in enumerate(best):
        weight = "bold" if c == label else "normal"
        axes.text(
            0.035,
            rank,
            fonts.clean(fonts.class_label(class_names, c), 22),
            va="center",
            fontsize=8.5,
            color=drawing.INK,
            weight=weight,
        )
        axes.text(
            1.02,
            rank,
            f"{100 * probabilities[c]:.1f} %",
            va="center",
            ha="left",
            fontsize=8,
            color=drawing.PALE,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(4.5, -0.5)
