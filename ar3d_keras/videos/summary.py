"""What a data set consists of, by class and as a whole: the numbers of the data report."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.inspection import Properties
from ar3d_keras.videos.scan import Scan
from ar3d_keras.videos.segments import stretch
from ar3d_keras.videos.video import Video


@dataclass(frozen=True)
class ClassSummary:
    """One class of a data set.

    Attributes:
        name: the class.
        videos: how many, those that cannot be decoded included.
        groups: source recordings; 0 where none is known.
        seconds: total time of its videos that have one.
        shortest: seconds of the shortest video; None: no video has a time.
        median: seconds, or None.
        longest: seconds, or None.
        unreadable: videos without a decodable frame.
        damaged: videos of which only a part can be decoded.
        duplicates: videos with a near-duplicate, in whatever class.
    """

    name: str
    videos: int
    groups: int
    seconds: float
    shortest: float | None
    median: float | None
    longest: float | None
    unreadable: int
    damaged: int
    duplicates: int


def class_summaries(
    catalog: Catalog, scanned: Scan, duplicated: Iterable[str] = ()
) -> list[ClassSummary]:
    """A summary of each class, in the order of the class names.

    Args:
        catalog: the videos.
        scanned: their scan, with properties.
        duplicated: `Video.key` of the videos that have a near-duplicate.
    """
    near = set(duplicated)
    rows = []
    for name in catalog.class_names:
        videos = [video for video in catalog.videos if video.label == name]
        keys = [video.key for video in videos]
        times = (seconds_of(video, scanned) for video in videos)
        seconds = sorted(time for time in times if time is not None)
        rows.append(
            ClassSummary(
                name,
                len(videos),
                len({video.group for video in videos if video.group is not None}),
                sum(seconds),
                seconds[0] if seconds else None,
                statistics.median(seconds) if seconds else None,
                seconds[-1] if seconds else None,
                sum(key in scanned.unreadable for key in keys),
                sum(key in scanned.damaged for key in keys),
                sum(key in near for key in keys),
            )
        )
    return rows


def seconds_of(video: Video, scanned: Scan) -> float | None:
    """How long a video is, which may be a segment; None: unknown."""
    properties = scanned.properties.get(video.path)
    if properties is None or properties.seconds is None:
        return None
    start, end = stretch(video, properties.seconds)
    return round(end - start, 3)


def distributions(properties: Iterable[Properties]) -> dict[str, list[tuple[str, int]]]:
    """How many files have each size, rate, codec and rotation; the most frequent value first."""
    properties = list(properties)
    found = {
        "size": [f"{p.width} x {p.height}" for p in properties],
        "frames per second": [f"{round(p.rate, 2):g}" if p.rate else "unknown" for p in properties],
        "codec": [p.codec for p in properties],
        "rotation": [f"{p.rotation} degrees" for p in properties],
    }
    return {
        name: sorted(Counter(values).items(), key=lambda item: (-item[1], item[0]))
        for name, values in found.items()
    }
