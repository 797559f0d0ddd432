"""Whether a mirrored clip may belong to another class: swipe_left becomes swipe_right."""

import re
from collections.abc import Sequence

_SIDES = {
    "left": "right", "leftward": "rightward", "leftwards": "rightwards", "l": "r",
    "clockwise": "counterclockwise", "cw": "ccw",
}  # fmt: skip
_OTHER = _SIDES | {right: left for left, right in _SIDES.items()} | {"anticlockwise": "clockwise"}
# Words of a name: letters of one case, with "_", "-", digits or a capital letter between them.
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")


def mirrored_classes(class_names: Sequence[str]) -> tuple[str, str] | None:
    """Two classes whose names differ only by left and right, or by the sense of a rotation.

    Returns:
        The first such pair; None if there is none.
    """
    words = {tuple(word.lower() for word in _WORD.findall(name)): name for name in class_names}
    for key, name in words.items():
        other = tuple(_OTHER.get(word, word) for word in key)
        if other != key and other in words:
            return name, words[other]
    return None


def mirroring_notes(class_names: Sequence[str], flip: bool) -> list[str]:
    """A sentence for the log if mirrored clips would belong to another class.

    Args:
        class_names: the classes.
        flip: whether training mirrors clips.
    """
    if (pair := mirrored_classes(class_names)) is None:
        return []
    names = f"Classes {pair[0]!r} and {pair[1]!r} differ by the side"
    if flip:
        return [f"{names}, and training mirrors half of the clips: their labels become wrong."]
    return [f"{names}, so no training clip is mirrored."]
