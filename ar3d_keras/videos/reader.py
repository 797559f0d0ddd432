"""Reading videos: chosen frames of a video file or a folder of frames, as uint8 RGB.

`decoders` says which library decodes which file, and `inspection` finds out.
"""

import itertools
import os
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos import decoders, keyframes
from ar3d_keras.videos.decoders import Frames, OpenCVFrames, PyAVFrames, ReadError
from ar3d_keras.videos.frame_folder import frame_files, is_folder
from ar3d_keras.videos.inspection import (
    NO_FRAME,
    Facts,
    Properties,
    Viewer,
    Watcher,
    check_readable,
    gray,
    inspect,
    known_facts,
    remember,
)
from ar3d_keras.videos.keyframes import (
    FrameIndex,
    SeekError,
    grab_from_keyframes,
    index_file,
    known_index,
    worth_a_seek,
)
from ar3d_keras.videos.opencv import load_cv2, silence_cv2
from ar3d_keras.videos.region import Region, cut_region
from ar3d_keras.videos.remote import is_remote

__all__ = [
    "ASSUMED_RATE",
    "Header",
    "ReadError",
    "count_frames",
    "damage",
    "decoding_threads",
    "every_frame",
    "frame_index",
    "gray_frames",
    "load_cv2",
    "mirror",
    "rate_of",
    "read_frames",
    "read_header",
    "show_frames",
    "silence_cv2",
    "timed_frames",
]

AnyFrames = TypeVar("AnyFrames", bound=Frames)
_NO_IMAGES = "a folder without images"


def cores() -> int:
    """Number of processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decoding_threads(workers: int | None) -> int:
    """`workers`, or one thread per core.

    Raises:
        UserError: `workers` is below 1.
    """
    if workers is not None and workers < 1:
        raise UserError(f"`workers` must be at least 1, not {workers}")
    return workers or cores()


def gray_frames(path: str | os.PathLike, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """The wanted frames, in rising order, as `show_frames` shows them.

    Raises:
        ReadError: the video cannot be opened, or ends before one of the frames.
    """
    path = Path(path)
    if is_folder(path):
        files, mode = frame_files(path), load_cv2().IMREAD_GRAYSCALE
        yield from (_read_image(files[number], mode) for number in wanted)
        return
    done = 0
    index = known_index(path)
    if index and worth_a_seek(index, wanted):
        try:
            for frames in grab_from_keyframes(path, index, wanted):
                yield gray(frames.frame)
                done += 1
            return
        except (SeekError, ReadError):
            pass  # from the front
    for frames in _grab(PyAVFrames(path), wanted[done:]):
        yield gray(frames.frame)


def show_frames(path: str | os.PathLike, viewer: Viewer) -> Facts:
    """Decodes a whole video once and shows every frame to `viewer`.

    Args:
        path: a video file, or a folder of frames, which has no times: ASSUMED_RATE holds.
        viewer: gets the frames.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    path = Path(path)
    if not is_folder(path):
        return inspect(path, viewer)
    cv2, files = load_cv2(), frame_files(path)
    picture = None
    for number, file in enumerate(files):
        picture = _read_image(file, cv2.IMREAD_GRAYSCALE)
        viewer.add(number / ASSUMED_RATE, picture)
    if picture is None:
        raise ReadError(_NO_IMAGES)
    suffix = files[0].suffix.lower().removeprefix(".")
    properties = Properties(picture.shape[1], picture.shape[0], None, None, f"folder of {suffix}")
    return Facts(len(files), None, False, properties)


def count_frames(path: str | os.PathLike) -> int:
    """Counts the frames that can be decoded, at least 1.

    Headers are often wrong (a file may promise 311 frames and hold 310, or be cut off), so every
    frame is decoded; in a folder of frames every image is.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    cv2 = load_cv2()
    path = Path(path)
    if not is_folder(path):
        return inspect(path).frames
    files = frame_files(path)
    for file in files:
        _read_image(file, cv2.IMREAD_REDUCED_GRAYSCALE_8)
    if not files:
        raise ReadError(_NO_IMAGES)
    return len(files)


def damage(path: str | os.PathLike) -> str | None:
    """What is missing of a video that was counted or read to its end, for people; None: nothing."""
    facts = known_facts(Path(path))
    return facts.damage if facts else None


def frame_index(path: str | os.PathLike, *, threads: int = 1) -> FrameIndex:
    """The times of all frames of a video, and the key frames that decoding can start from.

    A file is decoded once and the result is cached under the user's cache folder. From then on
    `read_frames` starts at the key frame before the frame that it needs.

    Args:
        path: a video file, or a folder of frames, which are shown 25 a second.
        threads: decoding threads.

    Raises:
        ReadError: no frame can be decoded, or an image of a folder of frames is damaged.
    """
    path = Path(path)
    if is_folder(path):
        return even_index(count_frames(path))
    return index_file(path, 1 / rate_of(path), threads=threads)


def make_index(path: Path, *, threads: int = 1, viewer: Viewer | None = None) -> FrameIndex:
    """`frame_index` of a file that is decoded in any case, and kept nowhere.

    Args:
        path: a video file.
        threads: decoding threads.
        viewer: gets every frame; see `show_frames`.

    Raises:
        ReadError: no frame can be decoded.
    """
    return keyframes.make_index(path, 1 / rate_of(path), threads=threads, viewer=viewer)


def even_index(frames: int) -> FrameIndex:
    """The times of a folder of frames."""
    return FrameIndex(np.arange(frames) / ASSUMED_RATE, frames / ASSUMED_RATE)


def read_frames(
    path: str | os.PathLike,
    indices: Sequence[int] | np.ndarray,
    size: tuple[int, int],
    *,
    crop: tuple[slice, slice] = (slice(None), slice(None)),
    out: np.ndarray | None = None,
    roi: Region | None = None,
) -> np.ndarray:
    """Decodes the frames of a video that `indices` name.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        indices: frame numbers from 0, in any order, repeats allowed.
        size: (height, width) that each frame is resized to, bilinearly.
        crop: rows and columns of the resized frame to return.
        out: uint8, C-contiguous, of the shape returned, to write to; None: a new array.
        roi: the region of each frame that is resized, see `region`; None: the whole frame.

    Returns:
        uint8 (len(indices), height, width of the crop, 3), RGB, upright (rotation flags are
        respected): `out` where it was given.

    Raises:
        ReadError: the video cannot be opened, ends before one of the frames, or does not contain
            the region.
    """
    cv2 = load_cv2()
    path = Path(path)
    wanted = sorted(set(map(int, indices)))
    decoded = _from_folder(path, wanted) if is_folder(path) else _from_file(path, wanted)
    small = np.empty((*size, 3), np.uint8)
    cropped = small[crop]
    if out is None:
        out = np.empty((len(indices), *cropped.shape), np.uint8)
    places: dict[int, list[int]] = {}
    for place, index in enumerate(indices):
        places.setdefault(int(index), []).append(place)
    for index, frame in zip(wanted, decoded, strict=True):
        first, *others = places[index]
        frame = cut_region(frame, roi)
        cv2.resize(frame, size[::-1], dst=small, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(cropped, cv2.COLOR_BGR2RGB, dst=out[first])
        for other in others:
            out[other] = out[first]
    return out


def mirror(clip: np.ndarray) -> None:
    """Flips every frame left to right, in place, and negates the flow's dx: uint8 (T, H, W, C).

    It must be C-contiguous. Channels are RGB, or RGB, dx, dy as `flow` stores them.
    """
    # One call a clip, ten times as fast as NumPy's copy of a reversed axis.
    rows = clip.reshape(-1, *clip.shape[2:])
    load_cv2().flip(rows, 1, dst=rows)
    if clip.shape[-1] > 3:
        np.negative(clip[..., 3], out=clip[..., 3])  # in uint8, 256 - value: 128 stays


def every_frame(
    path: str | os.PathLike, size: tuple[int, int], *, roi: Region | None = None
) -> Iterator[np.ndarray]:
    """Decodes a whole video, frame by frame: the frames of `read_frames`, `count_frames` of them.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        size: (height, width) that each frame is resized to, bilinearly.
        roi: see `read_frames`.

    Yields:
        uint8 (height, width, 3), BGR, as OpenCV's encoders expect it, at least once.

    Raises:
        ReadError: no frame can be decoded, or a frame of a folder cannot.
    """
    cv2 = load_cv2()
    path = Path(path)
    frames: Iterator[np.ndarray]
    if is_folder(path):
        frames = (frame for _, frame in timed_frames(path))
    else:
        frames = _from_file(path, range(inspect(path).frames))
    for frame in frames:
        frame = cut_region(frame, roi)
        yield cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)


def timed_frames(
    path: str | os.PathLike, *, threads: int = 1, numbers: Sequence[int] | None = None
) -> Iterator[tuple[float, np.ndarray]]:
    """Decodes a video, frame by frame, in its own size, with the time of each frame.

    A file is decoded once, from front to back, however long it is. When the last frame was
    yielded, `damage` knows what is missing.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        threads: decoding threads.
        numbers: of the frames of a segment, rising; their times are those of `frame_index`. None:
            all frames.

    Yields:
        seconds since the first frame, strictly increasing, and uint8 (height, width, 3), BGR,
        which the next frame overwrites; at least once.

    Raises:
        ReadError: no frame can be decoded, or a frame of a folder cannot.
    """
    path = Path(path)
    folder = is_folder(path)
    if numbers is not None:
        times = frame_index(path, threads=threads).times[list(numbers)].tolist()
        decoded = _from_folder(path, numbers) if folder else _from_file(path, numbers)
        yield from zip(times, decoded, strict=True)
        return
    frame = None
    for time, frame in _all_of_folder(path) if folder else _all_of_file(path, threads):
        yield time, frame
    if frame is None:
        raise ReadError(_NO_IMAGES if folder else NO_FRAME)


ASSUMED_RATE = 25.0  # frames per second of a video without time stamps and without a rate


@dataclass(frozen=True)
class Header:
    """What a video tells without decoding a frame.

    Attributes:
        frames: number of frames by the container's header, which is often wrong; 0: unknown.
        rate: frames per second; None: unknown.
    """

    frames: int
    rate: float | None


def read_header(path: str | os.PathLike) -> Header:
    """Reads the number of frames and the frame rate without decoding a frame.

    The rate is the header's where the time stamps of the first frames agree with it, otherwise
    that of the time stamps: browsers record 30 frames per second under a header of 1000.

    Args:
        path: a video file, or a folder of frames.

    Raises:
        ReadError: the video cannot be opened.
    """
    path = Path(path)
    if is_folder(path):
        return Header(len(frame_files(path)), None)
    check_readable(path)
    frames = PyAVFrames(path)
    try:
        rate = plausible_rate(frames.told_rate, frames.first_time_stamps())
        promised = frames.stream.frames or round((frames.duration or 0) * (rate or 0))
        return Header(promised, rate)
    finally:
        frames.close()


def rate_of(path: str | os.PathLike) -> float:
    """Frames per second of a video: see `read_header`; 25 where nothing tells.

    Raises:
        ReadError: the video cannot be opened.
    """
    return read_header(path).rate or ASSUMED_RATE


def plausible_rate(told: float | None, stamps: Sequence[float]) -> float | None:
    """The frame rate of a video or a stream.

    Args:
        told: frames per second by the header; None or absurd: not told.
        stamps: time stamps of some consecutive frames, in seconds, in any order.

    Returns:
        frames per second: `told` where the time stamps agree with it within a tenth, else the
        rate of the time stamps, pauses left out; None where neither says.
    """
    if told is not None and not 0.1 <= told <= 1000:
        told = None
    ordered = sorted(stamps)
    steps = [b - a for a, b in itertools.pairwise(ordered) if b > a]
    if len(steps) < 2:
        return told
    typical = statistics.median(steps)
    # The mean of the usual steps: some containers round each time stamp to a millisecond.
    usual = statistics.fmean([step for step in steps if 0.5 < step / typical < 2])
    measured = round(1 / usual, 2)
    if told and abs(told / measured - 1) < 0.1:
        return told
    return measured if 0.1 <= measured <= 1000 else told


def _all_of_file(path: Path, threads: int) -> Iterator[tuple[float, np.ndarray]]:
    at = check_readable(path)
    frames = PyAVFrames(path, threads)
    try:
        watcher = Watcher(frames, step=1 / rate_of(path))
        while frames.grab():
            watcher.see()
            yield watcher.seconds, frames.retrieve()
        remember(path, watcher.facts(), at)
    finally:
        frames.close()


def _all_of_folder(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    cv2 = load_cv2()
    for number, file in enumerate(frame_files(path)):
        yield number / ASSUMED_RATE, _read_image(file, cv2.IMREAD_COLOR)


def _from_file(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    """The wanted frames, in rising order; each takes the memory of the one before."""
    done = 0
    index = known_index(path)
    if index and worth_a_seek(index, wanted):
        try:
            for frames in grab_from_keyframes(path, index, wanted):
                yield frames.retrieve()
                done += 1
            return
        except (SeekError, ReadError):
            pass  # from the front
    if inspect(path).fast and not is_remote(path):
        try:
            for frame in _forward(OpenCVFrames(path), wanted[done:]):
                yield frame
                done += 1
            return
        except ReadError:
            pass  # this OpenCV cannot: PyAV, which has read the whole file, can
    yield from _forward(PyAVFrames(path), wanted[done:])


def _forward(frames: Frames, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    return (grabbed.retrieve() for grabbed in _grab(frames, wanted))


def _grab(frames: AnyFrames, wanted: Sequence[int]) -> Iterator[AnyFrames]:
    """Decodes from the front: seeking is inexact (opencv#9053) and, within one GOP, no faster."""
    try:
        position = 0
        for index in wanted:
            while position <= index:
                if not frames.grab():
                    raise ReadError(f"it ends after {position} frames, before frame {index}")
                position += 1
            yield frames
    finally:
        frames.close()


def _from_folder(path: Path, wanted: Sequence[int]) -> Iterator[np.ndarray]:
    cv2 = load_cv2()
    files = frame_files(path)
    for index in wanted:
        if index >= len(files):
            raise ReadError(f"it ends after {len(files)} frames, before frame {index}")
        yield _read_image(files[index], cv2.IMREAD_COLOR)


def _read_image(file: Path, mode: int) -> np.ndarray:
    """Decodes from memory: cv2.imread cannot open every name that a file system can hold."""
    decoders.heartbeat()
    try:
        frame = load_cv2().imdecode(np.fromfile(file, np.uint8), mode)
    except (OSError, load_cv2().error):  # unreadable, or of zero bytes
        frame = None
    if frame is None:
        raise ReadError(f"its frame {file.name} cannot be decoded")
    return frame
