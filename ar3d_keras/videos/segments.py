"""Segments, which are labeled stretches of files: their rows in a CSV, and their frames."""

import dataclasses
import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.region import regions_overlap
from ar3d_keras.videos.video import Video

# Containers round the time of a frame to a millisecond.
ROUNDING = 0.0005  # seconds


def with_groups(videos: Sequence[Video], where: Callable[[Video], str]) -> list[Video]:
    """The same videos, with a group for every row of a file that has segments or regions.

    That is the group that the file has in any of its rows, else its path, so that pieces of one
    file never stand in two splits by accident.

    Args:
        videos: the rows of a CSV; their `group` is None where the CSV says nothing.
        where: names the row of a video, for the error.

    Raises:
        UserError: two rows give different groups to a file.
    """
    files = {video.path for video in videos if video.is_segment or video.roi}
    known: dict[str, Video] = {}
    for video in videos:
        if video.path in files and video.group:
            other = known.setdefault(video.path, video)
            if other.group != video.group:
                raise UserError(
                    f"{where(video)}: {video.path} has the group {video.group!r} here and "
                    f"{other.group!r} in row {other.row}: a file belongs to one group"
                )
    return [
        dataclasses.replace(
            video, group=known[video.path].group if video.path in known else video.path
        )
        if video.path in files
        else video
        for video in videos
    ]


def without_overlaps(
    videos: Sequence[Video], where: Callable[[Video], str], *, clip: bool = False
) -> list[Video]:
    """The same videos, none of which overlaps a stretch of its file with another label.

    Args:
        videos: the rows of a CSV.
        where: names the row of a video, for the error.
        clip: whether a segment that overlaps ends where the next one starts, instead of an error.

    Raises:
        UserError: two rows overlap; with `clip`, nothing would be left of a row.
    """
    kept: dict[str, Video] = {video.key: video for video in videos}
    regions: dict[tuple, list[Video]] = defaultdict(list)
    for path, found in by_file(videos).items():
        for row in found:  # two regions of one picture may show different actions
            regions[path, row.roi].append(row)
    for rows in regions.values():
        ordered = sorted(rows, key=lambda row: (row.start or 0.0, _end(row)))
        for place, row in enumerate(ordered):
            following = itertools.islice(ordered, place + 1, None)
            other = next((other for other in following if other.label != row.label), None)
            if other is None or (start := other.start or 0.0) >= _end(row) - ROUNDING:
                continue
            if not clip or start <= (row.start or 0.0) + ROUNDING:
                raise UserError(
                    f"{where(other)}: {other.key} ({other.label}) overlaps {row.key} ({row.label}) "
                    f"of row {row.row}: correct or remove one of them"
                    + ("" if clip else ", or set `segments` to clip, which ends the earlier one")
                )
            kept[row.key] = dataclasses.replace(row, start=row.start or 0.0, end=start)
    return list({video.key: video for video in kept.values()}.values())


def by_file(videos: Iterable[Video]) -> dict[str, list[Video]]:
    """The rows of each file that has at least one segment, by path, in their order."""
    videos = tuple(videos)
    # First which files: a list for each of a million whole files takes seconds.
    rows: dict[str, list[Video]] = {video.path: [] for video in videos if video.is_segment}
    for video in videos if rows else ():
        if video.path in rows:
            rows[video.path].append(video)
    return rows


def _end(video: Video) -> float:
    return math.inf if video.end is None else video.end


def stretch(video: Video, end: float) -> tuple[float, float]:
    """The start and end of a video in a file that ends at `end`, in seconds."""
    return video.start or 0.0, min(_end(video), end)


def overlap(one: Video, other: Video) -> bool:
    """Whether two rows of one file share pixels at some moment."""
    return (
        (one.start or 0.0) < _end(other) - ROUNDING
        and (other.start or 0.0) < _end(one) - ROUNDING
        and regions_overlap(one.roi, other.roi)
    )


def overlapping(videos: Iterable[Video]) -> Iterator[tuple[Video, Video]]:
    """The pairs of rows of one file that overlap, the one that starts first in front."""
    rows: dict[str, list[Video]] = defaultdict(list)
    for video in videos:
        rows[video.path].append(video)
    for found in rows.values():
        running: list[Video] = []
        for row in sorted(found, key=lambda row: (row.start or 0.0, _end(row))):
            running = [other for other in running if (row.start or 0.0) < _end(other) - ROUNDING]
            yield from ((other, row) for other in running if overlap(other, row))
            running.append(row)


def starts(video: Video, time: float) -> bool:
    """Whether a frame at this second is not before a segment, whose frames are start <= t < end."""
    return (video.start or 0.0) - ROUNDING <= time


def ends(video: Video, time: float) -> bool:
    """Whether a frame at this second is after a segment."""
    return _end(video) - ROUNDING <= time


def frames_of(video: Video, times: np.ndarray) -> range:
    """The numbers of a segment's frames.

    Args:
        video: the segment.
        times: float64 (frames of the file,), seconds since the first frame, rising.
    """
    first, last = np.searchsorted(
        times, [(video.start or 0.0) - ROUNDING, _end(video) - ROUNDING]
    ).tolist()
    return range(first, last)


def check_inside(
    video: Video, frames: int, last: float, end: float, root: Path, *, clip: bool = False
) -> None:
    """Checks a segment against its file.

    Args:
        video: the segment.
        frames: number of its frames.
        last: the time of the file's last frame, in seconds since the first one.
        end: the end of the file's last frame.
        root: of the catalog, for the error.
        clip: whether a segment may end beyond the file.

    Raises:
        UserError: the segment has no frame, or ends more than a frame after the file.
    """
    row = f" (row {video.row})" if video.row else ""
    if not frames:
        reason = (
            f"starts after its last frame, at {last:.3f} seconds"
            if (video.start or 0.0) > last
            else "is shorter than the distance of two frames"
        )
        raise UserError(
            f"segment {video.key}{row} of {root} contains no frame: it {reason}; correct or remove "
            "the row"
        )
    if not clip and video.end is not None and video.end > end + (end - last) + ROUNDING:
        raise UserError(
            f"segment {video.key}{row} of {root} ends after the file, which has {end:.3f} seconds: "
            "correct it, or set `segments` to clip, which uses the part that exists"
        )


def segment_notes(videos: Sequence[Video]) -> list[str]:
    """Sentences about the segments that a reader must know: classes with segments of one file."""
    if not any(video.is_segment for video in videos):
        return []
    files: dict[str, set[str]] = defaultdict(set)
    for video in videos:
        if video.label is not None:
            files[video.label].add(video.path)
    lonely = sorted(label for label, paths in files.items() if len(paths) == 1)
    return [
        f"class {label!r} has segments of one file only ({min(files[label])}): no other recording "
        "can test it"
        for label in lonely
    ]
