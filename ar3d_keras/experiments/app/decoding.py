"""Decodes an uploaded video once: its clips for the network, and a copy that browsers play.

`videos.isolation` runs it in another process, so that a hostile video costs its own request only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.inference.limits import LONGEST
from ar3d_keras.inference.timeline import clips_of, small_windows
from ar3d_keras.reports.video_writer import VideoWriter
from ar3d_keras.videos.decoders import NOT_A_VIDEO
from ar3d_keras.videos.inspection import check_readable
from ar3d_keras.videos.needed_frames import Needed
from ar3d_keras.videos.parts import Part, resized
from ar3d_keras.videos.reader import ASSUMED_RATE, ReadError, damage, load_cv2, read_header
from ar3d_keras.videos.region import Region
from ar3d_keras.videos.sampling import ClipShape, full_span

VIEW_SIDE = 480  # pixels of the shorter side of the copy, at most
# Containers of one file. Others, such as playlists, name further files of this machine.
CONTAINERS = (
    "mov,matroska,webm,avi,mpegts,mpeg,mpegvideo,flv,asf,ogg,gif,mxf,ivf,nut,yuv4mpegpipe,dv,rm,"
    "mjpeg,h264,hevc,m4v,obu,av1,h263,apng,wtv"
)


@dataclass(frozen=True)
class Decoded:
    """What was made of a video.

    Attributes:
        times: (start, end) of each window, in seconds since the first frame.
        window_seconds: the length of a window.
        hop_seconds: from the start of one window to the start of the next.
        seconds: the length of the video.
        damage: what is missing of the video; None: nothing.
    """

    times: tuple[tuple[float, float], ...]
    window_seconds: float
    hop_seconds: float
    seconds: float
    damage: str | None


@dataclass(frozen=True, kw_only=True)
class _Copied(Part):
    """A video that is copied while it is decoded; see `decode` for its attributes."""

    copy: Path
    shape: ClipShape
    max_seconds: float

    def frames(
        self,
        *,
        threads: int = 1,
        size: tuple[int, int] | None = None,
        roi: Region | None = None,
        needed: Needed | None = None,  # the copy needs all
    ) -> Iterator[tuple[float, np.ndarray]]:
        cv2, rate = load_cv2(), read_header(self.path).rate or ASSUMED_RATE
        writer: VideoWriter | None = None
        try:
            for time, frame in super().frames(threads=threads):
                if time > self.max_seconds:
                    raise ReadError(
                        f"it is longer than {self.max_seconds / 60:g} minutes (`max_minutes`)"
                    )
                if writer is None:
                    view = _view_size(frame, self.shape)
                    writer = VideoWriter(self.copy, *view, rate, self.path)
                writer.write(time, cv2.resize(frame, view, interpolation=cv2.INTER_AREA))
                yield time, resized(frame, size, roi)
            if writer is not None:
                writer.close()
        finally:
            if writer is not None:
                writer.abort()


def decode(
    path: Path,
    *,
    copy: Path,
    clips: Path,
    shape: ClipShape,
    window_seconds: float | None,
    hop_seconds: float | None,
    max_seconds: float,
    threads: int,
) -> Decoded:
    """Writes the center clip of each window and the copy.

    Args:
        path: a video file.
        copy: the .mp4 to write; time stamps and sound are those of the video.
        clips: the file to write: the clips, uint8 (windows, T, H, W, C), one after another.
        shape: the clip geometry.
        window_seconds: None: the length of a clip, or the whole video where a clip spans that.
        hop_seconds: None: windows follow each other.
        max_seconds: the longest video that is taken.
        threads: decoding threads.

    Raises:
        ReadError: the video cannot be decoded, or is too long.
    """
    _check_container(path)
    rate = read_header(path).rate or ASSUMED_RATE
    if window_seconds is None:
        whole = shape.sampling == "uniform"
        window_seconds = LONGEST if whole else full_span(shape) / (shape.fps or rate)
    hop = hop_seconds or window_seconds
    part = _Copied(path, copy=copy, shape=shape, max_seconds=max_seconds)
    times = []
    try:
        with clips.open("wb") as file:
            for window in small_windows(
                part, shape, seconds=window_seconds, hop=hop, threads=threads
            ):
                times.append((window.start, window.end))
                shown = [window.frames[place] for place in window.sampled(shape.fps)]
                for clip in clips_of(shown, shape):
                    file.write(clip.tobytes())
    except UserError as error:  # a window does not fit into memory
        raise ReadError(str(error)) from None
    return Decoded(tuple(times), window_seconds, hop, times[-1][1], damage(path))


def _check_container(path: Path) -> None:
    import av

    check_readable(path)
    try:
        av.open(str(path.absolute()), options={"format_whitelist": CONTAINERS}).close()
    except (av.error.FFmpegError, OSError, ValueError):
        raise ReadError(NOT_A_VIDEO) from None


def _view_size(frame: np.ndarray, shape: ClipShape) -> tuple[int, int]:
    """Width and height of the copy. A region in pixels needs those of the video."""
    height, width = frame.shape[:2]
    if shape.roi and max(shape.roi) > 1:
        return width, height
    scale = min(1.0, VIEW_SIDE / min(height, width))
    return max(2, round(width * scale)), max(2, round(height * scale))
