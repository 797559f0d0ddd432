"""A functional network as blocks of a drawing: its layers, their shapes, the gate's branch."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from ar3d_keras.models.layers import AttentionGate

if TYPE_CHECKING:
    import keras

# With more blocks than this, branches that meet again and repeated layers are drawn as one block.
READABLE = 18
INLINE = 24  # a nested network with at most this many layers is drawn layer by layer
QUIET = {
    "Activation", "BatchNormalization", "Dropout", "LayerNormalization", "LeakyReLU",
    "LocalResponseNormalization", "ReLU", "Rescaling", "Softmax", "SpatialDropout3D",
}  # fmt: skip
SIGNS = {"Multiply": "×", "Add": "+", "Subtract": "−"}


@dataclass(frozen=True)
class Block:
    """One box of the drawing.

    Attributes:
        name: the layer's name.
        kind: input, convolution, pooling, dense, gate, other, or a key of SIGNS for a small circle.
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


def children_of(found: Sequence[Block]) -> list[list[int]]:
    """Returns for each block the indices of the blocks that take their input from it."""
    children: list[list[int]] = [[] for _ in found]
    for place, block in enumerate(found):
        for parent in block.parents:
            children[parent].append(place)
    return children


def _absorb_quiet(found: list[Block]) -> list[Block]:
    place = 0
    while place < len(found):
        block, children = found[place], children_of(found)
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
    children = children_of(found)
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
        block, children = found[place], children_of(found)
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
