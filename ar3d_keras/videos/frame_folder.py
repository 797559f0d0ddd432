"""A folder of images as a video: which images are its frames, and in which order.

One folder is one video, so its frames must have one name pattern, for example `img_#.jpg`, where
`#` stands for a number. Images without a number in their names (cover.jpg) are not frames.
"""

import re
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from ar3d_keras.videos.video import ReadError

IMAGE_SUFFIXES = frozenset([".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"])

# The RGB frames of the raw-frames layout of TSN and mmaction, beside flow_x_# and flow_y_#.
RGB_PATTERN = "img_#"

# A decimal number that is not part of a date or a version (1.2.3), or the digits of an integer.
_NUMBER = re.compile(r"((?<![\d.,])\d+[.,]\d+(?!\d|[.,]\d)|\d+)")


@dataclass(frozen=True)
class FrameFolder:
    """The images of a folder, sorted into frames and others.

    Attributes:
        frames: the frames in the order of time; empty if `problem` is set.
        ignored: name pattern of images that are not frames -> how many there are.
        problem: why the images are not the frames of one video; None if they are.
    """

    frames: tuple[Path, ...] = ()
    ignored: tuple[tuple[str, int], ...] = ()
    problem: str | None = None


def frame_files(folder: Path) -> list[Path]:
    """The frames of a folder in the order of time; empty if it has no images.

    Raises:
        ReadError: the images have several name patterns, or no numbers in their names.
    """
    found = list_frames(folder)
    if found.problem:
        raise ReadError(found.problem)
    return list(found.frames)


def is_frame_folder(folder: Path) -> bool:
    """Whether a folder has images with a number in their names."""
    return any(_NUMBER.search(stem) for stem, _ in _images(folder))


def list_frames(folder: Path) -> FrameFolder:
    """Sorts the images of a folder into frames and others; hidden files are left out.

    If there are several name patterns, `img_#` holds the frames; without it nobody knows which
    pattern does, and `problem` names them all.
    """
    patterns: dict[str, list[tuple[str, list[str]]]] = defaultdict(list)
    for stem, suffix in _images(folder):
        parts = _NUMBER.split(stem)
        patterns["#".join(parts[::2]) + suffix.lower()].append((stem + suffix, parts))
    numbered = [pattern for pattern in patterns if "#" in pattern]
    if not numbered:
        first = min((names[0][0] for names in patterns.values()), default=None)
        problem = f"its images have no numbers in their names (first: {first})" if first else None
        return FrameFolder(problem=problem)
    if len(numbered) > 1:
        rgb = [pattern for pattern in numbered if Path(pattern).stem == RGB_PATTERN]
        if len(rgb) != 1:
            counts = ", ".join(f"{name} ({len(patterns[name])})" for name in sorted(numbered))
            return FrameFolder(
                problem=f"its images have several name patterns: {counts}; keep one of them"
            )
        numbered = rgb
    frames = patterns.pop(numbered[0])
    decimal = _are_decimals([parts for _, parts in frames])
    # The name itself decides between 1.jpg and 01.jpg, which have the same number.
    ordered = sorted(frames, key=lambda frame: (_order(frame[1], decimal), frame[0]))
    return FrameFolder(
        tuple(folder / name for name, _ in ordered),
        tuple((pattern, len(names)) for pattern, names in sorted(patterns.items())),
    )


def natural_key(name: str) -> list:
    """Sorts img_2 before img_10, unlike plain string order."""
    # isdecimal is what \d matches; isdigit is also true of "²", which int() refuses.
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)]


def is_folder(path: Path) -> bool:
    """Path.is_dir, but False if the path cannot be followed (no permission, a loop of links)."""
    try:
        return path.is_dir()
    except OSError:
        return False


def _images(folder: Path) -> list[tuple[str, str]]:
    """(stem, suffix) of the names of the images in a folder."""
    try:
        names = [file.name for file in folder.iterdir()]
    except OSError:
        return []
    # Path.stem and Path.suffix would take most of the time, and a folder is listed for each clip.
    parted = (name.rpartition(".") for name in names if not name.startswith("."))
    return [(stem, dot + end) for stem, dot, end in parted if (dot + end).lower() in IMAGE_SUFFIXES]


def _are_decimals(names: list[list[str]]) -> bool:
    """Whether 1.15 comes before 1.2, as time stamps do, and not after it, as numbered parts do.

    Parts that are counted up to two digits pass a ten (1.9, 1.10); a decimal number that is
    written as short as possible does not end in 0. If all are equally long, both orders agree.
    """
    fractions = [
        fraction
        for parts in names
        for number in parts[1::2]
        if not number.isdecimal()
        for fraction in re.split("[.,]", number)[1:]
    ]
    same_length = len({len(fraction) for fraction in fractions}) < 2
    return same_length or not any(len(f) > 1 and f.endswith("0") for f in fractions)


def _order(parts: list[str], decimal: bool) -> list:
    """A key of texts and numbers in turn; a number is its whole part and its fraction."""
    key: list = [*parts]
    for place in range(1, len(parts), 2):
        if parts[place].isdecimal():
            key[place] = int(parts[place]), 0
        else:
            whole, fraction = re.split("[.,]", parts[place])
            key[place] = int(whole), Decimal(f"0.{fraction}") if decimal else int(fraction)
    return key
