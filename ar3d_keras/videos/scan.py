"""How many frames each video really has, and which cannot be decoded: known before training."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras import atomic
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.reader import ReadError, count_frames


@dataclass(frozen=True)
class Scan:
    """What decoding every video once has shown.

    Attributes:
        frames: path -> frames that can be decoded, at least 1.
        unreadable: path -> reason, for the videos that give no frame.
    """

    frames: dict[str, int]
    unreadable: dict[str, str]


def scan(
    catalog: Catalog,
    *,
    workers: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Scan:
    """Grabs every frame of every video once (about 10 ms for a UCF-101 video, one thread).

    What was counted is remembered under the user's cache folder by path, size and time of
    change, so the second run of a data set starts at once. A failure is never remembered: a
    permission, a disk or an OpenCV may be mended without the file changing.

    Args:
        catalog: the videos.
        workers: threads; OpenCV decodes without Python's global lock.
        progress: called with the number of videos done.
    """
    cache = _cache_file(catalog)
    known = _load(cache)
    stamps = {video.path: _stamp(catalog.root / video.path) for video in catalog.videos}
    frames = {path: known[path][1] for path in stamps if known.get(path, ("",))[0] == stamps[path]}
    unreadable: dict[str, str] = {}
    todo = [path for path in stamps if path not in frames]

    def look(path: str) -> int | str:
        try:
            return count_frames(catalog.root / path)
        except ReadError as error:
            return str(error)

    progress(len(frames))
    try:
        with ThreadPoolExecutor(workers) as pool:
            for path, answer in zip(todo, pool.map(look, todo), strict=True):
                if isinstance(answer, int):
                    frames[path] = answer
                else:
                    unreadable[path] = answer
                progress(len(frames) + len(unreadable))
    finally:
        # Ctrl-C keeps what was counted so far, and a probe of one split keeps the others'.
        if todo:
            _store(cache, known | {path: (stamps[path], frames[path]) for path in frames})
    return Scan(frames, unreadable)


def _stamp(path: Path) -> str:
    """Size and time of change; a folder of frames changes as a frame is added or taken away."""
    try:
        status = path.stat()
    except OSError:
        return "absent"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _cache_file(catalog: Catalog) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(catalog.root)).hexdigest()[:16]
    return home / "ar3d_keras" / f"frames-{name}.json"


def _load(file: Path) -> dict[str, tuple[str, int]]:
    """What is known, path -> (stamp, frames); empty where there is no cache, or none that makes sense."""
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        return {
            path: (stamp, frames)
            for path, (stamp, frames) in entries.items()
            if isinstance(frames, int) and frames >= 1
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _store(file: Path, known: dict[str, tuple[str, int]]) -> None:
    # A cache that cannot be written only costs the next run its time. JSON's escapes hold any
    # name that a file system can, line breaks and bytes that are not UTF-8 included.
    with contextlib.suppress(OSError):
        atomic.write_text(file, json.dumps(known))
