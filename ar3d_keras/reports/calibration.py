"""The reliability diagram of a report."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.evaluation.calibration import BINS, confidence_of, reliability
from ar3d_keras.evaluation.metrics import Evaluation
from ar3d_keras.inference.calibration import Calibration
from ar3d_keras.reports import drawing
from ar3d_keras.reports.drawing import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOR = "#2f6db3"


def draw_reliability(evaluation: Evaluation, calibration: Calibration | None) -> Figure:
    """Draws accuracy against confidence, before and, with a calibration, after it."""
    panels: list[tuple[str, Calibration | None]] = [("as predicted", None)]
    if calibration is not None:
        panels.append((f"temperature {calibration.temperature:.3g}", calibration))
    figure = drawing.new_figure(4.6 * len(panels), 4.4, drawing.constrained(w_pad=0.1))
    for axes, (name, fitted) in zip(
        figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True
    ):
        _draw_panel(axes, name, confidence_of(evaluation, fitted), evaluation.correct)
    return drawing.finish(figure)


def _draw_panel(axes: Axes, name: str, confidence: np.ndarray, correct: np.ndarray) -> None:
    bins = reliability(confidence, correct)
    filled = bins.counts > 0
    middles = (np.arange(BINS) + 0.5) / BINS
    axes.plot([0, 1], [0, 1], color=PALE, linewidth=1, linestyle="--")
    axes.bar(middles[filled], bins.accuracy[filled], 0.9 / BINS, color=COLOR, alpha=0.35)
    # The area of a dot is in proportion to the videos of its bin.
    sizes = 12 + 200 * bins.counts[filled] / bins.counts.sum()
    axes.scatter(bins.confidence[filled], bins.accuracy[filled], sizes, color=COLOR, zorder=3)
    axes.set(xlim=(0, 1), ylim=(0, 1.03), aspect="equal")
    axes.set_xlabel("confidence", color=INK)
    axes.set_ylabel("accuracy", color=INK)
    axes.set_title(f"{name}: calibration error {100 * bins.error:.1f} %", color=INK, fontsize=10)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
