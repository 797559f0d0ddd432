"""The times of a file's frames, and its key frames, from which decoding can start.

Clips of a segment are chosen by time stamps, and a clip near the end of a long file is not decoded
from the front. Both need one pass over the file, whose result is cached.

FFmpeg seeks to a key frame, and some files make that wrong: an index that is missing or damaged,
frames that refer to pictures before the key frame, time stamps that are missing or go back. The
pass compares some stretches of the file, decoded after a seek, with the same stretches decoded from
the front. If one differs, the file is always decoded from the front.
"""

import contextlib
import hashlib
import itertools
import os
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras import atomic
from ar3d_keras.videos.cache import cache_folder
from ar3d_keras.videos.decoders import PyAVFrames, ReadError
from ar3d_keras.videos.inspection import Viewer, Watcher, check_readable, remember, stamp

VERSION = 1
# A key frame so many frames ahead is worth a seek, which opens no file but drops what is buffered.
WORTH_A_SEEK = 16
# At most so many frames after a key frame are compared.
COMPARED = 64


@dataclass(frozen=True)
class FrameIndex:
    """The times of a video's frames, and where decoding can start.

    Attributes:
        times: float64 (frames,), seconds since the first frame, strictly rising.
        end: the end of the last frame, in seconds since the first one.
        keyframes: int64 (k,), numbers of frames that can be decoded without those before them, in
            rising order; empty: only the front.
        stamps: int64 (frames,), the time stamps in the file, in units of its time base, to
            recognize frames after a seek; empty without `keyframes`.
    """

    times: np.ndarray
    end: float
    keyframes: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))
    stamps: np.ndarray = field(default_factory=lambda: np.empty(0, np.int64))


# Absolute path -> stamp of the file, and its index.
_known: dict[str, tuple[str, FrameIndex]] = {}


def known_index(path: Path) -> FrameIndex | None:
    """The index of a file that was indexed by this process and has not changed since."""
    at, index = _known.get(os.fspath(path.absolute()), ("", None))
    try:
        return index if index and at == stamp(path) else None
    except OSError:
        return None


def index_file(path: Path, step: float, *, threads: int = 1) -> FrameIndex:
    """Indexes a file: from this process, from the cache of the user, or by decoding it once.

    Args:
        path: a video file.
        step: seconds between two frames by its frame rate.
        threads: decoding threads.

    Raises:
        ReadError: the file cannot be opened, or no frame can be decoded.
    """
    at = check_readable(path)
    if index := cached_index(path, at):
        return index
    index = make_index(path, step, threads=threads)
    keep_index(path, at, index)
    return index


def cached_index(path: Path, at: str) -> FrameIndex | None:
    """The index of a file, from this process or the cache of the user; None: it is in neither.

    Args:
        path: a video file.
        at: its stamp.
    """
    index = known_index(path) or _load(_cache_file(path), at)
    if index:
        remember_index(path, index, at)
    return index


def remember_index(path: Path, index: FrameIndex, at: str) -> None:
    """Keeps an index for this process; `at` is the file's stamp when it was indexed."""
    _known[os.fspath(path.absolute())] = at, index


def keep_index(path: Path, at: str, index: FrameIndex) -> None:
    """Keeps what `make_index` made of a file, in this process and in the cache of the user.

    Args:
        path: a video file.
        at: its stamp when it was indexed.
        index: its index.
    """
    _store(_cache_file(path), at, index)
    remember_index(path, index, at)


def worth_a_seek(index: FrameIndex, wanted: Sequence[int]) -> bool:
    """Whether frames, in rising order, are decoded sooner from the key frames before them."""
    position, keyframes = 0, index.keyframes
    for number in wanted if len(keyframes) else ():
        before = keyframes[np.searchsorted(keyframes, number, side="right") - 1]
        if before > position + WORTH_A_SEEK:
            return True
        position = number + 1
    return False


def grab_from_keyframes(
    path: Path, index: FrameIndex, wanted: Sequence[int]
) -> Iterator[PyAVFrames]:
    """Decodes frames, starting from the key frames before them.

    Args:
        path: a video file.
        index: its index, with key frames.
        wanted: frame numbers, in rising order.

    Yields:
        the decoder, whose `frame` is the wanted one.

    Raises:
        SeekError: the file did not seek as it did when it was indexed.
        ReadError: it ends before one of the frames.
    """
    frames = PyAVFrames(path)
    keyframes = index.keyframes.tolist()
    try:
        position = 0  # number of the next frame
        for number in wanted:
            keyframe = keyframes[bisect_right(keyframes, number) - 1]
            if keyframe > position + WORTH_A_SEEK:
                _go_to(frames, int(index.stamps[keyframe]))
                position = keyframe + 1
            while position <= number:
                if not frames.grab():
                    raise ReadError(f"it ends after {position} frames, before frame {number}")
                position += 1
            if frames.frame.pts != index.stamps[number]:
                raise SeekError
            yield frames
    finally:
        frames.close()


class SeekError(Exception):
    """A seek led somewhere else."""


def _go_to(frames: PyAVFrames, stamp: int) -> None:
    """Seeks, and grabs the frame of this time stamp."""
    frames.seek(stamp)
    while frames.grab():
        pts = frames.frame.pts
        if pts == stamp:
            return
        if pts is None or pts > stamp:
            break
    raise SeekError


def make_index(
    path: Path, step: float, *, threads: int = 1, viewer: Viewer | None = None
) -> FrameIndex:
    """Decodes a file once, and some stretches of it again; see `index_file`.

    Args:
        path: a video file.
        step: seconds between two frames by its frame rate.
        threads: decoding threads.
        viewer: gets every frame.
    """
    at = check_readable(path)
    frames = PyAVFrames(path, threads)
    try:
        watcher = Watcher(frames, viewer, step)
        times: list[float] = []
        stamps: list[int | None] = []
        keyframes: list[int] = []
        compared: dict[int, int | None] = {}
        since, checked, duration = 0, False, None
        while frames.grab():
            watcher.see()
            frame, number = frames.frame, len(times)
            if frame.key_frame:
                keyframes.append(number)
                since, ordinal = 0, len(keyframes) - 1
                checked = ordinal > 0 and ordinal & (ordinal - 1) == 0  # 1, 2, 4, 8, ...
            if checked and since < COMPARED:
                compared[number] = _checksum(frame)
            since += 1
            times.append(watcher.seconds)
            stamps.append(frame.pts)
            duration = frame.duration and float(frame.duration * frames.stream.time_base)
        facts = watcher.facts()
    finally:
        frames.close()
    remember(path, facts, at)
    # A duration that is no multiple of a frame is of a header that means something else.
    last = duration if duration and 0.2 * step < duration < 100 * step else step
    index = FrameIndex(np.array(times), times[-1] + last)
    known = [stamp for stamp in stamps if stamp is not None]
    rising = known == stamps and all(a < b for a, b in itertools.pairwise(known))
    if facts.damage or not rising or len(keyframes) < 2:
        return index
    able = FrameIndex(index.times, index.end, np.array([0, *keyframes]), np.array(known))
    return able if _seeks_exactly(path, able, compared) else index


def _seeks_exactly(path: Path, index: FrameIndex, compared: dict[int, int | None]) -> bool:
    """Whether decoding after a seek gives the pictures that decoding from the front gave."""
    keyframes = set(index.keyframes.tolist())
    frames = PyAVFrames(path)
    try:
        for number, checksum in compared.items():
            if number in keyframes:
                _go_to(frames, int(index.stamps[number]))
            elif not frames.grab():
                return False
            if frames.frame.pts != index.stamps[number] or _checksum(frames.frame) != checksum:
                return False
        return bool(compared) and None not in compared.values()
    except (SeekError, ReadError):
        return False
    finally:
        frames.close()


def _checksum(frame: Any) -> int | None:
    """CRC-32 of a frame's pixels; None for a pixel format that PyAV gives no array of."""
    try:
        return zlib.crc32(frame.to_ndarray().tobytes())
    except ValueError:
        return None


def _cache_file(path: Path) -> Path | None:
    """None if the user has no home folder, as in a container with an unknown user id."""
    folder = cache_folder()
    name = hashlib.sha256(os.fsencode(path.absolute())).hexdigest()[:16]
    return folder / f"frames-{name}.npz" if folder else None


def _load(file: Path | None, at: str) -> FrameIndex | None:
    """The cached index; None if there is none, or it is damaged or of another state of the file."""
    if file is None:
        return None
    try:
        with np.load(file, allow_pickle=False) as content:
            if content["version"] != VERSION or str(content["at"]) != at:
                return None
            names = "times", "end", "keyframes", "stamps"
            times, end, keyframes, stamps = (content[name] for name in names)
    except (OSError, ValueError, KeyError, EOFError, zlib.error):
        return None
    return FrameIndex(times, float(end), keyframes, stamps)


def _store(file: Path | None, at: str, index: FrameIndex) -> None:
    """Writes the cache; the next run decodes the file again if that fails."""
    if file is None:
        return
    with contextlib.suppress(OSError), atomic.replacing(file) as temporary:
        np.savez(temporary, version=VERSION, at=at, **vars(index))
