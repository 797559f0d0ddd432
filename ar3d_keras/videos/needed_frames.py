"""Decodes a whole video for the few of its frames that clips need.

Windows of a long video use 16 of a hundred frames or so. Which ones, follows from the times of all
frames, and packets tell these without being decoded. The other frames are then neither converted
nor, where no frame refers to them, decoded.

Packets may tell wrong times: some files have none, some codecs have packets without a frame, and a
damaged packet gives no frame. So all that is decoded is compared with the packets. If something
differs, `needed_frames` says so, and the caller decodes all frames.

A damaged frame may say, wrongly, that no frame refers to it, and the decoder believes it. So a frame
is left out only if the order of the packets agrees. Like a B frame, it is decoded after a frame that
is shown later, and it is shown before every frame that is decoded after it.
"""

import math
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.videos.decoders import PyAVFrames
from ar3d_keras.videos.inspection import Watcher, check_readable

# Codecs whose decoder leaves out a frame that no other one refers to, and nothing else; containers
# that give a packet whole or tell that it is not. MPEG-TS loses packets, and what FFmpeg shows
# instead depends on all frames before.
_CODECS = {"h264", "hevc"}
_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm"}
# So many frames at the front are all decoded: a file that was cut out of another one may begin with
# packets whose frame is missing.
_ALL_DECODED = 64


@dataclass(frozen=True)
class PacketTimes:
    """The frames of a file as its packets tell them.

    Attributes:
        stamps: int64 (frames,), the time stamps in the file in units of its time base, rising.
        times: float64 (frames,), seconds since the first frame, as decoding gives them.
        between: bool (frames,), whether a frame is decoded after one that is shown later, and shown
            before every frame that is decoded after it.
    """

    stamps: np.ndarray
    times: np.ndarray
    between: np.ndarray


def packet_times(path: Path) -> PacketTimes | None:
    """Reads all packets of a file and decodes none; None if a frame has no time stamp of its own.

    Raises:
        ReadError: the file cannot be opened.
    """
    check_readable(path)
    frames = PyAVFrames(path)
    try:
        base = frames.stream.time_base
        stamps = [p.pts for p in frames.packets_only() if p.size and not p.is_discard]
    finally:
        frames.close()
    if not stamps or None in stamps:
        return None
    decoding = np.array(stamps, np.int64)
    order = np.argsort(decoding)
    rising = decoding[order]
    if len(rising) > 1 and np.diff(rising).min() == 0:
        return None
    seconds = rising * base.numerator / base.denominator
    latest_before = np.maximum.accumulate(decoding)
    earliest_after = np.minimum.accumulate(decoding[::-1])[::-1]
    between = (decoding < latest_before) & (decoding == earliest_after)
    return PacketTimes(rising, seconds - seconds[0], between[order])


@dataclass(frozen=True)
class Needed:
    """The frames that are needed of a file.

    Attributes:
        packets: of the file.
        numbers: of the needed frames.
    """

    packets: PacketTimes
    numbers: Collection[int]


DIFFERS = math.nan, None  # the last item where the file is not as its packets say


def needed_frames(
    path: Path, needed: Needed, *, step: float, threads: int = 1
) -> Iterator[tuple[float, np.ndarray | None]]:
    """Decodes a file. Yields every frame, with pixels only for the needed ones.

    Args:
        path: a video file.
        needed: its frames.
        step: seconds from frame to frame by the frame rate.
        threads: decoding threads.

    Yields:
        the time and, for a needed frame, uint8 (height, width, 3), BGR, as `reader.timed_frames`
        gives them; for the others None. DIFFERS, and then nothing more, if the frames are not
        those of the packets, or the file is damaged.

    Raises:
        ReadError: the file cannot be opened.
    """
    stamps, times = needed.packets.stamps, needed.packets.times
    frames = PyAVFrames(path, threads)
    try:
        watcher = Watcher(frames, step=step)
        skips = frames.stream.codec_context.name in _CODECS and frames.container_name in _CONTAINERS
        unneeded = needed.packets.between.copy()
        unneeded[list(needed.numbers)] = False
        position = 0  # the number of the next frame

        def without_pixels(end: int) -> Iterator[tuple[float, None]]:
            """The frames from `position` to `end`."""
            return ((float(times[number]), None) for number in range(position, end))

        def left_out(end: int) -> bool:
            """Whether the frames from `position` to `end` may be missing."""
            return end == position or (
                frames.unneeded is not None and bool(unneeded[position:end].all())
            )

        while frames.grab():
            pts = frames.frame.pts
            number = len(stamps) if pts is None else int(np.searchsorted(stamps, pts))
            found = number < len(stamps) and stamps[number] == pts
            if not found or number < position or not left_out(number):
                yield DIFFERS
                return
            watcher.see()
            yield from without_pixels(number)
            frame = frames.retrieve() if number in needed.numbers else None
            yield float(times[number]), frame
            position = number + 1
            # Of an interlaced frame, one field may refer to the other.
            skips = skips and not frames.frame.interlaced_frame
            if skips and frames.unneeded is None and position >= _ALL_DECODED:
                frames.unneeded = set(stamps[unneeded].tolist())
        if not position or not left_out(len(times)) or watcher.facts().damage:
            yield DIFFERS
            return
        yield from without_pixels(len(times))
    finally:
        frames.close()
