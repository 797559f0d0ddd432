"""Inspecting a video file: one pass over all its frames shows how it must be read."""

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from ar3d_keras.videos import remote
from ar3d_keras.videos.decoders import PyAVFrames, ReadError
from ar3d_keras.videos.truncation import missing_bytes

NO_FRAME = "its first frame cannot be decoded"
_ENDS_AFTER = "it ends after"

# What every OpenCV from 4.10 to 5.0 decodes to the frames of `ffmpeg`, bit for bit.
_CODECS = {"h264", "hevc", "mpeg4", "mjpeg", "vp8", "vp9"}
_LIMITED_RANGE = {"yuv420p", "yuv422p"}
_FULL_RANGE = {"yuvj420p", "yuvj422p"}
_LUMA_PLANE = ("yuv4", "yuvj4", "nv12", "nv21", "gray")
_ASSUMED_RATE = 25.0  # frames per second where nothing tells
_BT601 = {2, 5, 6}  # AVColorSpace: unspecified, BT.470 BG, SMPTE 170M


@dataclass(frozen=True)
class Properties:
    """What the data report says of one video.

    Attributes:
        width: pixels of a frame, upright.
        height: pixels of a frame, upright.
        seconds: time from the first frame to the end of the last one; None: unknown.
        rate: frames per second, the header's or the measured one; None: unknown.
        codec: FFmpeg's name of it, or the suffix of the images of a folder.
        rotation: degrees by which a player turns the frames; 0, 90, 180 or 270.
        promised: number of frames by the header; None: it does not tell.
    """

    width: int
    height: int
    seconds: float | None
    rate: float | None
    codec: str
    rotation: int = 0
    promised: int | None = None


class Viewer(Protocol):
    """Sees every frame of a video while it is decoded."""

    def add(self, seconds: float, gray: np.ndarray) -> None:
        """Sees a frame: seconds since the first one, and uint8 (height, width), upright."""


class Clock:
    """Times of frames as players show them.

    Players follow the time stamps. Where one is missing or goes back, the rate decides.

    Args:
        step: seconds from frame to frame by the rate.
    """

    def __init__(self, step: float):
        self._step, self._time, self._expected = step, -1.0, 0.0
        self._first: float | None = None

    def time(self, stamp: float | None) -> float:
        """Seconds since the first frame, strictly increasing, of the next frame."""
        if stamp is not None and self._first is None:
            self._first = stamp - self._expected
        shown = None if stamp is None or self._first is None else stamp - self._first
        self._time = self._expected if shown is None or shown <= self._time else shown
        self._expected = self._time + self._step
        return self._time


@dataclass(frozen=True)
class Facts:
    """What one pass over a video file has shown.

    Attributes:
        frames: number of frames that can be decoded, at least 1.
        damage: what is missing, None where the file is sound.
        fast: whether every version of OpenCV decodes it right.
        properties: for the data report; None: an earlier version of the scan left them out.
    """

    frames: int
    damage: str | None
    fast: bool
    properties: Properties | None = None


# Absolute path -> size and modification time, and the facts of that file.
_known: dict[str, tuple[str, Facts]] = {}


def stamp(path: Path) -> str:
    """Size and modification time; those of a folder change when a frame is added or removed.

    Raises:
        OSError: there is no such file.
    """
    if remote.is_remote(path):
        return "{}-{}".format(*remote.stat(path))
    status = path.stat()
    return f"{status.st_size}-{status.st_mtime_ns}"


def remember(path: Path, facts: Facts, at: str) -> None:
    """Keeps facts for this process; `at` is the file's stamp when they were true."""
    _known[os.fspath(path.absolute())] = at, facts


def known_facts(path: Path) -> Facts | None:
    """The facts of an earlier pass in this process; None where the file has changed since."""
    at, facts = _known.get(os.fspath(path.absolute()), ("", None))
    try:
        return facts if facts and at == stamp(path) else None
    except OSError:
        return None


def inspect(path: Path, viewer: Viewer | None = None) -> Facts:
    """Decodes the whole file once (about 10 ms for a UCF-101 video) unless its facts are known.

    Args:
        path: a video file.
        viewer: gets every frame, so that the file is decoded in any case.

    Raises:
        ReadError: the file cannot be opened, or no frame can be decoded.
    """
    if viewer is None and (facts := known_facts(path)):
        return facts
    at = check_readable(path)
    frames = PyAVFrames(path)
    try:
        watcher = Watcher(frames, viewer)
        while frames.grab():
            watcher.see()
        facts = watcher.facts()
    finally:
        frames.close()
    remember(path, facts, at)
    return facts


def check_readable(path: Path) -> str:
    """Returns the file's stamp.

    Raises:
        ReadError: it is missing, empty or locked; neither decoder would say which.
    """
    try:
        at = stamp(path)
        if not remote.is_remote(path):
            if not stat.S_ISREG(path.stat().st_mode):  # opening a pipe would wait for its other end
                raise ReadError("neither a file nor a folder")
            path.open("rb").close()
    except OSError as error:
        raise ReadError(f"cannot be opened: {error.strerror}") from None
    if at.startswith("0-"):
        raise ReadError("the file is empty")
    return at


def is_cut_off(damage: str) -> bool:
    """Whether the end of the file is missing, by `Facts.damage`."""
    return _ENDS_AFTER in damage


class Watcher:
    """Collects the facts of a file while its frames are decoded.

    Args:
        frames: of the file, from the front.
        viewer: receives every frame; None: there is no viewer.
        step: seconds from frame to frame by the rate; None: by the header's.

    Attributes:
        seconds: time of the last frame since the first one, see `Clock`.
    """

    def __init__(self, frames: PyAVFrames, viewer: Viewer | None = None, step: float | None = None):
        self._frames, self._viewer = frames, viewer
        self._clock, self.seconds = Clock(step or 1 / (frames.told_rate or _ASSUMED_RATE)), 0.0
        self._count, self._last = 0, 0.0
        self._size: tuple[int, int] | None = None
        self._fast = frames.only and frames.stream.codec_context.name in _CODECS

    def see(self) -> None:
        """Looks at the frame that was grabbed."""
        frame = self._frames.frame
        size = frame.width, frame.height
        self._fast = (
            self._fast
            and not frame.interlaced_frame
            and size == (self._size or size)
            and int(frame.colorspace) in _BT601
            and (
                frame.format.name in _FULL_RANGE
                or (frame.format.name in _LIMITED_RANGE and int(frame.color_range) != 2)
            )
        )
        self._count, self._size = self._count + 1, size
        self._last = self._frames.seconds or self._last
        self.seconds = self._clock.time(self._frames.seconds)
        if self._viewer:
            self._viewer.add(self.seconds, gray(frame))

    def facts(self) -> Facts:
        """The facts, after the last frame.

        Raises:
            ReadError: there was no frame.
        """
        if not self._count:
            raise ReadError(NO_FRAME)
        damage = self._damage()
        return Facts(self._count, damage, self._fast and damage is None, self._properties())

    def _properties(self) -> Properties:
        frame, told = self._frames.frame, self._frames.told_rate
        measured = (self._count - 1) / self.seconds if self.seconds else None
        agrees = told and measured and abs(told / measured - 1) < 0.1
        rate = told if agrees or not measured else measured
        turns = _quarter_turns(frame)
        width, height = (frame.width, frame.height)[:: -1 if turns % 2 else 1]
        return Properties(
            width,
            height,
            round(self.seconds + (1 / rate if rate else 0), 3),
            round(rate, 3) if rate else None,
            self._frames.stream.codec_context.name,
            turns * 90,
            self._promised(rate),
        )

    def _promised(self, rate: float | None) -> int | None:
        frames = self._frames
        return frames.promised or round(_tagged_duration(frames.stream) * (rate or 0)) or None

    def _damage(self) -> str | None:
        frames, found = self._frames, []
        if frames.lost:
            found.append(f"{frames.lost} of its {frames.packets} packets cannot be decoded")
        if frames.corrupt:
            found.append(f"{frames.corrupt} of its {self._count} frames are damaged")
        # The container's index counts packets, of which an edit list may hide some. The tolerance
        # is for the headers of sound AVI files, which may be a frame or two off.
        promised = frames.promised
        if frames.packets < 0.95 * promised - 1:
            found.append(f"{_ENDS_AFTER} {frames.packets} of {promised} frames")
        duration = 0 if promised else _tagged_duration(frames.stream)
        if self._last < 0.95 * duration - 1:
            found.append(f"{_ENDS_AFTER} {self._last:.1f} of {duration:.1f} seconds")
        whole = 0 < promised <= frames.packets
        if not whole and not any(map(is_cut_off, found)) and missing_bytes(frames.path):
            found.append(f"{_ENDS_AFTER} {self._count} frames, where the file is cut off")
        return ", and ".join(found) or None


def _quarter_turns(frame) -> int:
    """How often `numpy.rot90` turns a frame until it is upright."""
    return round(frame.rotation / 90) % 4


def gray(frame) -> np.ndarray:
    """The brightness of a frame, uint8 (height, width), upright; without a copy where possible."""
    name = frame.format.name
    if name.startswith(_LUMA_PLANE) and not name.endswith(("le", "be")):
        plane = frame.planes[0]
        whole = np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size)
        picture = whole[: frame.height, : frame.width]
    else:
        picture = frame.reformat(format="gray").to_ndarray()
    return np.ascontiguousarray(np.rot90(picture, _quarter_turns(frame)))


def _tagged_duration(stream) -> float:
    """Seconds of a Matroska track, as its writer tagged it: DURATION=00:00:04.040000000; or 0."""
    try:
        hours, minutes, seconds = stream.metadata["DURATION"].split(":")
        return 3600 * int(hours) + 60 * int(minutes) + float(seconds)
    except (KeyError, ValueError):
        return 0
