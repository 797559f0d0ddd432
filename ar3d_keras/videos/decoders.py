"""The two decoders of video files behind one interface: OpenCV, which is fast, and PyAV.

OpenCV reads only what `inspection` has found to be sound, progressive and of a common pixel
format. All other files need PyAV, because OpenCV's answer depends on its version:

- OpenCV 4.13 and later give uninitialized memory for interlaced frames and report success.
- OpenCV 4.12 and earlier ignore the color matrix (BT.709) and range that a stream declares.
- No OpenCV decodes AV1 without hardware, and none skips a cover picture that is the first stream.
- OpenCV reports a damaged packet in the same way as the end of the file.

PyAV converts with FFmpeg's own scale filter, so its frames are those of the `ffmpeg` command. For
the files that OpenCV reads, both decoders give the same bits.
"""

import itertools
import os
from collections.abc import Callable, Container, Generator, Iterator
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.opencv import load_cv2
from ar3d_keras.videos.remote import is_remote, open_binary
from ar3d_keras.videos.video import ReadError

# Decoding goes on after a damaged packet, and ends after this many in a row.
FAILURES_IN_A_ROW = 5000
# Errors of the container end it sooner: each of them can take long on a failing disk.
READ_ERRORS_IN_A_ROW = 50

NOT_A_VIDEO = "not a video that can be decoded"


def _nothing() -> None:
    pass


# Called for each packet. A process of `isolation` reports by it that the decoder makes progress.
heartbeat: Callable[[], None] = _nothing
_STILL_FORMATS = ("tty", "image2")  # FFmpeg also opens text files, as pictures of a terminal
_NO_TIME_STAMPS = 0x80  # AVFMT_NOTIMESTAMPS of FFmpeg's avformat.h


class TooLargeError(ReadError):
    """A file that needs more memory than FFmpeg gets, or than it takes at once."""


class Frames(Protocol):
    """The frames of a video, forward, each converted only on demand."""

    def grab(self) -> bool:
        """Decodes the next frame; False at the end."""

    def retrieve(self) -> np.ndarray:
        """The grabbed frame: uint8 (height, width, 3), BGR, upright. The next call overwrites it."""

    def close(self) -> None:
        """Closes the file."""


class OpenCVFrames:
    """A video file, decoded by OpenCV.

    Raises:
        ReadError: OpenCV cannot open the file.
    """

    def __init__(self, path: Path, threads: int = 1):
        cv2 = load_cv2()
        # An absolute path, so that FFmpeg does not take a name with a colon for a protocol; FFmpeg
        # by name, so that OpenCV does not take a percent sign for a sequence of images.
        name = os.fspath(path.absolute())
        if not name.isascii() and os.fsencode(name) != name.encode(errors="replace"):
            # OpenCV 5.0 crashes (SIGSEGV) on such a str, and 4.11 does not take bytes.
            raise ReadError("its name is not UTF-8")
        self._capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG, [cv2.CAP_PROP_N_THREADS, threads])
        self._frame: np.ndarray | None = None
        if not self._capture.isOpened():
            raise ReadError(NOT_A_VIDEO)

    def grab(self) -> bool:
        return self._capture.grab()

    def retrieve(self) -> np.ndarray:
        ok, self._frame = self._capture.retrieve(self._frame)
        if not ok:
            raise ReadError("a frame cannot be converted")
        return self._frame

    def close(self) -> None:
        self._capture.release()


class PyAVFrames:
    """A video file or a network stream, decoded by PyAV; damaged packets are skipped.

    Args:
        source: a file, or the address of a stream.
        threads: that decode it.
        timeout: seconds to wait for a network stream; None: without limit.

    Attributes:
        path: the file; None: a network stream.
        stream: the av.VideoStream that is decoded.
        container_name: FFmpeg's name of the container format.
        frame: the grabbed av.VideoFrame.
        told_rate: frames per second by the header; None: unknown.
        promised: number of frames by the header; 0: unknown.
        duration: seconds by the header; None: unknown, as in a live stream.
        has_times: whether the container has time stamps; FFmpeg makes some up for an MJPEG stream
            without, 25 frames a second whatever its rate.
        only: whether the file has no other video stream, not even a cover picture.
        unneeded: time stamps of frames that are left out where their packet says that no frame
            refers to them. None: no frame is left out.
        packets: how many were read.
        lost: how many of them cannot be decoded.
        corrupt: how many frames FFmpeg marks as damaged, which it shows nevertheless.

    Raises:
        ReadError: not a video, or a still picture, or a codec that FFmpeg cannot decode.
    """

    def __init__(self, source: Path | str, threads: int = 1, *, timeout: float | None = None):
        import av

        self._av, live = av, isinstance(source, str)
        self.path = None if isinstance(source, str) else source
        file: IO[bytes] | None = None
        if isinstance(source, str):
            name = source
        else:
            name = os.fspath(source.absolute())
            if is_remote(source):
                file = open_binary(source)
        options = {"rtsp_transport": "tcp"} if live and name.startswith("rtsp") else {}
        try:
            self._container = av.open(
                file or name,
                timeout=timeout,
                metadata_errors="replace",
                options=options,
            )
        except UserError:
            raise
        except (av.error.FFmpegError, OSError, ValueError) as error:
            _check_memory(error)
            raise ReadError(_reason(error) if live else NOT_A_VIDEO) from None
        try:
            self.stream = self._choose_stream()
        except ReadError:
            self._container.close()
            raise
        self.container_name = self._container.format.name
        self.has_times = not self._container.format.flags & _NO_TIME_STAMPS
        self.only = len(self._container.streams.video) == 1
        rate = self.stream.average_rate or self.stream.guessed_rate
        self.told_rate = float(rate) if rate else None
        # A GIF promises none: FFmpeg counts those that are there.
        self.promised = 0 if self.stream.codec_context.name == "gif" else self.stream.frames
        ticks = self._container.duration
        self.duration = None if ticks is None else ticks / av.time_base
        self._set_up(self.stream.codec_context, threads, live)
        self._read_errors_in_a_row = 0 if live else READ_ERRORS_IN_A_ROW
        self.unneeded: Container[int] | None = None
        self.packets = self.lost = self.corrupt = 0
        self._decoded = self._decode()
        self._converter = _Converter(av)
        self.frame: Any = None

    @property
    def seconds(self) -> float | None:
        """The time stamp of the grabbed frame; None where it has none."""
        pts = self.frame.pts
        return None if pts is None else float(pts * self.stream.time_base)

    def first_time_stamps(self) -> list[float]:
        """The time stamps of the first packets, in seconds; nothing can be grabbed afterwards."""
        base, stamps = self.stream.time_base, []
        for packet in itertools.islice(self.packets_only(), 300):
            if packet.pts is not None and not packet.is_discard:
                stamps.append(float(packet.pts * base))
        return stamps

    def packets_only(self) -> Iterator[Any]:
        """Yields the av.Packets, which are not decoded; nothing can be grabbed afterwards."""
        return self._demux()

    def grab(self) -> bool:
        for frame in self._decoded:
            # A recording that begins between two key frames begins with the first whole frame.
            if frame.is_corrupt and self.frame is None:
                continue
            self.corrupt += frame.is_corrupt
            self.frame = frame
            return True
        return False

    def seek(self, stamp: int) -> None:
        """Goes to the key frame at this time stamp, in units of the time base, or one before it.

        The next `grab` may lead elsewhere, where the container's index is missing or wrong.

        Raises:
            ReadError: the container cannot seek.
        """
        self._decoded.close()
        try:
            self._container.seek(stamp, stream=self.stream)
        except (self._av.error.FFmpegError, OSError) as error:
            raise ReadError(f"it cannot be searched ({_reason(error)})") from None
        self._decoded = self._decode()

    def retrieve(self) -> np.ndarray:
        try:
            return self._converter(self.frame, self.stream.time_base)
        except (self._av.error.FFmpegError, ValueError) as error:
            raise ReadError(f"a frame cannot be converted ({_reason(error)})") from None

    def close(self) -> None:
        self._decoded.close()
        self._container.close()

    def _set_up(self, context, threads: int, live: bool) -> None:
        if threads == 1 and context.name == "vp8":
            # FFmpeg's VP8 decoder notices a damaged packet only with slice threads.
            context.thread_count, context.thread_type = 2, "SLICE"
        else:
            # Frame threads would delay a live stream by as many frames.
            context.thread_count = threads
            context.thread_type = "NONE" if threads == 1 else "SLICE" if live else "AUTO"
        # As the `ffmpeg` command does. Without it, HEVC skips to the next key frame after damage.
        context.flags |= self._av.codec.context.Flags.output_corrupt

    def _choose_stream(self):
        """The video stream that `ffmpeg` would choose, cover pictures and thumbnails left out."""
        name = self._container.format.name
        if name in _STILL_FORMATS or name.endswith("_pipe"):
            raise ReadError("a still picture or a text, not a video")
        streams = self._container.streams
        covers = self._av.stream.Disposition.attached_pic | (
            self._av.stream.Disposition.timed_thumbnails
        )
        videos = [s for s in streams.video if not s.disposition & covers]
        if not videos:
            raise ReadError(
                "only a cover picture and no video" if streams.video else "it has no video stream"
            )
        best = streams.best("video")
        chosen = next((s for s in videos if best is not None and s.index == best.index), videos[0])
        if chosen.codec_context is None:
            raise ReadError("its video codec is unknown to FFmpeg")
        return chosen

    def _decode(self) -> Generator[Any, None, None]:
        in_a_row = 0
        for packet in self._demux():
            heartbeat()
            # Theora and AVI repeat a frame by an empty packet. FFmpeg would take it for the end.
            if not packet.size:
                continue
            if self.unneeded is not None:
                unneeded = packet.pts in self.unneeded
                self.stream.codec_context.skip_frame = "NONREF" if unneeded else "DEFAULT"
            try:
                frames = self.stream.decode(packet)
            except (self._av.error.FFmpegError, OSError) as error:
                _check_memory(error)
                self.lost += not packet.is_discard
                in_a_row += 1
                if in_a_row == FAILURES_IN_A_ROW:
                    return
                continue
            in_a_row = 0 if frames else in_a_row
            yield from frames
        try:
            yield from self.stream.decode(None)
        except (self._av.error.FFmpegError, OSError) as error:
            _check_memory(error)
            self.lost += 1

    def _demux(self) -> Iterator[Any]:
        errors = 0
        while True:
            try:
                for packet in self._container.demux(self.stream):
                    errors = 0
                    self.packets += packet.size > 0 or packet.pts is not None
                    yield packet
                return
            except (self._av.error.FFmpegError, OSError) as error:
                _check_memory(error)
                if (
                    isinstance(error, self._av.error.EOFError)
                    or errors >= self._read_errors_in_a_row
                ):
                    return
                errors += 1


class _Converter:
    """Converts frames as `ffmpeg -pix_fmt bgr24` does: interlaced ones as if progressive."""

    def __init__(self, av: Any):
        self._av = av
        self._key: tuple[int, int, str] | None = None
        self._graph: Any = None

    def __call__(self, frame: Any, time_base: Any) -> np.ndarray:
        key = frame.width, frame.height, frame.format.name
        if key != self._key:
            self._key, self._graph = key, self._build(frame, time_base)
        self._graph.push(frame)
        picture = self._graph.pull().to_ndarray()
        turns = round(frame.rotation / 90) % 4
        return np.ascontiguousarray(np.rot90(picture, turns)) if turns else picture

    def _build(self, frame, time_base):
        graph = self._av.filter.Graph()
        graph.threads = 1
        source = graph.add_buffer(
            width=frame.width, height=frame.height, format=frame.format, time_base=time_base
        )
        scale = graph.add("scale", "flags=bicubic:interl=0")
        graph.link_nodes(
            source, scale, graph.add("format", "pix_fmts=bgr24"), graph.add("buffersink")
        ).configure()
        return graph


def _check_memory(error: Exception) -> None:
    """Raises TooLargeError if FFmpeg could not allocate memory: the packet may be sound."""
    if isinstance(error, MemoryError):
        raise TooLargeError("it needs more memory than there is") from None


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
