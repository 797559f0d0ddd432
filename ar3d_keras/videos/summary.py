"""What a data set consists of, by class and as a whole: the numbers of the data report."""

import statistics
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.inspection import Properties
from ar3d_keras.videos.scan import Scan


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
        duplicated: paths of the videos that have a near-duplicate.
    """
    near = set(duplicated)
    rows = []
    for name in catalog.class_names:
        videos = [video for video in catalog.videos if video.label == name]
        paths = [video.path for video in videos]
        times = [found.seconds for path in paths if (found := scanned.properties.get(path))]
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
                sum(path in scanned.unreadable for path in paths),
                sum(path in scanned.damaged for path in paths),
                sum(path in near for path in paths),
            )
        )
    return rows


def distributions(properties: Iterable[Properties]) -> dict[str, list[tuple[str, int]]]:
    """How many videos have each size, rate, codec and rotation; the most frequent value first."""
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
