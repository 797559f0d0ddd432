"""The part of a file that one video consists of, decoded frame by frame."""

import contextlib
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ar3d_keras.videos.examination import isolated_index
from ar3d_keras.videos.frame_folder import is_folder
from ar3d_keras.videos.inspection import Facts, check_readable, known_facts, remember
from ar3d_keras.videos.isolation import Isolation
from ar3d_keras.videos.keyframes import FrameIndex, remember_index
from ar3d_keras.videos.needed_frames import Needed, PacketTimes, needed_frames, packet_times
from ar3d_keras.videos.reader import (
    Header,
    frame_index,
    load_cv2,
    rate_of,
    read_header,
    timed_frames,
)
from ar3d_keras.videos.region import Region, cut_region
from ar3d_keras.videos.remote import is_remote
from ar3d_keras.videos.segments import check_inside, frames_of, stretch
from ar3d_keras.videos.video import Video

_MESSAGE_BYTES = 1 << 20  # of the frames that another process sends together

# Seconds, and a frame; None if it is not needed.
TimedFrame = tuple[float, Any]


@dataclass(frozen=True)
class Part:
    """A whole file or folder of frames, or a segment of it.

    Attributes:
        path: the file or the folder.
        start: seconds from the first frame of the file to the start of the part.
        end: seconds to its end; None: the end of the file, which its last frame shows.
        numbers: of its frames in the file; None: all.
        roi: the region of its own, see `region`; None: it has none.
        index: of the file of a segment; None: a whole file, or a folder.
        isolation: the processes that decode; None: this process decodes.
    """

    path: Path
    start: float = 0.0
    end: float | None = None
    numbers: range | None = None
    roi: Region | None = None
    index: FrameIndex | None = field(default=None, compare=False, repr=False)
    isolation: Isolation | None = field(default=None, compare=False, repr=False)

    def header(self) -> Header:
        """What the file tells without decoding a frame.

        Raises:
            ReadError: it cannot be opened.
        """
        if self.isolation is None or is_folder(self.path):
            return read_header(self.path)
        return self.isolation.call(read_header, self.path)

    def packets(self) -> PacketTimes | None:
        """What the packets of a local, whole file tell; None: nothing, or it is not one."""
        if self.numbers is not None or is_folder(self.path) or is_remote(self.path):
            return None
        if self.isolation is None:
            return packet_times(self.path)
        return self.isolation.call(packet_times, self.path)

    def frames(
        self,
        *,
        threads: int = 1,
        size: tuple[int, int] | None = None,
        roi: Region | None = None,
        needed: Needed | None = None,
    ) -> Iterator[TimedFrame]:
        """Decodes the part: as `reader.timed_frames`, with seconds since its start.

        Args:
            threads: decoding threads.
            size: (height, width) that each frame is resized to, bilinearly; None: its own.
            roi: the region of each frame that is resized; None: the whole frame.
            needed: the frames of a whole file that get pixels, see `needed_frames`; the others are
                None. Default: all frames get pixels.
        """
        decoded = self._here if self.isolation is None else self._elsewhere
        for time, frame in decoded(threads=threads, size=size, roi=roi, needed=needed):
            yield time - self.start, frame

    def _here(self, **options) -> Iterator[TimedFrame]:
        return _decode(self.path, self.numbers, **options)

    def _elsewhere(self, **options) -> Iterator[TimedFrame]:
        assert self.isolation is not None
        at, facts = "", None
        if not is_folder(self.path):
            at, facts = check_readable(self.path), known_facts(self.path)
        known = at, facts, self.index
        options |= {"numbers": self.numbers, "known": known}
        with contextlib.closing(self.isolation.stream(_messages, self.path, **options)) as messages:
            for message in messages:
                if isinstance(message, Facts):
                    remember(self.path, message, at)
                else:
                    yield from message


def _decode(
    path: Path,
    numbers: Sequence[int] | None,
    *,
    threads: int,
    size: tuple[int, int] | None,
    roi: Region | None,
    needed: Needed | None,
) -> Iterator[TimedFrame]:
    """As `timed_frames` or `needed_frames`, but of a region, and resized."""
    frames: Iterator[TimedFrame]
    if needed is None:
        frames = timed_frames(path, threads=threads, numbers=numbers)
    else:
        frames = needed_frames(path, needed, step=1 / rate_of(path), threads=threads)
    for time, frame in frames:
        yield time, None if frame is None else resized(frame, size, roi)


def resized(frame: np.ndarray, size: tuple[int, int] | None, roi: Region | None) -> np.ndarray:
    """The region of a frame at (height, width), bilinearly; `size` None: the frame."""
    if size is None:
        return frame
    cv2 = load_cv2()
    return cv2.resize(cut_region(frame, roi), size[::-1], interpolation=cv2.INTER_LINEAR)


def _messages(
    path: Path,
    *,
    known: tuple[str, Facts | None, FrameIndex | None],
    numbers: Sequence[int] | None,
    **options,
) -> Generator[list[TimedFrame] | Facts, None, None]:
    """Runs in another process: the frames of `_decode`, some at a time, then the file's facts.

    Args:
        path: the file, or a folder of frames.
        known: the stamp of the file, and what the first process knows about it.
        numbers: see `_decode`.
        options: of `_decode`.
    """
    at, facts, index = known
    if facts:
        remember(path, facts, at)
    if index:
        remember_index(path, index, at)
    message: list[TimedFrame] = []
    length = 0
    for time, frame in _decode(path, numbers, **options):
        if frame is not None:
            frame = frame.copy()  # the next one may overwrite it
            length += frame.nbytes
        message.append((time, frame))
        if length >= _MESSAGE_BYTES:
            yield message
            message, length = [], 0
    yield message
    if found := known_facts(path):
        yield found


def part_of(
    root: Path, video: Video, *, threads: int = 1, isolation: Isolation | None = None
) -> Part:
    """The part that a video is; of a segment that ends beyond its file, what exists.

    The file of a segment is decoded once, to find its frames by their time stamps; see
    `reader.frame_index`.

    Args:
        root: what the video's path is relative to.
        video: a file, or a segment.
        threads: decoding threads.
        isolation: the processes that decode; None: this process decodes.

    Raises:
        ReadError: the file cannot be decoded.
        UserError: the segment has no frame.
    """
    path = root / video.path
    if not video.is_segment:
        return Part(path, roi=video.roi, isolation=isolation)
    if isolation:
        index = isolated_index(isolation, path, threads=threads)
    else:
        index = frame_index(path, threads=threads)
    numbers = frames_of(video, index.times)
    check_inside(video, len(numbers), float(index.times[-1]), index.end, root, clip=True)
    return Part(path, *stretch(video, index.end), numbers, video.roi, index, isolation)
