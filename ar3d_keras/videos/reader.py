"""OpenCV decoding: chosen frames of a video file or a folder of frames, as uint8 RGB."""

import functools
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.frame_folder import frame_files, is_folder
from ar3d_keras.videos.video import ReadError


def cores() -> int:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def decoding_threads(asked: int | None) -> int:
    """`--workers`, or one per core.

    Raises:
        UserError: fewer than one.
    """
    if asked is not None and asked < 1:
        raise UserError(f"--workers {asked} must be at least 1")
    return asked or cores()


def silence_cv2() -> None:
    """Keeps OpenCV and FFmpeg from the terminal; before anybody, Keras too, imports them.

    Their complaints about damaged streams would tear the progress bar; what cannot be decoded is
    reported by name instead.
    """
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    os.environ.setdefault("OPENCV_LOG_LEVEL", "SILENT")


@functools.cache
def load_cv2():
    """Imports OpenCV, quiet and with one thread a call: the pipeline runs calls in parallel.

    Raises:
        UserError: OpenCV is there but its system library is not.
    """
    silence_cv2()
    try:
        import cv2
    except ImportError as error:
        if "cannot open shared object file" in str(error):
            raise UserError(
                f"OpenCV cannot load ({error}): run `apt-get install -y libgl1`, or "
                "`pip uninstall opencv-python && pip install opencv-python-headless`"
            ) from None
        raise
    cv2.setNumThreads(1)
    return cv2


def count_frames(path: str | os.PathLike) -> int:
    """The number of frames that can be decoded from the front, at least 1.

    Headers lie (a file may promise 311 frames and hold 310, or be cut off), so every frame is
    grabbed; in a folder of frames every image is read.

    Raises:
        ReadError: no frame at all, or an image of a folder of frames is damaged.
    """
    cv2 = load_cv2()
    path = Path(path)
    if is_folder(path):
        files = frame_files(path)
        for file in files:
            _read_image(file, cv2.IMREAD_REDUCED_GRAYSCALE_8)
        if not files:
            raise ReadError("a folder without images")
        return len(files)
    capture = _open(path)
    try:
        if not capture.read()[0]:
            raise ReadError(_NO_FRAME)
        count = 1
        while capture.grab():
            count += 1
        return count
    finally:
        capture.release()


def read_frames(
    path: str | os.PathLike,
    indices: Sequence[int],
    size: tuple[int, int],
    *,
    crop: tuple[slice, slice] = (slice(None), slice(None)),
    out: np.ndarray | None = None,
) -> np.ndarray:
    """Decodes the frames of a video that `indices` name.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        indices: frame numbers from 0, in any order, repeats allowed.
        size: (height, width) that each frame is resized to, bilinearly.
        crop: the rows and columns of a resized frame that are wanted.
        out: uint8, C-contiguous, of the shape returned, that takes the frames; None: a new array.

    Returns:
        uint8 (len(indices), height, width of the crop, 3), RGB, upright (rotation flags are
        respected): `out` where it was given.

    Raises:
        ReadError: the video cannot be opened or ends before one of the frames.
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
        cv2.resize(frame, size[::-1], dst=small, interpolation=cv2.INTER_LINEAR)
        cv2.cvtColor(cropped, cv2.COLOR_BGR2RGB, dst=out[first])
        for other in others:
            out[other] = out[first]
    return out


def mirror(clip: np.ndarray) -> None:
    """Flips every frame left to right, in place, and with it the flow's dx: uint8 (T, H, W, C).

    It must be C-contiguous. Channels are RGB, or RGB, dx, dy as `flow` stores them.
    """
    # One call a clip, ten times as fast as NumPy's copy of a reversed axis.
    rows = clip.reshape(-1, *clip.shape[2:])
    load_cv2().flip(rows, 1, dst=rows)
    if clip.shape[-1] > 3:
        np.negative(clip[..., 3], out=clip[..., 3])  # in uint8, 256 - value: 128 stays


def every_frame(path: str | os.PathLike, size: tuple[int, int]) -> Iterator[np.ndarray]:
    """Decodes a whole video, frame by frame: what `read_frames` gives, as many as `count_frames`.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        size: (height, width) that each frame is resized to, bilinearly.

    Yields:
        uint8 (height, width, 3), BGR, as OpenCV's encoders take it, at least once.

    Raises:
        ReadError: no frame at all, or one that cannot be decoded.
    """
    cv2 = load_cv2()
    for _, frame in timed_frames(path):
        yield cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)


def timed_frames(
    path: str | os.PathLike, *, threads: int = 1
) -> Iterator[tuple[float, np.ndarray]]:
    """Decodes a whole video, frame by frame, in its own size, with the time of each frame.

    Args:
        path: a video file, or a folder of frames in natural order of their names.
        threads: that decode it.

    Yields:
        seconds since the first frame, always more than before, and uint8 (height, width, 3),
        BGR, which the next frame overwrites; at least once.

    Raises:
        ReadError: no frame at all, or one that cannot be decoded.
    """
    path = Path(path)
    folder = is_folder(path)
    frame = None
    for time, frame in _all_of_folder(path) if folder else _all_of_file(path, threads):
        yield time, frame
    if frame is None:
        raise ReadError("a folder without images" if folder else _NO_FRAME)


ASSUMED_RATE = 25.0  # frames a second, where nobody says


@dataclass(frozen=True)
class Header:
    """What a video says of itself, which need not be so.

    Attributes:
        frames: their number, 0 where it is not told.
        rate: frames a second; None where it is not told, or absurd.
    """

    frames: int
    rate: float | None


def read_header(path: str | os.PathLike) -> Header:
    """Without decoding a frame.

    Args:
        path: a video file, or a folder of frames.

    Raises:
        ReadError: the video cannot be opened.
    """
    path = Path(path)
    if is_folder(path):
        return Header(len(frame_files(path)), None)
    capture = _open(path)
    try:
        frames = capture.get(load_cv2().CAP_PROP_FRAME_COUNT)
        return Header(int(frames) if 0 < frames < 1e12 else 0, told_rate(capture))
    finally:
        capture.release()


def told_rate(capture) -> float | None:
    """Frames a second that a cv2.VideoCapture tells; None where that can be no video's."""
    rate = capture.get(load_cv2().CAP_PROP_FPS)
    return rate if 0.1 <= rate <= 1000 else None


_NO_FRAME = "its first frame cannot be decoded"


def _all_of_file(path: Path, threads: int) -> Iterator[tuple[float, np.ndarray]]:
    cv2 = load_cv2()
    capture = _open(path, threads)
    try:
        step = 1 / (told_rate(capture) or ASSUMED_RATE)
        number, frame, first, time = 0, None, 0.0, 0.0
        while capture.grab():
            ok, frame = capture.retrieve(frame)
            if not ok:
                raise ReadError(f"frame {number} cannot be decoded" if number else _NO_FRAME)
            # A player goes by the timestamps, and so must who looks for what we found; where
            # they are missing, or go back, the rate says how long a frame lasts.
            stamp = capture.get(cv2.CAP_PROP_POS_MSEC) / 1000
            if not number:
                first = stamp
            else:
                time = stamp - first if stamp - first > time else time + step
            yield time, frame
            number += 1
    finally:
        capture.release()


def _all_of_folder(path: Path) -> Iterator[tuple[float, np.ndarray]]:
    cv2 = load_cv2()
    for number, file in enumerate(frame_files(path)):
        yield number / ASSUMED_RATE, _read_image(file, cv2.IMREAD_COLOR)


def _open(path: Path, threads: int = 1):
    cv2 = load_cv2()
    try:
        if not path.stat().st_size:
            raise ReadError("the file is empty")
        path.open("rb").close()  # OpenCV does not say why it fails
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror}") from None
    # An absolute path, so that FFmpeg takes no name with a colon for a protocol; FFmpeg by name,
    # so that no name with a percent sign is taken for a sequence of images; as bytes, because
    # OpenCV 5.0 ends the process (SIGSEGV) on a str whose file name is not UTF-8.
    name = os.fsencode(path.absolute())
    capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
    if not capture.isOpened():
        raise ReadError("not a video that OpenCV can decode")
    return capture


def _from_file(path: Path, wanted: list[int]):
    """Forward with grab(): seeking is inexact (opencv#9053) and, over one GOP, no faster.

    Every frame takes the memory of the one before.
    """
    capture = _open(path)
    try:
        position, frame = 0, None
        for index in wanted:
            while position <= index:
                if not capture.grab():
                    raise ReadError(f"it ends after {position} frames, before frame {index}")
                position += 1
            ok, frame = capture.retrieve(frame)
            if not ok:
                raise ReadError(f"frame {index} cannot be decoded")
            yield frame
    finally:
        capture.release()


def _from_folder(path: Path, wanted: list[int]):
    cv2 = load_cv2()
    files = frame_files(path)
    for index in wanted:
        if index >= len(files):
            raise ReadError(f"it ends after {len(files)} frames, before frame {index}")
        yield _read_image(files[index], cv2.IMREAD_COLOR)


def _read_image(file: Path, mode: int) -> np.ndarray:
    """Decoded from memory: cv2.imread cannot open every name that a file system can hold."""
    try:
        frame = load_cv2().imdecode(np.fromfile(file, np.uint8), mode)
    except (OSError, load_cv2().error):  # unreadable, or of zero bytes
        frame = None
    if frame is None:
        raise ReadError(f"its frame {file.name} cannot be decoded")
    return frame
