"""The labeled stretches of untrimmed videos that a run is scored on."""

import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ar3d_keras.errors import UserError
from ar3d_keras.evaluation.events import Event
from ar3d_keras.progress import Reporter
from ar3d_keras.runs import Run
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
        videos: those of val and test, by split: a file, or a region of it, without a label.
        events: those of all these videos; their path is the `Video.key` of the untrimmed video.
        source: the file that they were read from.
    """

    root: Path
    videos: dict[str, tuple[Video, ...]]
    events: list[Event]
    source: Path


def event_labels(
    run: Run,
    *,
    labels: Collection[str | None],
    background: str | None,
    stretches: Path | None,
    data: Path | None,
    segments: Literal["strict", "clip"] | None,
    workers: int | None,
    reporter: Reporter,
) -> EventLabels:
    """Reads the labeled stretches of val and test, and checks them against their files.

    Args:
        run: which files the network was trained on.
        labels: the labels that a row may have.
        background: a label that is no event.
        stretches: a CSV; None: the segments of the run.
        data: where the run's videos are now, if they were moved.
        segments: strict refuses a stretch that ends beyond its file, clip cuts it; None: as the
            run was trained.
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
        found = read_label_csv(stretches, keep_overlaps=True)
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
    splits_of: dict[str, set[str | None]] = defaultdict(set)  # path -> those of its segments
    for video, split in trained:
        splits_of[str((recorded.catalog.root / video.path).resolve())].add(split)
        splits_of[video.path].add(split)
    videos: dict[str, dict[str, Video]] = {"val": {}, "test": {}}
    scored = []
    for row, split in rows:
        known = splits_of.get(str((root / row.path).resolve())) or splits_of.get(row.path, set())
        if not split and len(known) > 1:
            raise UserError(
                f"{source}: {row.path!r} has segments in several splits of the run: give it a "
                "column split"
            )
        split = split or next(iter(known), None) or ""
        if split not in videos:
            continue
        if "train" in known:
            raise UserError(
                f"{source}: {row.path!r} is in {split}, but the run was trained on it: leave it out"
            )
        videos[split][_whole(row).key] = _whole(row)
        scored.append(row)
    _check_splits(videos, source)
    clip = (segments or record["config"]["data"].get("segments")) == "clip"
    events = _events(root, scored, clip, decoding_threads(workers), reporter)
    return EventLabels(
        root,
        {split: tuple(found.values()) for split, found in videos.items()},
        [event for event in events if event.label != background],
        source,
    )


def _whole(row: Video) -> Video:
    """The untrimmed video that a row is a stretch of."""
    return Video(row.path, None, roi=row.roi)


def _check_splits(videos: dict[str, dict[str, Video]], source: Path) -> None:
    for split, found in videos.items():
        if not found:
            raise UserError(
                f"{source} has no {split} video: give it a column split with val, on which the "
                "timeline's options are chosen, and test"
            )
    val, test = ({video.path for video in videos[split].values()} for split in ("val", "test"))
    if both := val & test:
        raise UserError(f"{source}: {min(both)!r} is in val and in test")


def _events(
    root: Path, rows: Sequence[Video], clip: bool, threads: int, reporter: Reporter
) -> list[Event]:
    """The rows as events, after a check that their files contain them.

    A file that cannot be decoded is named when it is predicted.
    """
    catalog = Catalog(root, tuple(rows))
    with reporter.bar("checking", len(catalog), "segments") as update:
        scanned = scan(catalog, workers=threads, progress=update, clip_segments=clip)
    readable = {row.path for row in rows if row.key in scanned.frames}
    ends = {path: frame_index(root / path, threads=threads).end for path in readable}
    return [
        Event(_whole(row).key, str(row.label), *stretch(row, ends.get(row.path, math.inf)))
        for row in rows
    ]
