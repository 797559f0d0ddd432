"""Draws a search: the best trial so far, and val top-1 against each option."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.experiments.tuning.results import Result, ranked
from ar3d_keras.experiments.tuning.space import Parameter, shown
from ar3d_keras.reports import drawing, fonts
from ar3d_keras.reports.drawing import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMNS = 3
BEST, FAILED = "#d9822b", "#b3261e"


def draw(results: Sequence[Result], space: Sequence[Parameter]) -> Figure:
    """Draws a panel for the order of the trials and one for each option; a dot is a trial.

    Darker dots trained for more epochs, the best is orange, and crosses below the axis failed.
    Choices are spread a little so that equal trials do not hide each other.

    Args:
        results: the results of the trials; at least one did not fail.
        space: the searched options.
    """
    panels = 1 + len(space)
    rows = math.ceil(panels / COLUMNS)
    layout = drawing.constrained(h_pad=0.12, w_pad=0.06)
    figure = drawing.new_figure(3.7 * COLUMNS, 0.3 + 2.7 * rows, layout)
    grid = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axes in grid[panels:]:
        axes.set_visible(False)
    best = ranked(results)[0]
    tops = [result.top1 for result in results if not result.failed]
    low, high = min(tops), max(tops)
    floor = low - 0.12 * max(high - low, 0.05)
    for number, axes in enumerate(grid[:panels]):
        if number == 0:
            places = [float(result.trial) for result in results]
            _title(axes, "trial")
            _line_of_the_best(axes, places, results)
        else:
            places = _places(axes, results, space[number - 1])
        _dots(axes, places, results, best, floor)
        axes.set_ylim(floor - 0.3 * (low - floor), high + 0.6 * (low - floor))
        if number % COLUMNS == 0:
            axes.set_ylabel("val top-1", color=PALE)
        axes.tick_params(labelsize=8, colors=PALE)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", color="#e8edf3")
        axes.set_axisbelow(True)
    return drawing.finish(figure)


def _title(axes: Axes, text: str) -> None:
    axes.set_title(fonts.clean(text, 36), fontsize=10, fontweight="bold", color=INK)


def _line_of_the_best(axes: Axes, places: Sequence[float], results: Sequence[Result]) -> None:
    tops = [-math.inf if result.failed else result.top1 for result in results]
    so_far = np.maximum.accumulate(tops)
    known = np.isfinite(so_far)
    axes.step(np.array(places)[known], so_far[known], where="post", color=BEST, linewidth=1.5)
    _whole_numbers(axes)


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))


def _places(axes: Axes, results: Sequence[Result], parameter: Parameter) -> list[float]:
    """The position of each trial on the axis of an option."""
    _title(axes, parameter.name)
    values = [result.values[parameter.name] for result in results]
    if parameter.kind != "choice":
        if parameter.kind == "int":
            _whole_numbers(axes)
        elif parameter.log:
            axes.set_xscale("log")
        return [float(value) for value in values]
    choices = list(parameter.values)
    axes.set_xticks(range(len(choices)), [fonts.clean(shown(each), 14) for each in choices])
    axes.set_xlim(-0.6, len(choices) - 0.4)
    seen = [0] * len(choices)
    places = []
    for value in values:
        place = choices.index(value)
        # 0, +1, -1, +2, -2, ...: deterministic.
        n = seen[place] = seen[place] + 1
        places.append(place + 0.05 * (n // 2 % 7) * (-1) ** n)
    return places


def _dots(
    axes: Axes, places: Sequence[float], results: Sequence[Result], best: Result, floor: float
) -> None:
    longest = max(result.epochs for result in results)
    for place, result in zip(places, results, strict=True):
        if result.failed:
            axes.plot(place, floor, "x", color=FAILED, markersize=6)
        elif result is best:
            axes.plot(place, result.top1, "o", color=BEST, markersize=8, zorder=4)
        else:
            shade = 0.25 + 0.65 * result.epochs / longest
            axes.plot(
                place, result.top1, "o", color="#2f6db3", alpha=shade, markersize=5.5, zorder=3
            )
