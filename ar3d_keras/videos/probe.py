"""How many frames each video really has, and which cannot be decoded: known before training."""

import contextlib
import csv
import hashlib
import io
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ar3d_keras import atomic
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.reader import ReadError, count_frames


@dataclass(frozen=True)
class Probe:
    """What decoding every video once has shown.

    Attributes:
        frames: path -> frames that can be decoded, at least 1.
        unreadable: path -> reason, for the videos that give no frame.
    """

    frames: dict[str, int]
    unreadable: dict[str, str]


def probe(
    catalog: Catalog,
    *,
    workers: int,
    progress: Callable[[int], None] = lambda done: None,
) -> Probe:
    """Grabs every frame of every video once (about 10 ms for a UCF-101 video, one thread).

    What was found is remembered under the user's cache folder by path, size and time of
    change, so the second run of a data set starts at once.

    Args:
        catalog: the videos.
        workers: threads; OpenCV decodes without Python's global lock.
        progress: called with the number of videos done.
    """
    cache = _cache_file(catalog)
    known = _load(cache)
    stamps = {video.path: _stamp(catalog.root / video.path) for video in catalog.videos}
    found: dict[str, str] = {}  # path -> "164" or a reason
    todo = []
    for path, stamp in stamps.items():
        if (path, stamp) in known:
            found[path] = known[path, stamp]
        else:
            todo.append(path)

    def look(path: str) -> str:
        try:
            return str(count_frames(catalog.root / path))
        except ReadError as error:
            return str(error)

    with ThreadPoolExecutor(workers) as pool:
        for done, (path, answer) in enumerate(zip(todo, pool.map(look, todo), strict=True), 1):
            found[path] = answer
            progress(len(catalog) - len(todo) + done)
    if todo:
        _store(cache, [(path, stamps[path], found[path]) for path in stamps])
    return Probe(
        frames={path: int(answer) for path, answer in found.items() if answer.isdigit()},
        unreadable={path: answer for path, answer in found.items() if not answer.isdigit()},
    )


def _stamp(path: Path) -> str:
    """Size and time of change: of the file, or of a folder of frames (its newest entry)."""
    try:
        status = path.stat()
    except OSError:
        return "absent"
    return f"{status.st_size}-{status.st_mtime_ns}"


def _cache_file(catalog: Catalog) -> Path:
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    name = hashlib.sha256(os.fsencode(catalog.root)).hexdigest()[:16]
    return home / "ar3d_keras" / f"frames-{name}.csv"


def _load(file: Path) -> dict[tuple[str, str], str]:
    try:
        rows = list(csv.reader(file.open(encoding="utf-8", newline="")))
    except (OSError, UnicodeDecodeError, csv.Error):
        return {}
    return {(row[0], row[1]): row[2] for row in rows if len(row) == 3}


def _store(file: Path, rows: list[tuple[str, str, str]]) -> None:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    # A cache that cannot be written only costs the next run its time.
    with contextlib.suppress(OSError):
        atomic.write_text(file, text.getvalue())
