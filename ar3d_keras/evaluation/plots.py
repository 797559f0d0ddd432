"""The pictures of a report: learning curves, confusion matrix, examples with their answers.

Every function builds a matplotlib Figure of its own and touches no global state, so it can
be called from a server or a thread. `save` writes one to a file, `png_bytes` to memory.
"""

from __future__ import annotations

import functools
import io
import os
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ar3d_keras.atomic import replacing
from ar3d_keras.evaluation.metrics import Evaluation, top_k

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

History = Mapping[str, Sequence[float]]

ROWS = (("train", "", "#2f6db3"), ("val", "val_", "#d9822b"), ("test", "test_", "#3a8f5c"))
QUANTITIES = ("accuracy", "loss")
RIGHT, WRONG, OTHER = "#7cc694", "#ef8a80", "#d3dae3"
INK, PALE = "#1f2933", "#6b7785"
# DejaVu Sans has no Hangul, kana or Han; the first of these that is installed lends them.
CJK_FAMILIES = ("Noto Sans CJK", "NanumGothic", "Noto Sans KR", "Malgun Gothic", "Apple SD Gothic")
DETAILED = 25  # up to so many classes, counts are printed in the confusion matrix's cells
FRAMES = 4  # shown of each example, as in the paper's Figure 2


def curves(histories: Mapping[str, History]) -> Figure:
    """Draws the paper's Figure 3: accuracy and loss over the epochs of one or more trainings.

    Rows are train, val and test (those that were measured), columns accuracy and loss of
    each training. A quantity has the same scale everywhere, so that trainings can be
    compared by eye; the dashed line is the epoch with the best val accuracy.

    Args:
        histories: name -> {"epoch", "accuracy", "loss", "val_accuracy", ...: one number an
            epoch}. Missing, None and NaN values are left out.

    Raises:
        ValueError: there is nothing to draw.
    """
    rows = [row for row in ROWS if any(_measured(h, row[1]) for h in histories.values())]
    if not rows:
        raise ValueError("The histories hold neither accuracy nor loss of any epoch.")
    figure = _figure(4.6 * 2 * len(histories), 0.7 + 2.25 * len(rows), layout="constrained")
    grid = figure.subplots(len(rows), 2 * len(histories), squeeze=False, sharex="col")
    for m, (name, history) in enumerate(histories.items()):
        best = _best_epoch(history)
        for r, (row, prefix, colour) in enumerate(rows):
            for q, quantity in enumerate(QUANTITIES):
                axes = grid[r, 2 * m + q]
                title = f"{_clean(name, 44)}\n{quantity}" if len(histories) > 1 else quantity
                axes.set_title(title if r == 0 else "", fontsize=11, fontweight="bold")
                axes.set_ylim(0, _top(histories, quantity))
                _curve(axes, history, prefix + quantity, colour, best)
            grid[r, 2 * m].set_ylabel(row, fontsize=11, fontweight="bold", color=colour)
        for axes in grid[-1, 2 * m : 2 * m + 2]:
            axes.set_xlabel(
                "epoch" + (f"  (dashed: best val, {best:g})" if best is not None else "")
            )
    return _finish(figure)


def drawable(history: History | None) -> bool:
    """Whether `curves` finds anything to draw in `history`."""
    return history is not None and any(_measured(history, prefix) for _, prefix, _ in ROWS)


def confusion(matrix: np.ndarray, classes: Sequence[str], title: str = "") -> Figure:
    """Draws who is taken for whom: blue is right, red is wrong, the deeper the more often.

    Colours are shares of the true class's videos (a row) on a square-root scale, so that a
    few mistakes among a hundred classes are still seen.

    Args:
        matrix: (classes, classes) counts, rows true, columns predicted.
        classes: names, any length or script; long ones are cut with an ellipsis.
        title: a line above the matrix.
    """
    from matplotlib.colors import PowerNorm

    matrix, n = np.asarray(matrix), len(classes)
    large = n > DETAILED
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    cell = max(0.19 if large else 0.46 if n > 12 else 0.62, 3.4 / n)  # inches
    size = 9.5 if large else 10
    names = [_clean(name, 26) for name in classes]
    # Placed in inches, not by a layout engine: that takes seconds for two hundred names.
    label = 0.2 + max(map(_width, names), default=0) * size * 0.57 / 72
    left = bottom = label + 0.35
    right, top = (label + 1.1, label + 0.55) if large else (1.15, 0.6)
    width, height = left + n * cell + right, bottom + n * cell + top
    figure = _figure(width, height)

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
    figure.text(left / width, 1 - 0.35 / height, _clean(title, 90), size=13, weight="bold")
    return _finish(figure)


def examples(
    clips: np.ndarray,
    paths: Sequence[str],
    labels: np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
) -> Figure:
    """Draws the paper's Figure 2: frames of some videos beside the five likeliest classes.

    Green is the true class, red the first answer where it is wrong.

    Args:
        clips: (n, T, H, W, 3) uint8 RGB, n >= 1.
        paths: (n,) names of the videos.
        labels: (n,) indices into `classes`.
        probabilities: (n, classes) in 0..1.
        classes: the names.
    """
    rows, columns = -(-len(clips) // 2), min(2, len(clips))
    strips = [_strip(clip) for clip in clips]
    aspect = strips[0].shape[1] / strips[0].shape[0]
    figure = _figure(6.3 * columns, (0.42 + 4.3 / aspect) * rows + 0.1, layout="constrained")
    figure.get_layout_engine().set(w_pad=0.05, h_pad=0.06, wspace=0.01, hspace=0.01)
    # The bars are as wide as nearly two of the four frames.
    grid = figure.subplots(
        rows, 2 * columns, squeeze=False, width_ratios=[aspect, aspect / FRAMES * 1.8] * columns
    )
    for axes in grid.flat:
        axes.set_axis_off()
    for i, (strip, path, label, answer) in enumerate(
        zip(strips, paths, labels, probabilities, strict=True)
    ):
        # Down the columns, so that the right ones stand left and the wrong ones right.
        film, bars = grid[i % rows, 2 * (i // rows) : 2 * (i // rows) + 2]
        right = top_k(answer[None], 1)[0, 0] == label
        name = _clean(classes[label], 24)
        film.imshow(strip, interpolation="bilinear")
        film.set_title(
            f"{'✓' if right else '✗'} {name}",
            loc="left",
            fontsize=11,
            fontweight="bold",
            color="#1f7a3f" if right else "#b3261e",
        )
        room = 62 - int(1.65 * _width(name))
        film.set_title(_clean(path, room, keep_end=True), loc="right", fontsize=7, color=PALE)
        _bars(bars, answer, int(label), classes)
    return _finish(figure)


def choose_examples(evaluation: Evaluation, right: int = 6, wrong: int = 6) -> np.ndarray:
    """Chooses the videos to show: the surest right answers, then the surest wrong ones.

    Each kind is spread over the true classes: the surest of every class comes before the
    second surest of any. Fewer are returned where there are fewer.

    Returns:
        (at most right + wrong,) int64 indices of videos; the same for the same evaluation.
    """
    sureness = evaluation.probabilities.max(axis=1) if len(evaluation.paths) else np.empty(0)
    chosen = []
    for correct, count in ((True, right), (False, wrong)):
        candidates = np.flatnonzero(evaluation.correct == correct)
        candidates = candidates[np.argsort(-sureness[candidates], kind="stable")]
        seen: dict[int, int] = {}
        turns = []
        for label in evaluation.labels[candidates]:
            turns.append(seen.get(label, 0))
            seen[label] = turns[-1] + 1
        chosen.append(candidates[np.argsort(turns, kind="stable")[:count]])
    return np.concatenate(chosen).astype(np.int64)


def png_bytes(figure: Figure) -> bytes:
    """Renders `figure` as a PNG; the same figure gives the same bytes."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A class name in a script no installed font has shows as boxes; it is no error.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from")
        figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike) -> None:
    """Writes `figure` as a PNG to `path`, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(png_bytes(figure))


def _figure(width: float, height: float, layout: str | None = None) -> Figure:
    """Returns an empty figure of `width` x `height` inches that draws without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=120, layout=layout, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _finish(figure: Figure) -> Figure:
    """Gives every text the fonts that know its script (without touching rcParams)."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        text.set_fontfamily(_families())
    return figure


@functools.cache
def _families() -> list[str]:
    """The fonts to look a glyph up in, in order; only installed ones, or matplotlib complains."""
    from matplotlib import font_manager

    installed = sorted({font.name for font in font_manager.fontManager.ttflist})
    return ["DejaVu Sans"] + [
        next(name for name in installed if name.startswith(family))
        for family in CJK_FAMILIES
        if any(name.startswith(family) for name in installed)
    ]


def _width(text: str) -> int:
    """The width of `text` in Latin letters; a Hangul or Han sign takes two."""
    return sum(1 + (unicodedata.east_asian_width(sign) in "WF") for sign in text)


def _clean(text: str, limit: int, keep_end: bool = False) -> str:
    """One printable line of at most `limit` Latin letters' width, safe from mathtext."""
    text = "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)
    if _width(text) > limit:
        while _width(text) > limit - 1:
            text = text[1:] if keep_end else text[:-1]
        text = "…" + text if keep_end else text + "…"
    return text.replace("$", r"\$")


def _series(history: History, key: str) -> tuple[np.ndarray, np.ndarray]:
    """The epochs and values of `key` that are numbers, two (n,) float arrays."""
    values = np.array(history.get(key, ()), dtype=np.float64)
    epochs = np.array(history.get("epoch", range(1, len(values) + 1)), dtype=np.float64)
    count = min(len(values), len(epochs))
    known = np.isfinite(values[:count])
    return epochs[:count][known], values[:count][known]


def _measured(history: History, prefix: str) -> bool:
    return any(len(_series(history, prefix + quantity)[0]) for quantity in QUANTITIES)


def _best_epoch(history: History) -> float | None:
    epochs, values = _series(history, "val_accuracy")
    return float(epochs[values.argmax()]) if len(values) else None


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


def _strip(clip: np.ndarray) -> np.ndarray:
    """Joins the first, two middle and the last frame side by side: (H, ~4 W, 3) uint8."""
    chosen = np.linspace(0, len(clip) - 1, FRAMES).round().astype(int)
    gap = np.full((clip.shape[1], max(1, clip.shape[2] // 40), 3), 255, np.uint8)
    pieces = [piece for index in chosen for piece in (clip[index], gap)]
    return np.concatenate(pieces[:-1], axis=1)


def _bars(axes: Axes, probabilities: np.ndarray, label: int, classes: Sequence[str]) -> None:
    """Draws the five likeliest classes as bars with their names written on them."""
    best = top_k(probabilities[None], 5)[0]
    colours = [
        RIGHT if c == label else WRONG if rank == 0 else OTHER for rank, c in enumerate(best)
    ]
    axes.barh(range(len(best)), probabilities[best], color=colours, height=0.82)
    for rank, c in enumerate(best):
        weight = "bold" if c == label else "normal"
        axes.text(
            0.035, rank, _clean(classes[c], 22), va="center", fontsize=8.5, color=INK, weight=weight
        )
        axes.text(
            1.02,
            rank,
            f"{100 * probabilities[c]:.1f} %",
            va="center",
            ha="left",
            fontsize=8,
            color=PALE,
        )
    axes.set_xlim(0, 1)
    axes.set_ylim(4.5, -0.5)
