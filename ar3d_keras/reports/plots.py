"""The curves and the confusion matrix: the pictures that sum a run up.

Every function builds a matplotlib Figure of its own; `drawing.save` writes one to a file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.reports import drawing
from ar3d_keras.reports.drawing import INK, PALE

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Mapping[str, Sequence[float]]

ROWS = (("train", "", "#2f6db3"), ("val", "val_", "#d9822b"), ("test", "test_", "#3a8f5c"))
QUANTITIES = ("accuracy", "loss")
DETAILED = 25  # up to so many classes, counts are printed in the confusion matrix's cells


def curves(histories: Mapping[str, History], *, mark_best: bool = True) -> Figure:
    """Draws the paper's Figure 3: accuracy and loss over the epochs of one or more trainings.

    Of one training, rows are train, val and test (those that were measured), columns accuracy
    and loss. Of several, each has a column, and rows are the accuracies, then the losses. A
    quantity has the same scale everywhere, so that trainings can be compared by eye; the dashed
    line is the epoch with the best val accuracy.

    Args:
        histories: name -> {"epoch", "accuracy", "loss", "val_accuracy", ...: one number an
            epoch}. Missing, None and NaN values are left out.
        mark_best: whether that line is drawn; a mean of trainings has no best epoch.

    Raises:
        ValueError: there is nothing to draw.
    """
    rows = [row for row in ROWS if any(_measured(h, row[1]) for h in histories.values())]
    if not rows:
        raise ValueError("The histories hold neither accuracy nor loss of any epoch.")
    cells = [(quantity, row) for quantity in QUANTITIES for row in rows]
    single = len(histories) == 1
    columns, height = (2, 2.25) if single else (len(histories), 1.75)
    down = len(cells) // 2 if single else len(cells)
    width = 9.2 if single else max(1.2 + 3.1 * columns, 6.5)
    figure = drawing.new_figure(width, 0.7 + height * down, layout="constrained")
    grid = figure.subplots(down, columns, squeeze=False, sharex="col")
    for m, (name, history) in enumerate(histories.items()):
        best = best_epoch(history) if mark_best else None
        for c, (quantity, (row, prefix, colour)) in enumerate(cells):
            across, r = divmod(c, down) if single else (m, c)
            axes = grid[r, across]
            if r == 0:
                title = quantity if single else drawing.clean(name, 28)
                axes.set_title(title, fontsize=11, fontweight="bold")
            if m == across == 0:
                label = row if single else f"{row} {quantity}"
                axes.set_ylabel(label, fontsize=11, fontweight="bold", color=colour)
            axes.set_ylim(0, _top(histories, quantity))
            _curve(axes, history, prefix + quantity, colour, best)
            if r == down - 1:
                told = "" if best is None else f"  (dashed: best val, {best:g})"
                axes.set_xlabel(f"epoch{told}")
    return drawing.finish(figure)


def drawable(history: History | None) -> bool:
    """Whether `curves` finds anything to draw in `history`."""
    return history is not None and any(_measured(history, prefix) for _, prefix, _ in ROWS)


def confusion(matrix: np.ndarray, class_names: Sequence[str], title: str = "") -> Figure:
    """Draws who is taken for whom: blue is right, red is wrong, the deeper the more often.

    Colours are shares of the true class's videos (a row) on a square-root scale, so that a
    few mistakes among a hundred classes are still seen.

    Args:
        matrix: (classes, classes) counts, rows true, columns predicted.
        class_names: names, any length or script; long ones are cut with an ellipsis.
        title: a line above the matrix.
    """
    from matplotlib.colors import PowerNorm

    matrix, n = np.asarray(matrix), len(class_names)
    large = n > DETAILED
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    cell = max(0.19 if large else 0.46 if n > 12 else 0.62, 3.4 / n)  # inches
    size = 9.5 if large else 10
    names = [drawing.clean(name, 26) for name in class_names]
    # Placed in inches, not by a layout engine: that takes seconds for two hundred names.
    label = 0.2 + max(map(drawing.display_width, names), default=0) * size * 0.57 / 72
    left = bottom = label + 0.35
    right, top = (label + 1.1, label + 0.55) if large else (1.15, 0.6)
    width, height = left + n * cell + right, bottom + n * cell + top
    figure = drawing.new_figure(width, height)

    def place(x: float, y: float, w: float, h: float) -> Axes:
        """New axes whose top left corner is x, y inches from the figure's."""
        return figure.add_axes((x / width, 1 - (y + h) / height, w / width, h / height))

    axes = place(left, top, n * cell, n * cell)
    diagonal = np.eye(n, dtype=bool)
    for k, (colours, hidden) in enumerate((("Blues", ~diagonal), ("Reds", diagonal))):
        image = axes.imshow(
            np.ma.masked_array(shares, hidden | (matrix == 0)),
            cmap=_without_white(colours),
            norm=PowerNorm(0.5, 0, 1),
            interpolation="nearest",
        )
        bar = place(width - 0.95 + 0.17 * k, top + 0.5, 0.14, 2)
        figure.colorbar(image, cax=bar, ticks=[0, 0.1, 0.25, 0.5, 1] if k else [])
        bar.tick_params(length=0, labelsize=8, labelcolor=PALE)
        bar.set_yticks(bar.get_yticks(), [f"{100 * tick:.0f} %" for tick in bar.get_yticks()])
        bar.set_title(("right", "wrong")[k], fontsize=8, color=PALE, rotation=90, pad=4)
        bar.spines[:].set_visible(False)
    _name_axes(axes, names, size, large)
    if not large:
        _print_counts(axes, matrix, shares, diagonal)
    figure.text(left / width, 1 - 0.35 / height, drawing.clean(title, 90), size=13, weight="bold")
    return drawing.finish(figure)


def _series(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs and values of `key` that are numbers, two (n,) float arrays."""
    values = np.array(history.get(key, ()), dtype=np.float64)
    epochs = np.array(history.get("epoch", range(1, len(values) + 1)), dtype=np.float64)
    count = min(len(values), len(epochs))
    known = np.isfinite(values[:count])
    return epochs[:count][known], values[:count][known]


def _measured(history: History, prefix: str) -> bool:
    return any(len(_series(history, prefix + quantity)[0]) for quantity in QUANTITIES)


def best_epoch(history: History) -> float | None:
    """The epoch whose network is kept: the best val accuracy, ties to the lower val loss."""
    epochs, values = _series(history, "val_accuracy")
    losses = dict(zip(*_series(history, "val_loss"), strict=True))
    ranks = [(v, -losses.get(e, np.inf)) for e, v in zip(epochs, values, strict=True)]
    return float(epochs[ranks.index(max(ranks))]) if ranks else None


def _top(histories: Mapping[str, History], quantity: str) -> float:
    """The upper limit that every plot of `quantity` shares."""
    highest = max(
        (
            _series(history, prefix + quantity)[1].max(initial=0)
            for history in histories.values()
            for _, prefix, _ in ROWS
        )
    )
    return (min(highest * 1.1, 1.03) if quantity == "accuracy" else highest * 1.08) or 1.0


def _curve(axes: Axes, history: History, key: str, colour: str, best: float | None) -> None:
    """Draws one line, its last value written at its end."""
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
        axes.plot(epochs[epochs == best], values[epochs == best], "o", color=colour, ms=5)
    axes.plot(epochs, values, color=colour, lw=1.8, marker="o" if len(epochs) < 3 else "", ms=5)
    axes.annotate(
        f"{values[-1]:.3f}",
        (epochs[-1], values[-1]),
        xytext=(6, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        color=colour,
        annotation_clip=False,
    )


def _without_white(name: str):
    """The colour map `name` without its palest quarter, which cannot be told from nothing."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps[name](np.linspace(0.22, 0.95, 256)))


def _name_axes(axes: Axes, names: Sequence[str], size: float, large: bool) -> None:
    """Writes the class names along the axes and a grid between the cells.

    A large matrix has them on all four sides and a darker line every five classes, so that
    the eye finds the way from a cell to its names.
    """
    n = len(names)
    axes.set_xticks(range(n), names, rotation=90, fontsize=size)
    axes.set_yticks(range(n), names, fontsize=size)
    axes.set_xticks(np.arange(0.5, n - 1), minor=True)
    axes.set_yticks(np.arange(0.5, n - 1), minor=True)
    axes.grid(which="minor", color="#e8ecf1", linewidth=0.6)
    axes.tick_params(which="both", length=0)
    if large:
        axes.tick_params(labeltop=True, labelright=True)
        for place in np.arange(4.5, n - 1, 5):
            axes.axhline(place, color="#b9c3cf", linewidth=0.7)
            axes.axvline(place, color="#b9c3cf", linewidth=0.7)
    axes.spines[:].set_color("#b8c1cc")
    axes.set_xlabel("predicted", fontsize=11, color=PALE)
    axes.set_ylabel("true", fontsize=11, color=PALE)


def _print_counts(axes: Axes, matrix: np.ndarray, shares: np.ndarray, diagonal: np.ndarray) -> None:
    """Writes the counts that are not zero into their cells."""
    for row, column in zip(*np.nonzero(matrix), strict=True):
        axes.text(
            column,
            row,
            str(int(matrix[row, column])),
            ha="center",
            va="center",
            fontsize=10 if matrix.max() < 1000 else 8,
            fontweight="bold" if diagonal[row, column] else "normal",
            color="white" if shares[row, column] > 0.3 else INK,
        )
