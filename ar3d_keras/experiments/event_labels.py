"""The labeled stretches of untrimmed videos that a run is scored on."""

import dataclasses
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.events import Event
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import RunFolder
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.label_csv import read_label_csv
from ar3d_keras.videos.reader import decoding_threads, frame_index
from ar3d_keras.videos.scan import scan
from ar3d_keras.videos.segments import stretch
from ar3d_keras.videos.video import Video


@dataclass(frozen=True)
class EventLabels:
    """Untrimmed videos and the labeled events in them.

    Attributes:
        root: the folder that paths are relative to.
        videos: those of val and test, by split, without labels: a file, or a region or a part of it.
        events: those of all these videos; their path is the `Video.key` of the video.
        source: the file that they were read from.
    """

    root: Path
    videos: dict[str, tuple[Video, ...]]
    events: list[Event]
    source: Path


def event_labels(
    run: RunFolder,
    *,
    labels: Collection[str | None],
    background: str | None,
    stretches: Path | None,
    data: Path | None,
    segments: Literal["strict", "clip"] | None,
    allow_outside: bool = False,
    workers: int | None,
    reporter: Reporter,
) -> EventLabels:
    """Reads the labeled stretches of val and test, and checks them against their files.

    Args:
        run: which files the network was trained on.
        labels: the labels that a row may have.
        background: the label of the time without events.
        stretches: a CSV; None: the segments of the run.
        data: where the run's videos are now, if they were moved.
        segments: strict refuses a stretch that ends beyond its file, clip cuts it; None: as the
            run was trained.
        allow_outside: whether the CSV may name videos outside its folder.
        workers: decoding threads; None: one per core.
        reporter: shows progress.

    Raises:
        UserError: a row cannot be used, or val or test has no video.
    """
    record = run.record()
    recorded = run.split(Path(record["data"]["root"]), record["split"]["scheme"])
    trained = list(zip(recorded.catalog.videos, recorded.assigned, strict=True))
    if stretches is None:
        source, root = run.folder / "split.csv", run.data_root(data)
        rows = [(row, split or "") for row, split in trained]
    else:
        source, root = stretches, stretches.parent.resolve()
        found = read_label_csv(stretches, keep_overlaps=True, allow_outside=allow_outside)
        rows = [(row, row.split or "") for row in found]
    if not any(row.is_segment for row, _ in rows):
        raise UserError(
            f"`stretches` {source} has no stretch: it needs path,label,start,end, and times in "
            "start and end"
        )
    for row, _ in rows:
        if row.label not in labels:
            where = f" row {row.row}" if row.row else ""
            raise UserError(f"{source}{where}: {row.label!r} is no class of {run.folder}")
    recorded_parts = _recorded_parts(trained, recorded.catalog.root)
    videos: dict[str, dict[str, Video]] = {"val": {}, "test": {}}
    scored = []
    for row, split in rows:
        file = str((root / row.path).resolve())
        parts = recorded_parts.get(file) or recorded_parts.get(row.path) or []
        part, known = _part_of(row, parts)
        split = split or known or ""
        if split not in videos:
            continue
        where = f"{source} row {row.row}" if row.row else str(source)
        if known == "train":
            raise UserError(
                f"{where}: {row.key!r} is in {split}, but the run was trained on it (train): "
                "leave it out"
            )
        if len(parts) > 1 and known != split:
            raise UserError(
                f"{where}: {row.key!r} is in {split}, but the run has it in {known or 'no split'}: "
                "leave it out"
            )
        videos[split][part.key] = part
        scored.append((row, part))
    _check_splits(videos, source)
    clip = (segments or record["config"]["data"].get("segments")) == "clip"
    events = _events(root, scored, clip, decoding_threads(workers), reporter)
    return EventLabels(
        root,
        {split: tuple(found.values()) for split, found in videos.items()},
        [event for event in events if event.label != background],
        source,
    )


def whole_of(video: Video) -> Video:
    """The untrimmed video that a row or a part belongs to."""
    return Video(video.path, None, roi=video.roi)


def _part_of(row: Video, parts: Sequence[tuple[Video, str | None]]) -> tuple[Video, str | None]:
    """The part of a file that a row is in, and its split in the run; None: the run has it in none."""
    if len(parts) < 2:
        return whole_of(row), parts[0][1] if parts else None
    start, end = stretch(row, math.inf)
    middle = (start + end) / 2
    part, split = next(p for p in parts if middle < stretch(p[0], math.inf)[1] or p is parts[-1])
    return dataclasses.replace(part, roi=row.roi), split


def _recorded_parts(
    trained: Sequence[tuple[Video, str | None]], root: Path
) -> dict[str, list[tuple[Video, str | None]]]:
    """What the run did with each file, by its absolute path and by its path in the data set."""
    rows: dict[str, list[tuple[Video, str | None]]] = defaultdict(list)
    for video, split in trained:
        rows[video.path].append((video, split))
    found = {path: parts_of_file(of_file) for path, of_file in rows.items()}
    return found | {str((root / path).resolve()): parts for path, parts in found.items()}


def parts_of_file(
    rows: Sequence[tuple[Video, str | None]],
) -> list[tuple[Video, str | None]]:
    """Divides a file between the splits of its segments.

    Between two segments of different splits, the boundary is in the middle, so that nothing between
    segments of one split is left out, and no frame of a training segment is tested.

    Args:
        rows: the segments of a file, or the file itself, each with its split.

    Returns:
        The parts in order of time, each with its split; the file itself if it has one split.
    """
    ordered = sorted(rows, key=lambda row: row[0].start or 0.0)
    parts = [(Video(ordered[0][0].path, None), ordered[0][1])]
    reached = 0.0
    for video, split in ordered:
        start = video.start or 0.0
        if split != parts[-1][1]:
            last, of_last = parts[-1]
            boundary = start if reached >= start else round((reached + start) / 2, 3)
            parts[-1] = (dataclasses.replace(last, start=last.start or 0.0, end=boundary), of_last)
            parts.append((dataclasses.replace(last, start=boundary, end=None), split))
        reached = max(reached, math.inf if video.end is None else video.end)
    return parts


def _check_splits(videos: dict[str, dict[str, Video]], source: Path) -> None:
    for split, found in videos.items():
        if not found:
            raise UserError(
                f"{source} has no {split} video: give it a column split with val, on which the "
                "timeline's options are chosen, and test"
            )
    if both := set(videos["val"]) & set(videos["test"]):
        raise UserError(f"{source}: {min(both)!r} is in val and in test")


def _events(
    root: Path,
    rows: Sequence[tuple[Video, Video]],
    clip: bool,
    threads: int,
    reporter: Reporter,
) -> list[Event]:
    """The rows, each with the part that it is in, as events; checks that their files contain them.

    A file that cannot be decoded is named when it is predicted.
    """
    catalog = Catalog(root, tuple(row for row, _ in rows))
    with reporter.bar("checking", len(catalog), "segments") as update:
        scanned = scan(catalog, workers=threads, progress=update, clip_segments=clip)
    readable = {row.path for row, _ in rows if row.key in scanned.frames}
    ends = {path: frame_index(root / path, threads=threads).end for path in readable}
    events = []
    for row, part in rows:
        start, end = stretch(row, ends.get(row.path, math.inf))
        first, last = stretch(part, end)
        events.append(Event(part.key, str(row.label), max(start, first), last))
    return events
