"""A video of any length as a row of windows, each looked at as if it were a video of its own."""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import predict_batches
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.flow import with_flow
from ar3d_keras.videos.reader import ASSUMED_RATE, load_cv2, read_header, timed_frames
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, uniform_clip

Frame = TypeVar("Frame")

# Containers round the time of a frame to a millisecond.
ROUNDING = 0.0005  # seconds
LARGEST = 4e9  # bytes of a window's frames; at 25 a second of 128x171, 40 minutes


@dataclass(frozen=True)
class Window(Generic[Frame]):
    """The frames of a stretch of a video.

    Attributes:
        start: seconds.
        end: seconds.
        first: the number of its first frame in the video, from 0.
        frames: at least one.
    """

    start: float
    end: float
    first: int
    frames: tuple[Frame, ...]


@dataclass(frozen=True)
class SegmentPrediction:
    """What a network said of a window.

    Attributes:
        start: seconds.
        end: seconds.
        probabilities: float32 (classes,), averaged over the window's views.
    """

    start: float
    end: float
    probabilities: np.ndarray


def windows(
    timed: Iterable[tuple[float, Frame]], *, seconds: float, hop: float, period: float
) -> Iterator[Window[Frame]]:
    """Cuts a stream of frames into windows, and holds no more of it than one.

    Window k has the frames from k * hop seconds on, to just before k * hop + seconds. The last one
    has what is left, however short; windows without a frame are left out.

    Args:
        timed: times in seconds, rising, and frames.
        seconds: of a window.
        hop: seconds from a window to the next: fewer than `seconds`, and they overlap; more, and
            what lies between them is not looked at.
        period: seconds that the last frame lasts.
    """
    held: deque[tuple[float, Frame]] = deque()
    window = first = 0
    time = 0.0

    def window_to(end: float) -> Window[Frame]:
        return Window(window * hop, end, first, tuple(frame for _, frame in held))

    for time, frame in timed:
        while time >= window * hop + seconds - ROUNDING:
            if held:
                yield window_to(window * hop + seconds)
                window += 1
            else:  # a pause: on to the first window that has not ended
                window = max(window, math.floor((time + ROUNDING - seconds) / hop)) + 1
            while held and held[0][0] < window * hop - ROUNDING:
                held.popleft()
                first += 1
        if time >= window * hop - ROUNDING:
            held.append((time, frame))
        else:
            first += 1
    if held:
        yield window_to(time + period)


def check_window_memory(seconds: float, frames: float, shape: ClipShape) -> None:
    """Refuses a window of so many seconds that its frames would fill the memory.

    Raises:
        UserError: says how much it would be.
    """
    size = frames * shape.resize_height * shape.resize_width * 3
    if size > LARGEST:
        raise UserError(
            f"a window of {seconds:g} seconds would hold {size / 1e9:.0f} GB of frames: give a "
            "shorter --window-seconds, or leave it out to look at a video as a whole"
        )


def clips_of(
    frames: Sequence[np.ndarray], shape: ClipShape, *, clips: int = 1, crops: int = 1
) -> Iterator[np.ndarray]:
    """What evaluation would cut out of a video of just these frames.

    Args:
        frames: each uint8 (resize_height, resize_width, 3) of `shape`, BGR.
        shape: the clips' geometry.
        clips: windows, evenly spread.
        crops: 1 (centre) or 3.

    Yields:
        clips x crops times uint8 (T, H, W, C).
    """
    for index in range(clips * crops):
        yield cut(
            frames, uniform_clip(len(frames), shape, clips=clips, crops=crops, index=index), shape
        )


def cut(frames: Sequence[np.ndarray], view: ClipSpec, shape: ClipShape) -> np.ndarray:
    """The clip of a view: uint8 (T, H, W, C); see `clips_of`."""
    cv2 = load_cv2()
    rows = slice(view.top, view.top + shape.height)
    columns = slice(view.left, view.left + shape.width)

    def read(wanted) -> np.ndarray:
        return np.stack([cv2.cvtColor(frames[n], cv2.COLOR_BGR2RGB) for n in wanted])

    if not shape.flow:
        return read(view.window)[:, rows, columns]
    pictures, flow = with_flow(read, view.window, available=len(frames), name=shape.flow)
    return np.concatenate([pictures, flow], axis=-1)[:, rows, columns]


def small_windows(
    path: Path, shape: ClipShape, *, seconds: float, hop: float, threads: int = 1
) -> Iterator[Window[np.ndarray]]:
    """The windows of a video file or a folder of frames, decoded once, from front to back.

    Frames are resized as clips need them: uint8 (resize_height, resize_width, 3), BGR. A window
    of ten seconds at 25 frames a second of 128x171 holds 16 MB.

    Raises:
        ReadError: it cannot be decoded.
        UserError: a window would fill the memory.
    """
    cv2 = load_cv2()
    header = read_header(path)
    rate = header.rate or ASSUMED_RATE
    check_window_memory(seconds, min(seconds * rate, header.frames or math.inf), shape)
    size = shape.resize_width, shape.resize_height
    timed = (
        (time, cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR))
        for time, frame in timed_frames(path, threads=threads)
    )
    return windows(timed, seconds=seconds, hop=hop, period=1 / rate)


def timeline(
    classifier: Classifier,
    path: Path,
    *,
    seconds: float,
    hop: float,
    clips: int = 1,
    crops: int = 1,
    batch_size: int,
    threads: int = 1,
    reporter: Reporter | None = None,
    description: str = "predicting",
) -> tuple[SegmentPrediction, ...]:
    """What a network says of each window of a video, in memory that does not grow with it.

    Args:
        classifier: the network, its classes and its clips.
        path: a video file or a folder of frames.
        seconds: of a window; see `windows`.
        hop: seconds from a window to the next.
        clips: clips a window.
        crops: crops a clip, 1 or 3.
        batch_size: clips a step.
        threads: that decode.
        reporter: draws the bar.
        description: of the bar.

    Raises:
        ReadError: it cannot be decoded.
    """
    shape, times = classifier.shape, []
    frames = read_header(path).frames
    with (reporter or Reporter()).bar(description, max(1, frames), "frames") as update:

        def batches():
            waiting: list[np.ndarray] = []
            for window in small_windows(path, shape, seconds=seconds, hop=hop, threads=threads):
                times.append((window.start, window.end))
                for clip in clips_of(window.frames, shape, clips=clips, crops=crops):
                    waiting.append(clip)
                    if len(waiting) == batch_size:
                        yield np.stack(waiting), np.full(batch_size, -1)
                        waiting.clear()
                update(min(frames, window.first + len(window.frames)))
            if waiting:
                yield np.stack(waiting), np.full(len(waiting), -1)

        said, _, _ = predict_batches(classifier.network, ahead(batches()), batch_size)
    said = said.reshape(len(times), clips * crops, -1).mean(axis=1)
    return tuple(
        SegmentPrediction(start, end, probabilities)
        for (start, end), probabilities in zip(times, said, strict=True)
    )


def ahead(items: Iterator) -> Iterator:
    """The same, each made in another thread while the one before is worked on."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
