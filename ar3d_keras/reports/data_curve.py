"""The picture of a learning curve of data."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.evaluation.data_curve import DataCurve
from ar3d_keras.reports import drawing
from ar3d_keras.reports.drawing import INK, PALE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_COLOR = "#3a8f5c"  # that of test in `plots`


def data_curve(curve: DataCurve, title: str) -> Figure:
    """Draws accuracy against the number of training videos, with 95 % intervals.

    Where an extrapolation is justified, a dashed line goes to twice the videos.

    Args:
        curve: at least one point.
        title: what was trained.
    """
    from matplotlib.ticker import NullLocator

    figure = drawing.new_figure(7.2, 4.6, layout=drawing.constrained())
    axes = figure.subplots()
    axes.set_title(title, fontsize=11, fontweight="bold")
    x, y = np.array(curve.videos), np.array(curve.top1)
    for at, value, interval in zip(x, y, curve.intervals, strict=True):
        if interval:
            axes.plot([at, at], interval, color=_COLOR, lw=2, alpha=0.45, solid_capstyle="butt")
        axes.annotate(
            f"{value:.3f}", (at, value), (6, -12), textcoords="offset points", color=INK, fontsize=9
        )
    axes.plot(x, y, color=_COLOR, marker="o", lw=1.8)
    ticks = list(curve.videos)
    if curve.justified and curve.gain is not None and curve.gain_interval is not None:
        ticks.append(2 * x[-1])
        reach = np.clip(y[-1] + np.array(curve.gain_interval), 0, 1)
        axes.plot([x[-1], ticks[-1]], [y[-1], y[-1] + curve.gain], color=PALE, ls="--", lw=1.5)
        axes.plot([ticks[-1]] * 2, reach, color=PALE, lw=2, solid_capstyle="butt")
    axes.set_xscale("log", base=2)
    axes.margins(x=0.12)
    axes.set_xticks(ticks, [f"{tick:.0f}" for tick in ticks])
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_ylim(0, 1.02)
    axes.grid(axis="y", alpha=0.3)
    axes.set_ylabel("top-1 over all test videos")
    sentence = textwrap.fill(curve.sentence, 90)
    axes.set_xlabel(f"training videos of a fold (bars: 95 % over groups)\n{sentence}", fontsize=9)
    return drawing.finish(figure)
