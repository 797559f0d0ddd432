"""List files of mmaction2 and SlowFast: a path and a class number in each line.

Formats: https://github.com/open-mmlab/mmaction2 (VideoDataset and RawframeDataset) and
https://github.com/facebookresearch/SlowFast (slowfast/datasets/DATASET.md).
"""

import json
import re
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.labels.label import Label, parse_stretch
from ar3d_keras.labels.source import Source
from ar3d_keras.videos.reader import ASSUMED_RATE
from ar3d_keras.videos.video import split_name
from ar3d_keras.videos.video_files import VIDEO_SUFFIXES


def recognizes(source: Source) -> bool:
    """Whether the first line ends with a class number after a separator."""
    if source.document is not None:
        return False
    separator = source.options.separator
    before, _, number = _first_line(source).rpartition(separator or " ")
    return bool(before.strip()) and number.strip().isdecimal()


def _first_line(source: Source) -> str:
    first = next(line for line in source.text.splitlines() if line.strip()).strip()
    return first if source.options.separator else " ".join(first.split())


def read_slowfast(source: Source) -> list[Label]:
    """Reads lines of "path label", with blanks or `separator` between them.

    Raises:
        UserError: a line is damaged, or a number is not one of a class.
    """
    return _read(source, offset=False, frames=False)


def read_mmaction(source: Source) -> list[Label]:
    """Reads a video list ("path label") or a rawframe list ("folder frames label").

    Raises:
        UserError: a line is damaged or has several labels, or a number is not one of a class.
    """
    return _read(source, offset=False)


def read_mmaction_offset(source: Source) -> list[Label]:
    """Reads a rawframe list with offsets: "folder first-frame frames label".

    Raises:
        UserError: as `read_mmaction`.
    """
    return _read(source, offset=True)


def _read(source: Source, *, offset: bool, frames: bool = True) -> list[Label]:
    names = _class_names(source)
    split = _split_of_name(source.file)
    labels = []
    for number, line in enumerate(source.text.splitlines(), start=1):
        if not line.strip():
            continue
        where = source.row(number)
        path, numbers = _parts(line.strip(), source.options.separator, where)
        is_file = Path(path).suffix.lower() in VIDEO_SUFFIXES
        expected = 3 if offset else 1 if is_file or not frames else min(len(numbers), 2)
        if len(numbers) != expected:
            raise UserError(
                f"{where} has {len(numbers)} numbers after the path, not {expected}: a line with "
                "several labels cannot be imported; for lists with offsets, give `format` "
                "mmaction-offset"
            )
        if numbers[-1] not in names:
            raise UserError(f"{where}: class {numbers[-1]} is not in {source.options.classes}")
        times: tuple[float | None, float | None] = (None, None)
        if offset:
            # The frame after the offset is the first of the clip.
            rate = source.options.frame_rate or ASSUMED_RATE
            times = parse_stretch(numbers[0] / rate, (numbers[0] + numbers[1]) / rate, where)
        labels.append(Label(path, names[numbers[-1]], *times, split=split, where=where))
    if offset and source.options.frame_rate is None:
        source.notes.append(
            f"{source.file}: frame numbers are converted with {ASSUMED_RATE} frames a second, "
            "as folders of frames are read"
        )
    return labels


def _parts(line: str, separator: str | None, where: str) -> tuple[str, list[int]]:
    """The path, and the numbers after it."""
    if separator:
        path, found, label = line.rpartition(separator)
        tokens = [label.strip()] if found else []
    else:
        match = re.fullmatch(r"(.*?)((?:\s+-?\d+)+)", line, re.ASCII)
        path, tokens = (match[1], match[2].split()) if match else ("", [])
    if not path.strip() or not tokens or not all(each.isdecimal() for each in tokens):
        raise UserError(f"{where}: {line[:60]!r} is not a path with a class number after it")
    return path.strip(), [int(each) for each in tokens]


def _split_of_name(file: Path) -> str:
    """The split that the name of the file says, as in train.csv or ucf101_val_split_1.txt."""
    words = (split_name(word) for word in re.split(r"[\W_]+", file.stem))
    found = {word for word in words if word}
    return found.pop() if len(found) == 1 else ""


def _class_names(source: Source) -> dict[int, str]:
    """The class names by number: a line each, or a JSON object of name to number."""
    file = source.options.classes
    if file is None:
        raise UserError(
            f"{source.file} gives classes as numbers: give `classes`, a file with one class name "
            "a line"
        )
    try:
        text = file.read_text(encoding="utf-8-sig")
        document = json.loads(text) if text.lstrip().startswith("{") else None
    except (OSError, ValueError) as error:
        raise UserError(f"`classes` {file} cannot be read: {error}") from None
    if document is not None:
        if not all(type(number) is int for number in document.values()):
            raise UserError(f"`classes` {file} must map each class name to a number")
        return {number: name.strip('"') for name, number in document.items()}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    numbered = [re.fullmatch(r"(\d+)\s+(.+)", line, re.ASCII) for line in lines]
    # UCF-101's classInd.txt counts from 1, and the lists made from it count from 0.
    if all(
        match and int(match[1]) - int(numbered[0][1]) == place  # type: ignore[index]
        for place, match in enumerate(numbered)
    ):
        lines = [match[2] for match in numbered if match]
    if len(set(lines)) < len(lines):
        raise UserError(f"`classes` {file} names a class twice")
    return dict(enumerate(lines))
