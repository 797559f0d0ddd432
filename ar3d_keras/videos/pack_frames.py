"""The bytes of a packed video: its encoded frames, their flow, and the table behind them."""

import collections
import functools
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import numpy as np

from ar3d_keras.videos.flow import STILL, every_flow
from ar3d_keras.videos.pack_index import PackSettings
from ar3d_keras.videos.reader import every_frame, load_cv2, timed_frames
from ar3d_keras.videos.region import cut_region


class Table:
    """Collects the frames of a video in a file, and the table that follows them in a shard.

    Attributes:
        content: where the bytes go.
        frames: number of frames.
        length: bytes, table included, after `finish`.
        crc: CRC-32 of the table, after `finish`.
        times: of the frames, in seconds since the start of the video.
        duration: seconds until its end, after `finish`.
    """

    def __init__(self, content: IO[bytes]):
        self.content, self.frames, self.length, self.crc = content, 0, 0, 0
        self.times: list[float] = []
        self.duration = 0.0
        self._rows: list[tuple[int, int]] = []  # of each frame
        self._flows: list[bytes] = []

    def add(self, parts: tuple[bytes, ...], seconds: float) -> None:
        """Appends a frame and its flow, if there is one, and its time."""
        frame, *flow = parts
        self.times.append(seconds)
        self.length += self.content.write(frame)
        self._rows.append((len(frame), zlib.crc32(frame)))
        self._flows += flow
        self.frames += 1

    def finish(self, duration: float) -> None:
        """Appends the flows and the table."""
        self.duration = duration
        if self._flows:  # a segment's last frame has no next frame, as the last one of a file
            size = len(zlib.decompress(self._flows[-1]))
            still = zlib.compress(bytes([STILL]) * size)
            self._flows[-1] = self._flows[-2] if self.frames > 1 else still
        parts = [[row] for row in self._rows]
        for row, flow in zip(parts, self._flows, strict=False):
            row.append((len(flow), zlib.crc32(flow)))
        tail = np.array(parts, "<u4").tobytes()
        self.content.writelines(self._flows)
        self.content.write(tail)
        self.length += sum(map(len, self._flows)) + len(tail)
        self.crc = zlib.crc32(tail)


def timed_parts(
    path: Path, settings: PackSettings
) -> Iterator[tuple[float, Callable[[], tuple[bytes, ...]]]]:
    """The time of every frame of a video, and what `encoded_frames` yields for it, on demand."""
    cv2 = load_cv2()
    times: collections.deque[float] = collections.deque()

    def frames() -> Iterator[np.ndarray]:
        for seconds, frame in timed_frames(path):
            times.append(seconds)
            size = settings.width, settings.height
            frame = cut_region(frame, settings.roi)
            yield cv2.resize(frame, size, interpolation=cv2.INTER_LINEAR)

    if not settings.flow:
        for frame in frames():
            yield times.popleft(), functools.partial(_encoded_parts, frame, settings)
        return
    for frame, flow in every_flow(frames(), settings.flow):
        yield times.popleft(), functools.partial(_encoded_parts, frame, settings, flow)


def _encoded_parts(
    frame: np.ndarray, settings: PackSettings, flow: np.ndarray | None = None
) -> tuple[bytes, ...]:
    encoded = _encoded(frame, settings)
    return (encoded,) if flow is None else (encoded, zlib.compress(flow.tobytes()))


def encoded_frames(path: Path, settings: PackSettings) -> Iterator[tuple[bytes, ...]]:
    """Every frame of a video and, where it is wanted, its flow, as a shard holds them.

    Raises:
        ReadError: one cannot be decoded.
    """
    frames = every_frame(path, (settings.height, settings.width), roi=settings.roi)
    if not settings.flow:
        yield from (_encoded_parts(frame, settings) for frame in frames)
        return
    for frame, flow in every_flow(frames, settings.flow):
        yield _encoded(frame, settings), zlib.compress(flow.data)


def _encoded(frame: np.ndarray, settings: PackSettings) -> bytes:
    cv2 = load_cv2()
    if settings.codec == "raw":
        return cv2.cvtColor(frame, cv2.COLOR_BGR2RGB).tobytes()
    quality = [cv2.IMWRITE_JPEG_QUALITY, settings.quality]
    return cv2.imencode(".jpg", frame, quality)[1].tobytes()
