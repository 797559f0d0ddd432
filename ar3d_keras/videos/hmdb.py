"""HMDB-51's three official splits, from the lists of the data set.

Source: Kuehne et al., *HMDB: A Large Video Database for Human Motion Recognition* (ICCV 2011),
section 4: per class 70 training and 30 test videos, none of one film in both.
"""

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, Video
from ar3d_keras.videos.video_files import has_video_suffix


def hmdb_lists(
    catalog: Catalog, number: int, folder: str | os.PathLike | None
) -> tuple[list[str | None], tuple[str, ...]]:
    """Assigns the videos from CLASS_test_splitN.txt: `NAME.avi 1` trains, 2 tests, 0 is unused.

    The lists have no validation videos. Validation takes whole films of the train list: in each
    class the films whose names sort last, up to a tenth of the class's training videos.

    Returns:
        train, val, test or None (unused, or in no list) for each video, and notes.

    Raises:
        UserError: no folder is given, or a list is missing or has another format.
    """
    if folder is None:
        raise UserError(
            f"`split_scheme` hmdb{number} needs `split_lists`, HMDB-51's "
            "testTrainMulti_7030_splits folder"
        )
    listed: dict[tuple[str, str], str | None] = {}
    for label in catalog.class_names:
        file = Path(folder) / f"{label}_test_split{number}.txt"
        for name, flag in _read(file):
            listed[label, _stem(name)] = {"0": None, "1": "train", "2": "test"}[flag]
    assigned = [listed.get(_key(video)) for video in catalog.videos]
    for indices in _held_out(catalog, assigned):
        for index in indices:
            assigned[index] = "val"
    there = {_key(video) for video in catalog.videos}
    notes = []
    if unused := sum(_key(v) in listed and listed[_key(v)] is None for v in catalog.videos):
        notes.append(f"{unused} videos are marked as unused (0) in the lists and are left out.")
    if absent := sum(_key(video) not in listed for video in catalog.videos):
        notes.append(f"{absent} videos of the folder are in no list and are left out.")
    if missing := len(listed.keys() - there):
        notes.append(f"{missing} videos of the lists are not in the folder.")
    return assigned, tuple(notes)


def _read(file: Path) -> list[tuple[str, str]]:
    """(name, flag) of each line; a name may contain blanks."""
    try:
        lines = [line.rsplit(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{file} cannot be read ({error}): `split_lists` must name HMDB-51's "
            "testTrainMulti_7030_splits folder"
        ) from None
    pairs = []
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        if len(line) != 2 or line[1] not in ("0", "1", "2"):
            raise UserError(
                f"{file} line {number} is not a video name and 0, 1 or 2: "
                "`split_lists` must name HMDB-51's testTrainMulti_7030_splits folder"
            )
        pairs.append((line[0], line[1]))
    return pairs


def _held_out(catalog: Catalog, assigned: list[str | None]) -> Iterator[list[int]]:
    """For each film that validates, the indices of its videos: at most a tenth of a class."""
    films: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
    for index, video in enumerate(catalog.videos):
        if assigned[index] == "train":
            films[video.label or ""][video.group or video.path].append(index)
    for of_class in films.values():
        room = max(1, sum(map(len, of_class.values())) // 10)
        for film in sorted(of_class, reverse=True):
            if len(of_class[film]) <= room:
                room -= len(of_class[film])
                yield of_class[film]


def _key(video: Video) -> tuple[str, str]:
    return video.label or "", _stem(video.path.rpartition("/")[2])


def _stem(name: str) -> str:
    """A name without the suffix of a video; folders of frames have none."""
    return name.removesuffix(Path(name).suffix) if has_video_suffix(name) else name
