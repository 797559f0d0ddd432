"""Decodes every video once before training: how many frames each has, and which are damaged."""

import contextlib
import functools
import hashlib
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.distributed.workers import WorkerError, open_workers
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.cache import cache_folder
from ar3d_keras.videos.catalog import Catalog
from ar3d_keras.videos.content import load_descriptors, store_descriptors
from ar3d_keras.videos.descriptor import Descriptor
from ar3d_keras.videos.file_scanner import FileScanner, ScannedFile, ScanRequest
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.inspection import Facts, Properties, remember, stamp
from ar3d_keras.videos.isolation import UNREADABLE, Limits, kind_of
from ar3d_keras.videos.keyframes import cached_index, keep_index
from ar3d_keras.videos.reader import ReadError, decoding_threads, even_index, frame_index
from ar3d_keras.videos.sampling import frames_at
from ar3d_keras.videos.segments import by_file, check_inside, frames_of, stretch
from ar3d_keras.videos.video import Video

_PROPERTIES = len(fields(Properties))


@dataclass(frozen=True)
class Scan:
    """The result of decoding every video once.

    Attributes:
        frames: `Video.key` -> number of frames that can be decoded, at least 1.
        unreadable: key -> reason, for the videos without a decodable frame.
        kinds: key -> "unreadable", "crashed", "timed out" or "too large", for the same videos.
        damaged: key -> what is missing, for the videos of which only a part can be decoded.
        hashes: key -> `content_hash` of the file, for the videos in `frames`.
        numbers: key -> which frames of its file a video consists of, where that is a segment or
            sampled in time; a video that is not in here consists of all of them.
        properties: path of a file -> sizes, rates and codecs; complete after a scan with descriptors.
        descriptors: key -> what `duplicates.find_pairs` compares; empty without `descriptors`.
    """

    frames: dict[str, int]
    unreadable: dict[str, str]
    damaged: dict[str, str] = field(default_factory=dict)
    hashes: dict[str, str] = field(default_factory=dict)
    properties: dict[str, Properties] = field(default_factory=dict)
    descriptors: dict[str, Descriptor] = field(default_factory=dict)
    numbers: dict[str, Sequence[int] | np.ndarray] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)


class _Entry(NamedTuple):
    """What is known of a video that can be decoded."""

    stamp: str  # size and modification time
    frames: int
    hash: str
    damage: str | None
    fast: bool = False
    properties: list[Any] | None = None  # the values of a Properties


def scan(
    catalog: Catalog,
    *,
    workers: int | None,
    progress: Callable[[int], None] = lambda done: None,
    descriptors: bool = False,
    clip_segments: bool = False,
    fps: float | None = None,
    limits: Limits | None = None,
    on: str | None = None,
    reporter: Reporter | None = None,
) -> Scan:
    """Decodes every file once (about 10 ms for a UCF-101 video, one thread).

    Files are decoded in other processes, so a decoder that crashes, hangs or needs too much memory
    costs its file and not the scan; see `isolation`.

    The results are cached under the user's cache folder by path, size and modification time, so
    the second run on a dataset starts at once. Failures are not cached: a permission, a disk or
    OpenCV may be repaired without the file changing. Without a cache folder, nothing is cached.

    Args:
        catalog: the videos.
        workers: processes that decode, or Ray actors with `on`; None: one for each core.
        progress: called with the number of videos done.
        clip_segments: whether a segment may end beyond its file.
        fps: frames a second that a video consists of, see `sampling.frames_at`; None: those that it
            has.
        descriptors: whether to describe the content of every video too.
        limits: on the decoding of one file; None: the defaults.
        on: where the files are decoded, see `workers.check_on`.
        reporter: logs what happens to Ray actors.

    Raises:
        UserError: a segment contains no frame, or ends beyond its file.
    """
    limits = limits or Limits()
    cache = _cache_file(catalog)
    known = _load(cache)
    stamps = {video.path: _stamp(catalog.root / video.path) for video in catalog.videos}
    rows: dict[str, list[Video]] = defaultdict(list)
    for video in catalog.videos:
        rows[video.path].append(video)
    described: dict[str, tuple[str, Descriptor]] = {}
    if descriptors and cache:
        stored = load_descriptors(cache.with_suffix(".npz"))
        at = {video.key: stamps[video.path] for video in catalog.videos}
        described = {key: value for key, value in stored.items() if value[0] == at.get(key)}
    entries = {
        path: known[path]
        for path, stamp in stamps.items()
        if path in known
        and known[path].stamp == stamp
        and (
            not descriptors
            or (known[path].properties and all(row.key in described for row in rows[path]))
        )
    }
    for path, entry in entries.items():  # so that nothing inspects these files again
        facts = Facts(entry.frames, entry.damage, entry.fast, _properties(entry))
        remember(catalog.root / path, facts, entry.stamp)
    unreadable: dict[str, ReadError | WorkerError] = {}
    outside: dict[str, str] = {}  # `Video.key` -> reason
    timed = stamps if fps else by_file(catalog.videos)
    todo = [path for path in stamps if path not in entries or path in timed]
    # A long file is decoded by the threads that have no file of their own.
    threads = 1 if on else max(1, decoding_threads(workers) // max(1, len(todo)))
    make = functools.partial(FileScanner, catalog.root, limits)
    done = len(catalog.videos) - sum(len(rows[path]) for path in todo)
    progress(done)

    def requests() -> Iterator[ScanRequest]:
        for path in todo:
            video = catalog.root / path
            timed_file = path in timed and not is_folder(video)
            indexed = timed_file and cached_index(video, stamps[path])
            if path not in entries or (timed_file and not indexed):
                described_rows = tuple(rows[path]) if descriptors else ()
                yield ScanRequest(path, described_rows, timed_file and not indexed, threads)

    try:
        with (
            open_workers(
                on,
                make,
                workers=workers,
                threads=decoding_threads(workers),
                reporter=reporter or Reporter(),
            ) as pool,
            contextlib.closing(pool.map(requests())) as results,
        ):
            for request, future in results:
                path = request.path
                try:
                    seen: ScannedFile = future.result()
                except (ReadError, WorkerError) as error:
                    unreadable[path] = error
                    entries.pop(path, None)
                else:
                    _keep(catalog.root / path, stamps[path], seen)
                    outside.update(seen.examination.outside)
                    described.update(
                        (key, (stamps[path], value))
                        for key, value in seen.examination.descriptors.items()
                    )
                    entries[path] = _entry(stamps[path], seen)
                done += len(rows[path])
                progress(done)
        if done < len(catalog.videos):  # files whose times are known already
            progress(len(catalog.videos))
    finally:
        # Ctrl-C keeps what was scanned so far, and a scan of one split keeps the other splits.
        if todo:
            _store(cache, known | entries)
            if descriptors and cache:
                store_descriptors(cache.with_suffix(".npz"), described)
    found = _by_video(catalog, entries, unreadable, clip_segments, fps)
    found.properties.update(
        (path, value) for path, entry in entries.items() if (value := _properties(entry))
    )
    found.descriptors.update((key, described[key][1]) for key in found.frames if key in described)
    for key, reason in outside.items():
        found.unreadable[key], found.kinds[key] = reason, UNREADABLE
        for of_video in (found.frames, found.hashes, found.numbers, found.damaged):
            of_video.pop(key, None)
    return found


def _keep(video: Path, at: str, seen: ScannedFile) -> None:
    """Remembers what a pass over a file has shown, so that nothing reads it again for that."""
    if seen.examination.index:
        keep_index(video, at, seen.examination.index)
    remember(video, seen.examination.facts, at)


def _entry(at: str, seen: ScannedFile) -> _Entry:
    facts = seen.examination.facts
    values = list(vars(facts.properties).values()) if facts.properties else None
    return _Entry(at, facts.frames, seen.hash, facts.damage, facts.fast, values)


def _by_video(
    catalog: Catalog,
    entries: Mapping[str, _Entry],
    failures: Mapping[str, ReadError | WorkerError],
    clip: bool,
    fps: float | None,
) -> Scan:
    """The scan of files as that of the videos and segments in them."""
    found = Scan({}, {})
    for video in catalog.videos:
        key = video.key
        if video.path in failures:
            found.unreadable[key] = str(failures[video.path])
            found.kinds[key] = kind_of(failures[video.path])
            continue
        entry = entries[video.path]
        numbers: Sequence[int] | np.ndarray = range(entry.frames)
        if video.is_segment or fps:
            path = catalog.root / video.path
            index = even_index(entry.frames) if is_folder(path) else frame_index(path)
            own = numbers = frames_of(video, index.times)
            if not own and entry.damage:
                found.unreadable[key] = f"it lies in a part that is missing: {entry.damage}"
                found.kinds[key] = UNREADABLE
                continue
            check_inside(
                video, len(own), float(index.times[-1]), index.end, catalog.root,
                clip=clip or bool(entry.damage),
            )  # fmt: skip
            if fps:
                start, end = stretch(video, index.end)
                times = index.times[own.start : own.stop] - start
                numbers = own.start + frames_at(times, end - start, fps)
            found.numbers[key] = numbers
        found.frames[key], found.hashes[key] = len(numbers), entry.hash
        if entry.damage:
            found.damaged[key] = entry.damage
    return found


def _properties(entry: _Entry) -> Properties | None:
    return Properties(*entry.properties) if entry.properties else None


def _stamp(path: Path) -> str:
    try:
        return stamp(path)
    except OSError:
        return "absent"


def _cache_file(catalog: Catalog) -> Path | None:
    """None where the user has no home folder, as in a container with an unknown user id."""
    folder = cache_folder()
    name = hashlib.sha256(os.fsencode(catalog.root)).hexdigest()[:16]
    return folder / f"scan-{name}.json" if folder else None


def _load(file: Path | None) -> dict[str, _Entry]:
    """The cached entries by path; empty where there is no cache, or a damaged one."""
    if file is None:
        return {}
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        entries = {path: _Entry(*values) for path, values in content.items()}
        return {path: entry for path, entry in entries.items() if _valid(entry)}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _valid(entry: _Entry) -> bool:
    return (
        isinstance(entry.stamp, str)
        and isinstance(entry.frames, int)
        and entry.frames >= 1
        and isinstance(entry.hash, str)
        and isinstance(entry.damage, str | None)
        and isinstance(entry.fast, bool)
        and (entry.properties is None or len(entry.properties) == _PROPERTIES)
    )


def _store(file: Path | None, known: dict[str, _Entry]) -> None:
    # A cache that cannot be written only costs the next run its time. JSON's escapes hold any
    # name that a file system can, line breaks and bytes that are not UTF-8 included.
    if file is not None:
        with contextlib.suppress(OSError):
            atomic.write_text(file, json.dumps(known))
