"""The paper's Figure 1, drawn from the network: its layers, their shapes, the gate's branch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ar3d_keras.models.layers import AttentionGate
from ar3d_keras.reports import drawing, fonts

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# With more blocks than this, branches that meet again and repeated layers are drawn as one block.
READABLE = 18
INLINE = 24  # a nested network with at most this many layers is drawn layer by layer
ACROSS = 8  # lanes beside each other; further networks are drawn below
QUIET = {
    "Activation", "BatchNormalization", "Dropout", "LayerNormalization", "LeakyReLU",
    "LocalResponseNormalization", "ReLU", "Rescaling", "Softmax", "SpatialDropout3D",
}  # fmt: skip
SIGNS = {"Multiply": "×", "Add": "+", "Subtract": "−"}
COLOURS = {
    "input": "#eef1f5",
    "convolution": "#dbe9f8",
    "pooling": "#dff1e4",
    "dense": "#fdebd3",
    "gate": "#eadff7",
    "other": "#f3f4f6",
}
# Inches: a box, the distance between two lanes and between two rows.
BOX, TALL, LANE, ROW = 3.25, 0.52, 3.55, 0.8


@dataclass(frozen=True)
class Block:
    """One box of the drawing.

    Attributes:
        name: the layer's name.
        kind: a key of COLOURS, or of SIGNS for a small circle.
        text: what the layer does.
        shape: the shape of its output, without the batch.
        parameters: the number of parameters of all its layers.
        parents: indices of the blocks that it takes its input from; all are smaller than its own.
        layers: the number of layers that it stands for.
    """

    name: str
    kind: str
    text: str
    shape: tuple[int | None, ...]
    parameters: int
    parents: tuple[int, ...]
    layers: int = 1


def blocks(network: keras.Model) -> list[Block]:
    """Returns the blocks of a functional network, inputs first.

    Reshaping, slicing and arithmetic with constants are left out; normalization, activation and
    dropout layers are named in the block before them.
    """
    found = _absorb_quiet(_layers(network))
    if len(found) > READABLE:
        found = _fold_branches(found)
    if len(found) > READABLE:
        found = _fold_repeats(found)
    return _open_gates(found)


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


# From the network to blocks


def _layers(network: keras.Model) -> list[Block]:
    """A block for every layer, and for every operation that joins the outputs of several layers."""
    found: list[Block] = []

    def source(tensor: Any, known: dict) -> tuple[int, ...]:
        """The indices of the blocks that a tensor comes from."""
        history = tensor._keras_history
        key = id(history.operation), history.node_index
        if key not in known:
            known[key] = sources(history.operation, history.node_index, known)
        return known[key]

    def sources(operation: Any, node_index: int, known: dict) -> tuple[int, ...]:
        inputs = operation._inbound_nodes[node_index].input_tensors
        parents = _unique(place for tensor in inputs for place in source(tensor, known))
        if _is_network(operation) and len(operation.layers) <= INLINE:
            inside = {
                (id(inner._keras_history.operation), inner._keras_history.node_index): source(
                    outer, known
                )
                for inner, outer in zip(operation.inputs, inputs, strict=True)
            }
            return _unique(place for out in operation.outputs for place in source(out, inside))
        if not hasattr(operation, "weights") and len(parents) < 2:
            return parents  # slicing, reshaping or arithmetic with a constant
        output = operation._inbound_nodes[node_index].output_tensors[0]
        found.append(_block(operation, tuple(output.shape[1:]), parents))
        return (len(found) - 1,)

    known: dict = {}
    for output in network.outputs:
        source(output, known)
    return found


def _is_network(operation: Any) -> bool:
    return hasattr(operation, "layers") and hasattr(operation, "outputs")


def _unique(places: Iterable[int]) -> tuple[int, ...]:
    return tuple(dict.fromkeys(places))


def _block(layer: Any, shape: tuple, parents: tuple[int, ...]) -> Block:
    name = type(layer).__name__
    parameters = layer.count_params() if hasattr(layer, "count_params") else 0
    kind = next(
        (
            kind
            for kind, sign in (
                ("input", "Input"), ("convolution", "Conv"), ("pooling", "Pool"), ("dense", "Dense"),
                ("gate", "AttentionGate"),
            )
            if sign in name
        ),
        name if name in SIGNS else "other",
    )  # fmt: skip
    if isinstance(layer, AttentionGate):
        text = f"{_text(layer.convolution)}, sigmoid"
    elif kind == "input":
        text = "the clip, 0..255"
    elif _is_network(layer):
        text = f"a network of {len(layer.layers)} layers"
    else:
        text = _text(layer)
    return Block(layer.name, kind, text, shape, parameters, parents)


def _text(layer: Any) -> str:
    """Describes a layer in a few words: Conv3D 3×3×3, relu."""
    words = type(layer).__name__
    size = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if size is not None:
        words += " " + "×".join(map(str, size if isinstance(size, Sequence) else (size,)))
    if (strides := getattr(layer, "strides", None)) and set(strides) != {1} and strides != size:
        words += ", stride " + "×".join(map(str, strides))
    if hasattr(layer, "units"):
        words += f" {layer.units}"
    if hasattr(layer, "rate"):
        words += f" {layer.rate:g}"
    activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
    return words if activation == "linear" else f"{words}, {activation}"


def _short(text: str) -> str:
    """Shortens the description of a layer that is named beside another."""
    for long, short in (("BatchNormalization", "norm"), ("Activation, ", ""), ("ReLU", "relu")):
        text = text.replace(long, short)
    return text[:1].lower() + text[1:]


# Fewer blocks


def _fuse(found: list[Block], members: Sequence[int], **changes: Any) -> list[Block]:
    """Joins `members` into one block at the place of the last; no other block takes their outputs."""
    last, inside = max(members), set(members)
    outside = _unique(p for m in sorted(inside) for p in found[m].parents if p not in inside)
    parts = [found[m] for m in sorted(inside)]
    one = replace(
        found[last],
        parents=outside,
        parameters=sum(part.parameters for part in parts),
        layers=sum(part.layers for part in parts),
        **changes,
    )
    kept = [place for place in range(len(found)) if place == last or place not in inside]
    new = {old: place for place, old in enumerate(kept)} | dict.fromkeys(inside, kept.index(last))
    rebuilt = [one if old == last else found[old] for old in kept]
    return [replace(b, parents=_unique(new[p] for p in b.parents)) for b in rebuilt]


def _children(found: Sequence[Block]) -> list[list[int]]:
    children: list[list[int]] = [[] for _ in found]
    for place, block in enumerate(found):
        for parent in block.parents:
            children[parent].append(place)
    return children


def _absorb_quiet(found: list[Block]) -> list[Block]:
    place = 0
    while place < len(found):
        block, children = found[place], _children(found)
        parent = block.parents[0] if len(block.parents) == 1 else None
        if (
            block.text.split()[0].strip(",") in QUIET
            and parent is not None
            and children[parent] == [place]
            and found[parent].kind != "gate"
        ):
            before = found[parent]
            text = f"{before.text} · {_short(block.text)}"
            found = _fuse(found, (parent, place), name=before.name, kind=before.kind, text=text)
        else:
            place += 1
    return found


def _fold_branches(found: list[Block]) -> list[Block]:
    """Joins a fork whose branches all meet again, unless that is more than half the network."""
    place = 0
    while place < len(found):
        members = _meeting(found, place)
        if 0 < len(members) <= len(found) / 2:
            parts = [found[m] for m in members]
            kinds = Counter(
                part.text.split()[0].strip(",") for part in parts if len(part.parents) == 1
            )
            named = [part.name for part in parts if part.kind not in SIGNS]
            name = _common_start(named) or parts[-1].name
            text = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common(3))
            kind = "convolution" if "Conv" in text else "other"
            found = _fuse(found, members, name=name, kind=kind, text=text)
        place += 1
    return found


def _common_start(names: Sequence[str]) -> str:
    """The common start of names: Mixed_3b for Mixed_3b_a and Mixed_3b_b."""
    if len(names) < 2:
        return "".join(names)
    first, last = min(names), max(names)
    same = next(
        (n for n, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), len(first)
    )
    return first[:same].rstrip("_-")


def _meeting(found: Sequence[Block], fork: int) -> list[int]:
    """The blocks after a fork up to the one where all its branches meet; none if they do not."""
    children = _children(found)
    if len(children[fork]) < 2:
        return []
    inside: set[int] = set()
    for place in range(fork + 1, len(found)):
        block = found[place]
        if not set(block.parents) & (inside | {fork}):
            continue  # of another branch of the network
        if not set(block.parents) <= inside | {fork}:
            return []  # it has an input from outside the fork
        inside.add(place)
        ways = set(children[fork]).union(*(children[m] for m in inside - {place}))
        if len(block.parents) > 1 and ways <= inside:
            return sorted(inside)
    return []


def _fold_repeats(found: list[Block]) -> list[Block]:
    """Joins each block with the one before, where both have the same kind and shape."""
    place = 0
    while place < len(found):
        block, children = found[place], _children(found)
        parent = found[block.parents[0]] if len(block.parents) == 1 else None
        if (
            parent is not None
            and children[block.parents[0]] == [place]
            and (parent.kind, parent.shape) == (block.kind, block.shape)
            and block.kind not in ("gate", *SIGNS)
        ):
            first = parent.name.split(" … ")[0]
            text = (
                f"{parent.layers + block.layers} layers"
                if parent.text != block.text
                else block.text
            )
            found = _fuse(
                found, (block.parents[0], place), name=f"{first} … {block.name}", text=text
            )
        else:
            place += 1
    return found


def _open_gates(found: list[Block]) -> list[Block]:
    """Draws a gate as a branch from the features and a multiplication with them."""
    opened: list[Block] = []
    new: dict[int, int] = {}
    for place, block in enumerate(found):
        parents = tuple(new[p] for p in block.parents)
        opened.append(replace(block, parents=parents))
        if block.kind == "gate":
            branch = len(opened) - 1
            opened.append(Block("", "Multiply", "", block.shape, 0, (*parents, branch)))
        new[place] = len(opened) - 1
    return opened


# From blocks to the figure


def _place(found: Sequence[Block]) -> list[tuple[int, int]]:
    """(lane, row) of each block: a row below all of its parents, in the first parent's lane.

    Where a block is itself an input of the block that joins its branches, as the features are of
    their product with the gate, the branches are set aside, so that the direct line is straight.
    """
    children = _children(found)
    places: list[tuple[int, int]] = []
    taken: set[tuple[int, int]] = set()
    for place, block in enumerate(found):
        row = 1 + max((places[p][1] for p in block.parents), default=-1)
        lane = min((places[p][0] for p in block.parents), default=0)
        if len(block.parents) == 1:
            siblings = children[block.parents[0]]
            lane += any(len(found[s].parents) > 1 for s in siblings if s != place)
        while (lane, row) in taken or any(
            places[s][0] == lane
            for p in block.parents
            for s in children[p]
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

    def centre(place: int) -> tuple[float, float]:
        lane, row = places[place]
        return left + lane * LANE + BOX / 2, top + 0.85 + row * ROW

    def half(place: int) -> float:
        return 0.16 if found[place].kind in SIGNS else TALL / 2

    for place, block in enumerate(found):
        x, y = centre(place)
        for parent in block.parents:
            px, py = centre(parent)
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
        x, y = centre(place)
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
                facecolor=COLOURS[block.kind], edgecolor="#9aa5b1", linewidth=0.9, zorder=3,
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
