"""The state of each video after a scan, and lists of videos to leave out."""

import csv
import dataclasses
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras import atomic
from ar3d_keras.errors import UserError
from ar3d_keras.videos.catalog import Catalog, first_names
from ar3d_keras.videos.inspection import is_cut_off
from ar3d_keras.videos.isolation import CRASHED, TIMED_OUT, TOO_LARGE, UNREADABLE
from ar3d_keras.videos.scan import Scan

OK, DAMAGED, CUT_OFF, TOO_SHORT = "ok", "damaged", "cut off", "too short"
# The worst last.
STATES = (OK, TOO_SHORT, DAMAGED, CUT_OFF, UNREADABLE, CRASHED, TIMED_OUT, TOO_LARGE)
COLUMNS = ("path", "state", "frames", "frames_promised", "reason")


@dataclass(frozen=True)
class VideoState:
    """The state of one video.

    Attributes:
        path: `Video.key`.
        state: one of STATES.
        frames: number of frames that can be decoded.
        promised: number of frames by the header of its file; None: unknown, or a segment.
        reason: what is wrong; empty if nothing is.
    """

    path: str
    state: str
    frames: int
    promised: int | None
    reason: str


def states(catalog: Catalog, scanned: Scan, clip_frames: int) -> list[VideoState]:
    """The state of every video, in the order of the catalog.

    Args:
        catalog: the videos.
        scanned: their scan.
        clip_frames: frames of a clip; a video with fewer is too short.
    """
    return list(_states(catalog, scanned, clip_frames))


def _states(catalog: Catalog, scanned: Scan, clip_frames: int) -> Iterator[VideoState]:
    for video in catalog.videos:
        key, properties = video.key, scanned.properties.get(video.path)
        promised = properties.promised if properties and not video.is_segment else None
        if reason := scanned.unreadable.get(key):
            yield VideoState(key, scanned.kinds.get(key, UNREADABLE), 0, promised, reason)
            continue
        frames, damage = scanned.frames[key], scanned.damaged.get(key)
        if damage:
            yield VideoState(
                key, CUT_OFF if is_cut_off(damage) else DAMAGED, frames, promised, damage
            )
        elif frames < clip_frames:
            reason = f"a clip has {clip_frames} frames; the video is repeated to fill it"
            yield VideoState(key, TOO_SHORT, frames, promised, reason)
        else:
            yield VideoState(key, OK, frames, promised, "")


def write_skip_list(file: Path, found: Iterable[VideoState]) -> int:
    """Writes the videos that cannot be decoded, as `skip_videos` reads them; returns their number."""
    rows = [
        (state.path, state.state, state.frames, state.promised or "", state.reason)
        for state in found
        if not state.frames
    ]
    atomic.write_csv(file, COLUMNS, rows)
    return len(rows)


def skip_videos(catalog: Catalog, file: str | os.PathLike[str]) -> Catalog:
    """Leaves the videos that a list names out of a catalog.

    Args:
        catalog: the videos.
        file: a CSV with a column `path`, such as skip.csv of `ar3d check`; a file or, as in
            `Video.key`, a segment.

    Returns:
        The catalog without them; its `ignored` names them.

    Raises:
        UserError: the list cannot be read, names a video that is not in the catalog, or leaves
            fewer than two classes.
    """
    listed = _read_list(Path(file))
    known = {name for video in catalog.videos for name in (video.path, video.key)}
    if unknown := [path for path in listed if path not in known]:
        raise UserError(
            f"`skip` {file} names {len(unknown)} videos that are not in {catalog.root} "
            f"({first_names(unknown)}): remove these rows"
        )
    keep = [video.path not in listed and video.key not in listed for video in catalog.videos]
    left_out = [v for v, kept in zip(catalog.videos, keep, strict=True) if not kept]
    chosen = dataclasses.replace(
        catalog,
        videos=tuple(v for v, kept in zip(catalog.videos, keep, strict=True) if kept),
        sizes=catalog.sizes
        and tuple(size for size, kept in zip(catalog.sizes, keep, strict=True) if kept),
        ignored=(*catalog.ignored, *((v.key, f"listed in {Path(file).name}") for v in left_out)),
    )
    if len(chosen.class_names) < 2:
        raise UserError(f"`skip` {file} leaves fewer than two classes of {catalog.root}")
    return chosen


def _read_list(file: Path) -> dict[str, None]:
    try:
        with file.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            rows = list(csv.DictReader(lines, strict=True))
    except (OSError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(f"`skip` {file} cannot be read ({reason})") from None
    if any(row.get("path") is None for row in rows):
        raise UserError(f"`skip` {file} has no column 'path': give a list that `ar3d check` wrote")
    return dict.fromkeys(row["path"] for row in rows if row["path"])
