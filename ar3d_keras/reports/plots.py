"""The learning curves and the confusion matrix of a run.

Every function builds a matplotlib Figure of its own; `drawing.save` writes one to a file.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.config import Monitor
from ar3d_keras.evaluation.monitor import rank
from ar3d_keras.reports import drawing, fonts
from ar3d_keras.reports.drawing import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

History = Mapping[str, Sequence[float | None]]

ROWS = (("train", "", "#2f6db3"), ("val", "val_", "#d9822b"), ("test", "test_", "#3a8f5c"))
QUANTITIES = ("accuracy", "loss")
DETAILED = 25  # classes up to which the confusion matrix's cells hold their counts
NAMED = 130  # classes up to which its axes hold the class names
LARGEST = 3000  # pixels of its side at most
BANDS = 16  # images that a large one is drawn as
MANY = 8  # trainings up to which each has curves of its own


def curves(
    histories: Mapping[str, History],
    *,
    mark_best: bool = True,
    monitor: Monitor = "val_accuracy",
) -> Figure:
    """Draws the paper's Figure 3: accuracy and loss over the epochs of one or more trainings.

    For one training, rows are train, val and test (those that were measured) and columns accuracy
    and loss. For several, each has a column, and rows are the accuracies, then the losses. More
    than MANY share the panels of one: a line per training, and their mean. A quantity has the same
    scale everywhere, so that trainings can be compared by eye; the dashed line is the epoch with
    the best val accuracy, or what `monitor` says.

    Args:
        histories: name -> {"epoch", "accuracy", "loss", "val_accuracy", ...: one number per
            epoch}. Missing, None and NaN values are left out.
        mark_best: whether to draw the dashed line; a mean of trainings has no best epoch.
        monitor: what makes an epoch the best.

    Raises:
        ValueError: There is nothing to draw.
    """
    rows = [row for row in ROWS if any(_measured(h, row[1]) for h in histories.values())]
    if not rows:
        raise ValueError("The histories hold neither accuracy nor loss of any epoch.")
    if len(histories) > MANY:
        return _crowded_curves(histories, rows)
    cells = [(quantity, row) for quantity in QUANTITIES for row in rows]
    single = len(histories) == 1
    columns, height = (2, 2.25) if single else (len(histories), 1.75)
    down = len(cells) // 2 if single else len(cells)
    width = 9.2 if single else max(1.2 + 3.1 * columns, 6.5)
    figure = drawing.new_figure(width, 0.7 + height * down, layout=drawing.constrained())
    grid = figure.subplots(down, columns, squeeze=False, sharex="col")
    for m, (name, history) in enumerate(histories.items()):
        best = best_epoch(history, monitor) if mark_best else None
        for c, (quantity, (row, prefix, colour)) in enumerate(cells):
            across, r = divmod(c, down) if single else (m, c)
            axes = grid[r, across]
            if r == 0:
                title = quantity if single else fonts.clean(name, 28)
                axes.set_title(title, fontsize=11, fontweight="bold")
            if m == across == 0:
                label = row if single else f"{row} {quantity}"
                axes.set_ylabel(label, fontsize=11, fontweight="bold", color=colour)
            axes.set_ylim(0, _top(histories, quantity))
            _curve(axes, history, prefix + quantity, colour, best)
            if r == down - 1:
                marked = "" if best is None else f"  (dashed: best val, {best:g})"
                axes.set_xlabel(f"epoch{marked}")
    return drawing.finish(figure)


def curves_png(history: History, monitor: Monitor = "val_accuracy") -> bytes:
    """The curves of one training as a PNG: the same bytes for its curves.png and its reports.

    Args:
        history: see `curves`.
        monitor: see `curves`.
    """
    drawn = {"epoch", monitor, *(p + quantity for _, p, _ in ROWS for quantity in QUANTITIES)}
    series = tuple(
        # None is equal to itself, NaN is not.
        (name, tuple(value if value == value else None for value in history[name]))
        for name in sorted(drawn & set(history))
    )
    return _curves_png(series, monitor)


@functools.lru_cache(maxsize=1)  # a training ends with three pictures of the same curves
def _curves_png(
    history: tuple[tuple[str, tuple[float | None, ...]], ...], monitor: Monitor
) -> bytes:
    return drawing.png_bytes(curves({"": dict(history)}, monitor=monitor))


def _crowded_curves(
    histories: Mapping[str, History], rows: Sequence[tuple[str, str, str]]
) -> Figure:
    """Many trainings in the panels of one: thin lines, and a thick one for their mean."""
    figure = drawing.new_figure(9.2, 0.7 + 2.25 * len(rows), layout=drawing.constrained())
    grid = figure.subplots(len(rows), 2, squeeze=False, sharex="col")
    for c, quantity in enumerate(QUANTITIES):
        grid[0, c].set_title(quantity, fontsize=11, fontweight="bold")
        grid[-1, c].set_xlabel(f"epoch  (thick: mean of {len(histories)} trainings)")
        for r, (row, prefix, colour) in enumerate(rows):
            axes = grid[r, c]
            if c == 0:
                axes.set_ylabel(row, fontsize=11, fontweight="bold", color=colour)
            axes.set_ylim(0, _top(histories, quantity))
            series = [_series(history, prefix + quantity) for history in histories.values()]
            for epochs, values in series:
                axes.plot(epochs, values, color=colour, lw=0.7, alpha=0.4)
            _curve(axes, _mean(series), "mean", colour, None)
    return drawing.finish(figure)


def _mean(series: Sequence[tuple[np.ndarray, np.ndarray]]) -> History:
    """The mean of several lines over the epochs that all of them have."""
    series = [(epochs, values) for epochs, values in series if len(epochs)]
    if not series:
        return {}
    known = [dict(zip(epochs, values, strict=True)) for epochs, values in series]
    shared = sorted(set.intersection(*map(set, known)))
    return {"epoch": shared, "mean": [float(np.mean([k[e] for k in known])) for e in shared]}


def drawable(history: History | None) -> bool:
    """Whether `history` holds anything that `curves` can draw."""
    return history is not None and any(_measured(history, prefix) for _, prefix, _ in ROWS)


def confusion(matrix: np.ndarray, class_names: Sequence[str], title: str = "") -> Figure:
    """Draws a confusion matrix: blue cells are right, red cells wrong, deeper colours more often.

    Colours are fractions of the true class's videos (a row) on a square-root scale, so that a few
    mistakes among a hundred classes are still visible. Up to DETAILED classes the cells hold their
    counts, up to NAMED classes the axes hold the names, and beyond that the axes hold the numbers
    of the classes. The picture is at most LARGEST pixels wide, whatever the number of classes.

    Args:
        matrix: (classes, classes) counts, rows true, columns predicted.
        class_names: names in any script; long ones are cut.
        title: a line above the matrix.
    """
    matrix, n = np.asarray(matrix), len(class_names)
    detailed, named = n <= DETAILED, n <= NAMED
    picture = _cells(matrix)
    if named:
        cell = max(0.46 if n > 12 else 0.62, 3.4 / n) if detailed else 0.19  # inches
        side = n * cell
        names = [fonts.clean(name, 26) for name in fonts.class_labels(class_names)]
    else:
        side = len(picture) * max(1, LARGEST // len(picture)) / drawing.DPI
        names = [str(n)]  # the longest number
    size = 10 if detailed else 9.5
    # Placed in inches, not by a layout engine: that takes seconds for two hundred names.
    label = 0.2 + max(map(fonts.display_width, names), default=0) * size * 0.57 / 72
    left = bottom = label + 0.35
    right, top = (1.15, 0.6) if detailed else (label + 1.1, label + 0.55)
    width, height = left + side + right, bottom + side + top
    figure = drawing.new_figure(width, height)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """New axes whose top left corner is x, y inches from the figure's."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    axes = place(left, top, side, side)
    _show_cells(axes, picture, n)
    _add_colour_bars(place, width - 0.95, top + 0.5)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_color("#b8c1cc")
    axes.set_xlabel("predicted", fontsize=11, color=PALE)
    axes.set_ylabel("true", fontsize=11, color=PALE)
    if named:
        _name_axes(axes, names, size)
    else:
        _number_axes(axes, n, size)
    if not detailed:
        axes.tick_params(labeltop=True, labelright=True)
    if detailed:
        _print_counts(axes, matrix)
    figure.text(left / width, 1 - 0.35 / height, fonts.clean(title, 90), size=13, weight="bold")
    return drawing.finish(figure)


def _cells(matrix: np.ndarray) -> np.ndarray:
    """The colours of the cells, uint8 (side, side, 3); a side is at most LARGEST.

    Where there are more classes than that, several share a cell, and it has the deepest of their
    colours: one mistake among thousands of classes stays visible.
    """
    n = len(matrix)
    together = -(-n // LARGEST)
    side = -(-n // together)
    true, predicted = np.nonzero(matrix)
    fractions = matrix[true, predicted] / matrix.sum(axis=1)[true]
    depth = np.sqrt(fractions)
    cells = np.full((side, side, 3), 255, np.uint8)
    order = np.argsort(depth, kind="stable")  # the deepest is written last
    for name, chosen in (("Blues", true == predicted), ("Reds", true != predicted)):
        colours = (_without_white(name)(depth[order]) * 255).round().astype(np.uint8)[:, :3]
        here = chosen[order]
        places = true[order][here] // together, predicted[order][here] // together
        cells[places] = colours[here]
    return cells


def _show_cells(axes: Axes, cells: np.ndarray, n: int) -> None:
    """Shows the cells of `n` classes in bands: matplotlib takes 60 bytes a pixel of one image."""
    height = -(-len(cells) // BANDS)
    size = n / len(cells)  # classes per cell
    for top in range(0, len(cells), height):
        band = cells[top : top + height]
        extent = (-0.5, n - 0.5, (top + len(band)) * size - 0.5, top * size - 0.5)
        axes.imshow(band, interpolation="nearest", extent=extent)
    axes.set_xlim(-0.5, n - 0.5)
    axes.set_ylim(n - 0.5, -0.5)


def _add_colour_bars(place: Callable[..., Axes], left: float, top: float) -> None:
    """Draws the scales of right and wrong cells, `left` and `top` inches from the corner."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import PowerNorm

    for k, (colours, word) in enumerate((("Blues", "right"), ("Reds", "wrong"))):
        bar = place(left + 0.17 * k, top, 0.14, 2)
        scale = ScalarMappable(PowerNorm(0.5, 0, 1), _without_white(colours))
        bar.figure.colorbar(scale, cax=bar, ticks=[0, 0.1, 0.25, 0.5, 1] if k else [])
        bar.tick_params(length=0, labelsize=8, labelcolor=PALE)
        bar.set_yticks(bar.get_yticks(), [f"{100 * tick:.0f} %" for tick in bar.get_yticks()])
        bar.set_title(word, fontsize=8, color=PALE, rotation=90, pad=4)
        bar.spines[:].set_visible(False)


def _series(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs and values of `key` that are numbers, two (n,) float arrays."""
    values = np.array(history.get(key, ()), dtype=np.float64)
    epochs = np.array(history.get("epoch", range(1, len(values) + 1)), dtype=np.float64)
    count = min(len(values), len(epochs))
    known = np.isfinite(values[:count])
    return epochs[:count][known], values[:count][known]


def _measured(history: History, prefix: str) -> bool:
    return any(len(_series(history, prefix + quantity)[0]) for quantity in QUANTITIES)


def best_epoch(history: History, monitor: Monitor = "val_accuracy") -> float | None:
    """The epoch that a run keeps; None if no epoch was evaluated. See `evaluation.monitor`."""
    epochs, _ = _series(history, monitor)
    others = {
        name: dict(zip(*_series(history, name), strict=True))
        for name in (monitor, "val_accuracy", "val_loss")
    }
    # A tie is broken only where the other entry is known.
    worst = {monitor: -np.inf, "val_accuracy": -np.inf, "val_loss": np.inf}
    ranks = [
        rank({name: values.get(epoch, worst[name]) for name, values in others.items()}, monitor)
        for epoch in epochs
    ]
    return float(epochs[ranks.index(max(ranks))]) if ranks else None


def _top(histories: Mapping[str, History], quantity: str) -> float:
    """The upper limit of every plot of `quantity`."""
    highest = max(
        (
            _series(history, prefix + quantity)[1].max(initial=0)
            for history in histories.values()
            for _, prefix, _ in ROWS
        )
    )
    return (min(highest * 1.1, 1.03) if quantity == "accuracy" else highest * 1.08) or 1.0


def _curve(axes: Axes, history: History, key: str, colour: str, best: float | None) -> None:
    """Draws one line, with its last value at its end."""
    from matplotlib.ticker import MaxNLocator

    axes.grid(color="#e6eaef", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color("#b8c1cc")
    axes.tick_params(colors=PALE, labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    epochs, values = _series(history, key)
    if not len(epochs):
        axes.text(0.5, 0.5, "not measured", ha="center", transform=axes.transAxes, color=PALE)
        return
    if best is not None:
        axes.axvline(best, color="#9aa5b1", linewidth=1, linestyle=(0, (4, 3)))
        at_best = epochs == best
        axes.plot(epochs[at_best], values[at_best], "o", color=colour, ms=5, clip_on=False)
    axes.plot(epochs, values, color=colour, lw=1.8, marker="o" if len(epochs) < 3 else "", ms=5)
    near_zero = values[-1] < 0.06 * axes.get_ylim()[1]  # centered it would touch the axis
    axes.annotate(
        f"{values[-1]:.3f}",
        (epochs[-1], values[-1]),
        xytext=(6, 0),
        textcoords="offset points",
        va="bottom" if near_zero else "center",
        fontsize=9,
        color=colour,
        annotation_clip=False,
    )


def _without_white(name: str) -> Colormap:
    """The colour map `name` without its palest quarter, which looks like an empty cell."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[name](np.linspace(0.22, 0.95, 256)))


def _name_axes(axes: Axes, names: Sequence[str], size: float) -> None:
    """Writes the class names along the axes and draws a grid between the cells.

    A large matrix has a darker line every five classes, to guide the eye from a cell to its names.
    """
    n = len(names)
    axes.set_xticks(range(n), names, rotation=90, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.set_xticks(np.arange(0.5, n - 1), minor=True)
    axes.set_yticks(np.arange(0.5, n - 1), minor=True)
    axes.grid(which="minor", color="#e8ecf1", linewidth=0.6)
    if n > DETAILED:
        for place in np.arange(4.5, n - 1, 5):
            axes.axhline(place, color="#b9c3cf", linewidth=0.7)
            axes.axvline(place, color="#b9c3cf", linewidth=0.7)


def _number_axes(axes: Axes, n: int, size: float) -> None:
    """Writes the numbers of some classes, from 1, along the axes, and a line at each."""
    step = next(s for s in (20, 50, 100, 200, 500, 10 ** len(str(n))) if n / s <= 20)
    places = np.arange(step - 1, n, step)
    names = [str(place + 1) for place in places]
    axes.set_xticks(places, names, rotation=90, fontsize=size)
    axes.set_yticks(places, names, fontsize=size)
    axes.grid(color="#e8ecf1", linewidth=0.6, zorder=0)
    axes.set_axisbelow(False)


def _print_counts(axes: Axes, matrix: np.ndarray) -> None:
    """Writes the counts that are not zero into their cells."""
    sums = matrix.sum(axis=1)
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            column,
            row,
            str(int(matrix[row, column])),
            ha="center",
            va="center",
            fontsize=10 if matrix.max() < 1000 else 8,
            fontweight="bold" if row == column else "normal",
            color="white" if matrix[row, column] / sums[row] > 0.3 else INK,
        )
