"""A class of background: stretches of the files that no segment covers."""

import dataclasses
import itertools
import statistics
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.examination import isolated_index
from ar3d_keras.videos.isolation import Isolation, Limits
from ar3d_keras.videos.keyframes import FrameIndex
from ar3d_keras.videos.pack_index import is_pack
from ar3d_keras.videos.reader import ReadError, decoding_threads
from ar3d_keras.videos.sampling import ClipShape
from ar3d_keras.videos.segments import by_file, stretch
from ar3d_keras.videos.video import Video

Stretch = tuple[float, float]


def with_background(
    catalog: Catalog,
    name: str,
    shape: ClipShape,
    *,
    seed: int,
    workers: int | None = None,
    limits: Limits | None = None,
    reporter: Reporter | None = None,
) -> Catalog:
    """Adds segments of a class of background to a catalog.

    They are drawn from the stretches of its files that no segment covers, until they have as many
    seconds as the median class. Each is as long as the median segment, and has at least as many
    frames as a clip. They belong to the group and the split of their file, and have the further
    columns of the segment before them.

    Args:
        catalog: videos with segments.
        name: of the class.
        shape: the geometry of the clips.
        seed: for the draw.
        workers: decoding threads; None: one per core.
        limits: on the decoding of one file; None: the defaults.
        reporter: shows the progress of the files' inspection, and logs what was drawn.

    Raises:
        UserError: the class exists, there are no segments or no free stretches, the catalog is a
            pack, or the segments of a file are in two splits.
    """
    reporter = reporter or Reporter()
    if is_pack(catalog.root):
        raise UserError(
            f"{catalog.root} is a pack, which has the frames of its segments only: make it with "
            "`ar3d pack --background NAME`"
        )
    if not name.strip():
        raise UserError("`background` must be the name of a class, not an empty text")
    if name in catalog.class_names:
        raise UserError(f"`background` {name!r} is a class of {catalog.root}: choose another name")
    files = by_file(catalog.videos)
    if not files:
        raise UserError(
            f"`background` needs segments, and {catalog.root} has none: give a CSV with the columns "
            "start and end"
        )
    with Isolation(limits or Limits()) as isolation:
        indexes = _indexes(
            catalog.root, list(files), decoding_threads(workers), isolation, reporter
        )
    rows = {path: found for path, found in files.items() if path in indexes}
    seconds: dict[str | None, float] = defaultdict(float)
    lengths = []
    for path, segments in rows.items():
        for video in segments:
            start, end = stretch(video, indexes[path].end)
            seconds[video.label] += max(0.0, end - start)
            lengths.append(max(0.0, end - start))
    if not lengths:
        return catalog
    periods = [index.end / len(index.times) for index in indexes.values()]
    period = 1 / shape.fps if shape.fps else max(periods)
    length = max(statistics.median(lengths), shape.frames * period)
    wanted = statistics.median(seconds.values())
    pieces = [
        (path, piece)
        for path, segments in rows.items()
        for gap in _gaps(segments, indexes[path].end)
        for piece in _pieces(gap, length)
    ]
    if not pieces:
        raise UserError(
            f"`background`: no stretch of {length:.1f} seconds, the length of a segment or a clip, "
            f"is free of segments in {catalog.root}"
        )
    order = np.random.Generator(np.random.Philox(np.random.SeedSequence((seed, 3))))
    count = min(len(pieces), max(1, round(wanted / length)))
    drawn = [pieces[place] for place in sorted(order.permutation(len(pieces))[:count].tolist())]
    added = [_video(path, piece, name, rows[path]) for path, piece in drawn]
    reporter.log(
        f"{name}: {count} stretches of {length:.1f} seconds that no segment covers, "
        f"of {len({path for path, _ in drawn})} files"
    )
    videos = sorted(
        (*catalog.videos, *added), key=lambda video: (video.path, video.start or 0.0, video.key)
    )
    return dataclasses.replace(catalog, videos=tuple(videos))


def _indexes(
    root: Path, paths: Sequence[str], workers: int, isolation: Isolation, reporter: Reporter
) -> dict[str, FrameIndex]:
    """The indexes of the files that can be decoded; the scan reports the others."""

    def look(path: str) -> FrameIndex | None:
        try:
            threads = max(1, workers // len(paths))
            return isolated_index(isolation, root / path, threads=threads)
        except ReadError:
            return None

    found = {}
    with ThreadPoolExecutor(workers) as pool, reporter.bar("indexing", len(paths), "files") as bar:
        for done, (path, index) in enumerate(zip(paths, pool.map(look, paths), strict=True)):
            if index:
                found[path] = index
            bar(done + 1)
    return found


def _gaps(segments: Sequence[Video], end: float) -> list[Stretch]:
    """The stretches of a file between its segments."""
    gaps, reached = [], 0.0
    for first, last in sorted(stretch(video, end) for video in segments):
        if first > reached:
            gaps.append((reached, first))
        reached = max(reached, last)
    if end > reached:
        gaps.append((reached, end))
    return gaps


def _pieces(gap: Stretch, length: float) -> list[Stretch]:
    """As many stretches of a length as fit into a gap, in its middle; in whole milliseconds."""
    start, end = gap
    count = int((end - start) / length)
    first = start + (end - start - count * length) / 2
    edges = [round(first + place * length, 3) for place in range(count + 1)]
    if edges:  # rounding must not lead out of the gap
        edges[0], edges[-1] = max(edges[0], start), min(edges[-1], end)
    return list(itertools.pairwise(edges))


def _video(path: str, piece: Stretch, name: str, segments: Sequence[Video]) -> Video:
    splits = {video.split for video in segments}
    if len(splits) > 1:
        first, second = sorted(str(split) for split in splits)[:2]
        raise UserError(
            f"`background` cannot choose a split for stretches of {path}, whose rows are in {first} "
            f"and {second}: give its rows one split, or use another `split_scheme`"
        )
    regions = {video.roi for video in segments}
    if len(regions) > 1:
        raise UserError(
            f"`background` cannot choose a region for stretches of {path}, whose rows have several: "
            "give them one region, or none and `roi`"
        )
    # If a file has several groups or, for example, dates, these are parts of it: those of the last
    # segment before the piece.
    before = [video for video in segments if (video.start or 0.0) <= piece[0]]
    nearest = max(before, key=_start, default=min(segments, key=_start))
    split, roi = splits.pop(), regions.pop()
    return Video(path, name, nearest.group, split, dict(nearest.extra), *piece, roi)


def _start(video: Video) -> float:
    return video.start or 0.0
