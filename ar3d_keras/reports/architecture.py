"""The paper's Figure 1, drawn from the network: its blocks from top to bottom, branches side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ar3d_keras.reports import drawing, fonts
from ar3d_keras.reports.network_blocks import SIGNS, Block, children_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ACROSS = 8  # lanes beside each other; further networks are drawn below
COLORS = {
    "input": "#eef1f5",
    "convolution": "#dbe9f8",
    "pooling": "#dff1e4",
    "dense": "#fdebd3",
    "gate": "#eadff7",
    "other": "#f3f4f6",
}
# Inches: a box, the distance between two lanes and between two rows.
BOX, TALL, LANE, ROW = 3.25, 0.52, 3.55, 0.8


def draw(networks: Mapping[str, Sequence[Block]]) -> Figure:
    """Draws networks side by side, each from top to bottom.

    Args:
        networks: title -> its blocks.
    """
    shelves = _shelves(networks)
    width = max(sum(LANE * drawn.lanes + 0.3 for drawn in shelf) for shelf in shelves)
    heights = [ROW * max(drawn.rows for drawn in shelf) + 0.5 for shelf in shelves]
    figure = drawing.new_figure(width, sum(heights))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(sum(heights), 0)
    top = 0.0
    for shelf, height in zip(shelves, heights, strict=True):
        left = 0.3
        for drawn in shelf:
            title = fonts.clean(drawn.title, 44 * drawn.lanes)
            axes.text(left, top + 0.25, title, size=12, weight="bold", va="center")
            _draw_one(axes, drawn.blocks, drawn.places, left, top)
            left += LANE * drawn.lanes + 0.3
        top += height
    return drawing.finish(figure)


@dataclass(frozen=True)
class _Placed:
    """A network whose blocks have a (lane, row) each."""

    title: str
    blocks: Sequence[Block]
    places: Sequence[tuple[int, int]]

    @property
    def lanes(self) -> int:
        return 1 + max(lane for lane, _ in self.places)

    @property
    def rows(self) -> int:
        return 1 + max(row for _, row in self.places)


def _shelves(networks: Mapping[str, Sequence[Block]]) -> list[list[_Placed]]:
    """The networks in rows of at most ACROSS lanes, each row with at least one network."""
    shelves: list[list[_Placed]] = []
    for title, found in networks.items():
        drawn = _Placed(title, found, _place(found))
        if not shelves or sum(d.lanes for d in shelves[-1]) + drawn.lanes > ACROSS:
            shelves.append([])
        shelves[-1].append(drawn)
    return shelves


def _place(found: Sequence[Block]) -> list[tuple[int, int]]:
    """(lane, row) of each block: a row below all of its parents, in the first parent's lane.

    Where a block is itself an input of the block that joins its branches, as the features are of
    their product with the gate, the branches are set aside, so that the direct line is straight.
    """
    after = children_of(found)
    places: list[tuple[int, int]] = []
    taken: set[tuple[int, int]] = set()
    for place, block in enumerate(found):
        row = 1 + max((places[p][1] for p in block.parents), default=-1)
        lane = min((places[p][0] for p in block.parents), default=0)
        if len(block.parents) == 1:
            siblings = after[block.parents[0]]
            lane += any(len(found[s].parents) > 1 for s in siblings if s != place)
        while (lane, row) in taken or any(
            places[s][0] == lane
            for p in block.parents
            for s in after[p]
            if s < place and len(block.parents) == 1
        ):
            lane += 1
        places.append((lane, row))
        taken.add((lane, row))
    return places


def _draw_one(
    axes: Axes, found: Sequence[Block], places: Sequence[tuple[int, int]], left: float, top: float
) -> None:
    from matplotlib.patches import Circle, FancyBboxPatch

    def center(place: int) -> tuple[float, float]:
        lane, row = places[place]
        return left + lane * LANE + BOX / 2, top + 0.85 + row * ROW

    def half(place: int) -> float:
        return 0.16 if found[place].kind in SIGNS else TALL / 2

    for place, block in enumerate(found):
        x, y = center(place)
        for parent in block.parents:
            px, py = center(parent)
            start = (px, py + half(parent))
            if px == x:
                between = {
                    q for q, (lane, row) in enumerate(places)
                    if lane == places[place][0] and places[parent][1] < row < places[place][1]
                }  # fmt: skip
                if between:  # around the blocks between them
                    side = x - BOX / 2 - 0.12
                    way = [(px - BOX / 2, py), (side, py), (side, y), (x - _wide(block), y)]
                else:
                    way = [start, (x, y - half(place))]
            elif len(block.parents) > 1:  # into its side
                side = x + _wide(block) * (1 if px > x else -1)
                way = [start, (px, y), (side, y)]
            else:
                middle = py + half(parent) + (ROW - TALL) / 2
                way = [start, (px, middle), (x, middle), (x, y - half(place))]
            _arrow(axes, way)
    for place, block in enumerate(found):
        x, y = center(place)
        if block.kind in SIGNS:
            axes.add_patch(
                Circle((x, y), 0.16, facecolor="white", edgecolor=drawing.INK, lw=1.3, zorder=3)
            )
            axes.text(
                x,
                y,
                SIGNS[block.kind],
                ha="center",
                va="center",
                size=13,
                color=drawing.INK,
                zorder=4,
            )
            continue
        axes.add_patch(
            FancyBboxPatch(
                (x - BOX / 2, y - TALL / 2), BOX, TALL, boxstyle="round,pad=0,rounding_size=0.07",
                facecolor=COLORS[block.kind], edgecolor="#9aa5b1", linewidth=0.9, zorder=3,
            )
        )  # fmt: skip
        shape = " × ".join("?" if n is None else str(n) for n in block.shape)
        first, last, up, down = x - BOX / 2 + 0.1, x + BOX / 2 - 0.1, y - 0.1, y + 0.12
        room = int((BOX - 0.35) * 72 / 5.6)
        name = fonts.clean(block.name, room - len(shape))
        counted = f"{block.parameters:,}" if block.parameters else ""
        text = fonts.clean(block.text, int((BOX - 0.3) * 72 / 4.6) - len(counted))
        line: dict[str, Any] = {"va": "center", "zorder": 4}
        axes.text(first, up, name, size=9.5, weight="bold", color=drawing.INK, **line)
        axes.text(last, up, shape, size=8.5, ha="right", color=drawing.INK, **line)
        axes.text(first, down, text, size=7.8, color=drawing.PALE, **line)
        axes.text(last, down, counted, size=7.8, ha="right", color=drawing.PALE, **line)


def _wide(block: Block) -> float:
    return 0.16 if block.kind in SIGNS else BOX / 2


def _arrow(axes: Axes, way: Sequence[tuple[float, float]]) -> None:
    xs, ys = zip(*way, strict=True)
    axes.plot(xs[:-1], ys[:-1], color="#6b7785", linewidth=1.1, zorder=2)
    axes.annotate(
        "", way[-1], way[-2], zorder=2,
        arrowprops={"arrowstyle": "-|>", "color": "#6b7785", "lw": 1.1, "shrinkA": 0, "shrinkB": 0},
    )  # fmt: skip
