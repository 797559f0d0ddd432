"""Writes videos that browsers play: H.264 in MP4 with the sound of the source, by PyAV.

Each frame has the time stamp that it is given, so that a variable rate stays one and the sound stays
in time with the picture.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.packet import Packet

SUFFIXES = (".mp4", ".avi")
CLOCK = Fraction(1, 90_000)  # seconds; the clock of MPEG
# H.264 is in PyAV's wheels; a build without it has VP9, which browsers play too.
ENCODERS = {
    "libx264": {"crf": "20", "preset": "veryfast"},
    "libvpx-vp9": {"crf": "30", "b": "0", "deadline": "realtime", "cpu-used": "6"},
}
COPIED = ("aac", "mp3", "mp3float")  # sound that browsers play in MP4
# Containers that hold it as MP4 does. All other sound becomes AAC.
COPIED_FROM = {"mp4", "matroska"}
AAC_RATES = (16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


class VideoWriter:
    """Writes one video file.

    A .mp4 has H.264 or, in a build of FFmpeg without it, VP9, and sound. An .avi has MPEG-4, a
    constant rate and no sound; browsers do not play it.

    Args:
        file: the file, .mp4 or .avi.
        width: in pixels; an odd one loses a column.
        height: in pixels; an odd one loses a row.
        rate: frames per second, about; an .avi has exactly this rate.
        sound: the video whose sound is copied; None: no sound.
        sound_start: seconds of that video at the first frame that is written.

    Raises:
        av.error.FFmpegError: The file cannot be opened.
    """

    def __init__(
        self,
        file: Path,
        width: int,
        height: int,
        rate: float,
        sound: Path | None = None,
        sound_start: float = 0.0,
    ):
        import av

        is_mp4 = file.suffix.lower() == ".mp4"
        self._period = 1 / rate
        self._size = max(2, width - width % 2), max(2, height - height % 2)
        self._container = av.open(
            str(file.absolute()),
            "w",
            format="mp4" if is_mp4 else "avi",
            # The index stands before the pictures, so that playing starts while a file loads.
            options={"movflags": "+faststart"} if is_mp4 else {},
        )
        # MPEG-4 wants a numerator below 65536.
        about = Fraction(rate).limit_denominator(max(1, min(1001, int(65_535 / rate))))
        if is_mp4:
            name = next(name for name in ENCODERS if name in av.codec.codecs_available)
            self._stream = self._container.add_stream(name, about, options=dict(ENCODERS[name]))
            self._stream.codec_context.time_base = self._clock = CLOCK
        else:
            self._stream = self._container.add_stream("mpeg4", about)
            self._stream.codec_context.qscale = True
            self._stream.codec_context.global_quality = 3 * 118  # FF_QP2LAMBDA
            self._clock = 1 / about
        self._stream.width, self._stream.height = self._size
        self._stream.pix_fmt = "yuv420p"
        self._last = -1
        self._sound = _Sound(sound, self._container, sound_start) if is_mp4 and sound else None

    def write(self, time: float, picture: np.ndarray) -> None:
        """Writes a frame.

        Args:
            time: seconds since the first frame, more than before.
            picture: uint8 (height, width, 3), BGR.

        Raises:
            av.error.FFmpegError: The frame cannot be encoded or written.
        """
        import av

        width, height = self._size
        if picture.shape[0] < height or picture.shape[1] < width:  # one pixel wide or high
            picture = np.resize(picture, (height, width, 3))
        frame = av.VideoFrame.from_ndarray(
            np.ascontiguousarray(picture[:height, :width]), format="bgr24"
        )
        self._last = frame.pts = max(self._last + 1, round(time / self._clock))
        frame.time_base = self._clock
        self._mux(self._stream.encode(frame))
        if self._sound:
            self._sound.write(time)

    def close(self) -> None:
        """Writes what is left and closes the file.

        Raises:
            av.error.FFmpegError: The file cannot be written, for example because the disk is full.
        """
        try:
            if self._last >= 0:
                self._mux(self._stream.encode(None))
                if self._sound:
                    self._sound.write(float(self._last * self._clock) + self._period)
                    self._sound.finish()
        finally:
            self.abort()

    def abort(self) -> None:
        """Closes the file as it is; does nothing after `close`."""
        if self._sound:
            self._sound.close()
        self._container.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            if not packet.duration:  # else the last frame is shown for no time
                packet.duration = round(self._period / packet.time_base)
            self._container.mux(packet)


class _Sound:
    """Writes the first sound track of a video, in step with the pictures.

    A track that is missing or damaged is no error: the sound ends where it cannot be read.
    """

    def __init__(self, video: Path, output: OutputContainer, begin: float):
        import av

        self._output = output
        self._source: InputContainer | None = None
        self._encoder: AudioStream | None = None
        self._last = -(1 << 62)
        self._packets: Iterator[tuple[float, list[Packet]]] = iter(())
        self._next: tuple[float, list[Packet]] | None = None
        try:
            self._source = av.open(str(video.absolute()))
            track = self._source.streams.audio[0]
            pictures = self._source.streams.video[0]
        except (av.error.FFmpegError, OSError, IndexError, ValueError):
            return  # a folder of frames, or no sound
        start = (pictures.start_time or 0) * Fraction(pictures.time_base or 0) + Fraction(begin)
        codec = track.codec_context
        if codec.name in COPIED and COPIED_FROM & set(self._source.format.name.split(",")):
            self._packets = self._copied(track, output.add_stream_from_template(track), start)
        elif codec.sample_rate and codec.layout.nb_channels:
            rate = min(AAC_RATES, key=lambda rate: abs(rate - codec.sample_rate))
            self._encoder = output.add_stream("aac", rate)
            layout = "mono" if codec.layout.nb_channels == 1 else "stereo"
            self._encoder.codec_context.layout = layout
            self._packets = self._encoded(track, self._encoder, start)

    def write(self, until: float) -> None:
        """Writes the packets that start before `until`, in seconds."""
        while True:
            self._next = self._next or self._read()
            if self._next is None or self._next[0] >= until:
                return
            self._mux(self._next[1])
            self._next = None

    def finish(self) -> None:
        """Writes what the encoder still holds."""
        import av

        if self._encoder and self._encoder.codec_context.is_open:
            with suppress(av.error.EOFError):
                self._mux(self._encoder.encode(None))

    def close(self) -> None:
        if self._source:
            self._source.close()

    def _mux(self, packets: list[Packet]) -> None:
        for packet in packets:
            if packet.dts is not None and packet.dts > self._last:  # damaged tracks go back in time
                self._last = packet.dts
                self._output.mux(packet)

    def _read(self) -> tuple[float, list[Packet]] | None:
        import av

        try:
            return next(self._packets, None)
        except (av.error.FFmpegError, ValueError):
            self._packets = iter(())
            return None

    def _copied(
        self, track: AudioStream, copy: AudioStream, start: Fraction
    ) -> Iterator[tuple[float, list[Packet]]]:
        assert self._source is not None
        for packet in self._source.demux(track):
            if packet.pts is None:
                continue
            packet.pts -= round(start / packet.time_base)
            packet.dts = packet.pts  # packets of sound are never reordered
            if packet.pts >= 0:
                packet.stream = copy
                yield float(packet.pts * packet.time_base), [packet]

    def _encoded(
        self, track: AudioStream, encoder: AudioStream, start: Fraction
    ) -> Iterator[tuple[float, list[Packet]]]:
        assert self._source is not None
        for frame in self._source.decode(track):
            if frame.pts is None:
                continue
            # In samples: the clock of some containers is too coarse for the frames of AAC.
            frame.pts = round(
                (frame.pts * Fraction(frame.time_base or 0) - start) * frame.sample_rate
            )
            frame.time_base = Fraction(1, frame.sample_rate)
            if frame.pts >= 0:
                yield float(frame.pts * frame.time_base), encoder.encode(frame)
