"""Predicts a long video window by window, each window as if it were a video of its own."""

import itertools
import math
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Generic, TypeVar

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.bouts import ROUNDING
from ar3d_keras.inference.classifier import Classifier
from ar3d_keras.inference.forward import predict_batches
from ar3d_keras.progress import Reporter
from ar3d_keras.videos.flow import frames_with_next, with_flow
from ar3d_keras.videos.needed_frames import Needed
from ar3d_keras.videos.parts import Part, TimedFrame
from ar3d_keras.videos.reader import ASSUMED_RATE, load_cv2
from ar3d_keras.videos.sampling import ClipShape, ClipSpec, frames_at, uniform_clip

Frame = TypeVar("Frame")
Item = TypeVar("Item")

LARGEST = 4e9  # bytes of the frames of a window; 40 minutes of 128x171 at 25 a second


@dataclass(frozen=True)
class Window(Generic[Frame]):
    """The frames of a stretch of a video.

    Attributes:
        start: seconds since the first frame of the file.
        end: seconds.
        first: the number of its first frame in the video, which may be a segment, from 0.
        frames: at least one.
        times: of the frames, in seconds.
    """

    start: float
    end: float
    first: int
    frames: tuple[Frame, ...]
    times: tuple[float, ...] = field(default=(), compare=False)

    def sampled(self, fps: float | None) -> np.ndarray:
        """The places of the frames that a clip is cut out of: int64 (n,); see `frames_at`."""
        if fps is None:
            return np.arange(len(self.frames))
        return frames_at(np.subtract(self.times, self.start), self.end - self.start, fps)


@dataclass(frozen=True)
class SegmentPrediction:
    """The prediction for a window of a video.

    Attributes:
        start: seconds since the first frame of the file.
        end: seconds.
        probabilities: float32 (classes,), the mean over the clips of the window.
    """

    start: float
    end: float
    probabilities: np.ndarray


def windows(
    timed: Iterable[tuple[float, Frame]],
    *,
    seconds: float,
    hop: float,
    period: float,
    end: float | None = None,
) -> Iterator[Window[Frame]]:
    """Cuts a stream of frames into windows, and holds no more than one window of it.

    Window k has the frames with k * hop <= time < k * hop + seconds. The last window has the frames
    that are left, however few. Windows without a frame are left out.

    Args:
        timed: times in seconds, rising, and frames.
        seconds: length of a window.
        hop: seconds from the start of one window to the start of the next. If it is below
            `seconds`, windows overlap; if it is above, the frames between them are skipped.
        period: seconds that the last frame is shown.
        end: where the stream ends, in seconds; None: where its last frame does.
    """
    held: deque[tuple[float, Frame]] = deque()
    window = first = 0
    time = 0.0

    def window_to(end: float) -> Window[Frame]:
        times = tuple(time for time, _ in held)
        return Window(window * hop, end, first, tuple(frame for _, frame in held), times)

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
        yield window_to(time + period if end is None else min(end, window * hop + seconds))


def check_window_memory(seconds: float, frames: float, shape: ClipShape) -> None:
    """Raises if the frames of a window would not fit into memory.

    Args:
        seconds: length of the window.
        frames: number of frames in the window.
        shape: the clip geometry, whose resized frames the window holds.

    Raises:
        UserError: they take more than LARGEST bytes.
    """
    size = frames * shape.resize_height * shape.resize_width * 3
    if size > LARGEST:
        raise UserError(
            f"a window of {seconds:g} seconds would hold {size / 1e9:.0f} GB of frames: choose a "
            "smaller `window_seconds`, or leave it out to predict each video as a whole"
        )


def clips_of(
    frames: Sequence[np.ndarray], shape: ClipShape, *, clips: int = 1, crops: int = 1
) -> Iterator[np.ndarray]:
    """Yields the clips that evaluation would cut out of a video of these frames.

    Args:
        frames: each uint8 (resize_height, resize_width, 3) of `shape`, BGR.
        shape: the clip geometry.
        clips: number of clips, evenly spread in time.
        crops: crops of a clip, 1 (center) or 3.

    Yields:
        clips x crops arrays, uint8 (T, H, W, C).
    """
    for index in range(clips * crops):
        yield cut(
            frames, uniform_clip(len(frames), shape, clips=clips, crops=crops, index=index), shape
        )


def cut(frames: Sequence[np.ndarray], spec: ClipSpec, shape: ClipShape) -> np.ndarray:
    """Cuts one clip, uint8 (T, H, W, C), out of `frames`; see `clips_of`."""
    cv2 = load_cv2()
    rows = slice(spec.top, spec.top + shape.height)
    columns = slice(spec.left, spec.left + shape.width)

    def read(indices: Iterable[int]) -> np.ndarray:
        return np.stack([cv2.cvtColor(frames[n], cv2.COLOR_BGR2RGB) for n in indices])

    if not shape.flow:
        return read(spec.window)[:, rows, columns]
    pictures, flow = with_flow(read, spec.window, available=len(frames), name=shape.flow)
    return np.concatenate([pictures, flow], axis=-1)[:, rows, columns]


def small_windows(
    part: Part,
    shape: ClipShape,
    *,
    seconds: float,
    hop: float,
    threads: int = 1,
    needed: Needed | None = None,
) -> Iterator[Window[np.ndarray]]:
    """Decodes a video once, from front to back, and yields its windows, the first from its start.

    Frames are resized to what the clips need, uint8 (resize_height, resize_width, 3), BGR. A window
    of ten seconds of 128x171 at 25 frames a second takes 16 MB.

    Args:
        part: a video, or a segment of one. A region of its own goes before that of `shape`.
        shape: the clip geometry.
        seconds: length of a window; see `windows`.
        hop: seconds from the start of one window to the start of the next.
        threads: decoding threads.
        needed: the frames to convert; None takes the place of the others. Default: all frames.

    Raises:
        ReadError: the video cannot be decoded.
        UserError: a window would not fit into memory.
        DiffersError: with `needed`: see `needed_frames`.
    """
    rate = part.header().rate or ASSUMED_RATE
    check_window_memory(seconds, min(seconds * rate, count_of(part) or math.inf), shape)
    size = shape.resize_height, shape.resize_width
    timed = part.frames(threads=threads, size=size, roi=part.roi or shape.roi, needed=needed)
    if needed is not None:
        timed = _as_foreseen(timed)
    end = None if part.end is None else part.end - part.start
    for window in windows(timed, seconds=seconds, hop=hop, period=1 / rate, end=end):
        yield replace(
            window,
            start=part.start + window.start,
            end=part.start + window.end,
            times=tuple(part.start + time for time in window.times),
        )


class DiffersError(Exception):
    """A file whose packets did not tell its frames."""


def _as_foreseen(timed: Iterator[TimedFrame]) -> Iterator[TimedFrame]:
    for time, frame in timed:
        if math.isnan(time):
            raise DiffersError
        yield time, frame


def _needed(
    part: Part, shape: ClipShape, *, seconds: float, hop: float, clips: int, crops: int
) -> Needed | None:
    """The frames that the clips of all windows show; None: its packets do not tell."""
    packets = part.packets()
    if packets is None:
        return None
    numbers: set[int] = set()
    period = 1 / (part.header().rate or ASSUMED_RATE)
    numbered = zip(map(float, packets.times), itertools.count(), strict=False)
    for window in windows(numbered, seconds=seconds, hop=hop, period=period):
        places = window.sampled(shape.fps)
        for index in range(clips * crops):
            spec = uniform_clip(len(places), shape, clips=clips, crops=crops, index=index)
            shown = np.asarray(spec.window)
            if shape.flow:
                _, shown = frames_with_next(shown, len(places))
            numbers.update(window.first + places[shown])
    return Needed(packets, frozenset(map(int, numbers)))


def count_of(part: Part) -> int:
    """Number of frames; of a whole file by its header, which is often wrong; 0: unknown."""
    return part.header().frames if part.numbers is None else len(part.numbers)


def timeline(
    classifier: Classifier,
    part: Part,
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
    """Predicts each window of a video. The memory it takes does not grow with the video.

    Only the frames that the clips show are converted, and fewer are decoded: see `needed_frames`.

    Args:
        classifier: the network, its class names and its clip geometry.
        part: a video, or a segment of one.
        seconds: length of a window; see `windows`.
        hop: seconds from the start of one window to the start of the next.
        clips: clips of a window.
        crops: crops of a clip, 1 or 3.
        batch_size: clips a step.
        threads: decoding threads.
        reporter: shows the progress bar.
        description: label of the progress bar.

    Raises:
        ReadError: the video cannot be decoded.
        UserError: a window would not fit into memory.
    """
    shape = classifier.shape

    def attempt(needed: Needed | None) -> tuple[SegmentPrediction, ...]:
        times: list[tuple[float, float]] = []
        frames = count_of(part)
        with (reporter or Reporter()).bar(description, max(1, frames), "frames") as update:

            def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
                waiting: list[np.ndarray] = []
                for window in small_windows(
                    part, shape, seconds=seconds, hop=hop, threads=threads, needed=needed
                ):
                    times.append((window.start, window.end))
                    shown = [window.frames[place] for place in window.sampled(shape.fps)]
                    for clip in clips_of(shown, shape, clips=clips, crops=crops):
                        waiting.append(clip)
                        if len(waiting) == batch_size:
                            yield np.stack(waiting), np.full(batch_size, -1)
                            waiting.clear()
                    update(min(frames, window.first + len(window.frames)))
                if waiting:
                    yield np.stack(waiting), np.full(len(waiting), -1)

            outputs, _, _ = predict_batches(classifier.network, ahead(batches()), batch_size)
        outputs = outputs.reshape(len(times), clips * crops, -1).mean(axis=1)
        return tuple(
            SegmentPrediction(start, end, probabilities)
            for (start, end), probabilities in zip(times, outputs, strict=True)
        )

    needed = _needed(part, shape, seconds=seconds, hop=hop, clips=clips, crops=crops)
    try:
        return attempt(needed)
    except DiffersError:
        return attempt(None)


def ahead(items: Iterator[Item]) -> Iterator[Item]:
    """Yields `items`; a thread makes the next item while the caller works on the last one."""
    with ThreadPoolExecutor(1) as pool:
        coming = pool.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = pool.submit(next, items, None)
            yield item
