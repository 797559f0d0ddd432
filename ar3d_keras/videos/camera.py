"""A camera or a network stream: only its latest frames, never a queue of old ones."""

import re
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import NamedTuple, Protocol

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.decoders import PyAVFrames, ReadError
from ar3d_keras.videos.inspection import Clock
from ar3d_keras.videos.opencv import load_cv2
from ar3d_keras.videos.reader import ASSUMED_RATE, plausible_rate
from ar3d_keras.videos.region import Region, cut_region

PATIENCE = 5.0  # seconds to wait for a stream
RETRIES = 5  # attempts to reconnect; each waits twice as long as the one before
FIRST_PAUSE = 1.0  # seconds before the first of them
FAILURES_IN_A_ROW = 50  # frames that a local camera may fail to give
RATE_FRAMES = 6  # from whose time stamps the frame rate is measured
BUFFERED = 0.2  # seconds after opening in which frames arrive that were buffered meanwhile


class Latest(NamedTuple):
    """The last frames of a camera.

    Attributes:
        frames: at least one, uint8 (height, width, 3), BGR; the last is the newest.
        stamps: of the frames, in seconds, rising: by the time stamps of the stream where it has
            them, else by their arrival. 0 is the first frame after `Camera.hold`.
        number: of the newest, counted from 1 since `Camera.hold`.
        time: of the newest, by time.monotonic().
    """

    frames: tuple[np.ndarray, ...]
    stamps: tuple[float, ...]
    number: int
    time: float


class Camera:
    """Reads a camera in a thread of its own, from the moment that it is opened.

    A network stream that ends or fails is opened again, up to `retries` times in a row. Damaged
    frames are skipped.

    Args:
        source: the number of a camera, the address of a stream (rtsp://, http://...), or a device
            (/dev/video0).
        threads: decoding threads of a stream.
        log: called with a line when the stream is lost and when it is back.
        retries: attempts to reconnect.
        pause: seconds before the first of them; it doubles from one to the next.

    Raises:
        UserError: there is no such camera, or it gives no picture.
    """

    def __init__(
        self,
        source: str,
        *,
        threads: int = 1,
        log: Callable[[str], None] = lambda line: None,
        retries: int = RETRIES,
        pause: float = FIRST_PAUSE,
    ):
        self.name = re.sub(r"//[^/]*@", "//", source)  # without a password, even one with an @
        self._source, self._threads, self._log = source, threads, log
        self._retries, self._pause = retries, pause
        self._stream = _open(source, self.name, threads)
        self._stamps: deque[float] = deque(maxlen=RATE_FRAMES)
        self._size: tuple[int, int] | None = None
        self._roi: Region | None = None
        self._held: deque[tuple[float, np.ndarray]] = deque(maxlen=1)
        self._number, self._time, self._ended = 0, 0.0, False
        self._seconds: float | None = None  # that are held; None: by number only
        self._clock: Clock | None = None  # of this connection
        self._base = self._stamp = 0.0  # of this connection's first frame, and of the newest one
        self._opened = time.monotonic()
        self._failure: str | None = None
        self._stop = threading.Event()
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *error) -> None:
        self._stop.set()
        self._thread.join(PATIENCE + 1)

    @property
    def rate(self) -> float:
        """Frames per second by the time stamps of the first frames, for which this waits.

        Without time stamps, by their arrival. If the header gives about the same rate, the header's is used;
        25 if both are unknown.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._stamps) == RATE_FRAMES or self._ended, timeout=PATIENCE
            )
            stamps = list(self._stamps)
        return plausible_rate(self._stream.told_rate, stamps) or ASSUMED_RATE

    def hold(
        self,
        frames: int,
        size: tuple[int, int],
        roi: Region | None = None,
        seconds: float | None = None,
    ) -> None:
        """Starts keeping the last frames; none are kept before.

        Args:
            frames: the most to keep.
            size: (height, width) that they are resized to.
            roi: the region that is resized; None: the whole frame.
            seconds: that are kept, up to the newest frame; None: as long as `frames` takes.
        """
        with self._changed:
            self._held = deque(maxlen=frames)
            self._size, self._roi, self._seconds = size, roi, seconds

    def latest(self, number: int, *, seen: int, stamp: float = 0.0) -> Latest | None:
        """Waits for a frame, or the end of the stream.

        Args:
            number: of the frame, counted from 1.
            seen: the number of the last frame that was seen.
            stamp: seconds; a frame with an earlier stamp is waited on, whatever its number.

        Returns:
            None where a stream with an end has ended and no frame came after frame `seen`.

        Raises:
            UserError: no frame came after frame `seen`, and the camera does not come back; or its
                frames do not contain the region.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: (self._number >= number and self._stamp >= stamp) or self._ended
            )
            if self._number > seen:
                stamps, frames = zip(*self._held, strict=True)
                return Latest(frames, stamps, self._number, self._time)
            if self._failure:
                raise UserError(self._failure)
            return None

    def _run(self) -> None:
        try:
            while self._read() and self._reconnect():
                pass
        finally:
            self._stream.close()
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _read(self) -> bool:
        """Reads until the stream is lost; False where that is its end."""
        cv2 = load_cv2()
        while not self._stop.is_set() and self._stream.grab():
            self._measure()
            size = self._size
            if size is None:
                continue  # so that all frames held later are new
            stamp = self._next_stamp()
            try:
                frame = self._stream.retrieve()
            except ReadError:
                continue
            try:
                frame = cut_region(frame, self._roi)
            except ReadError as error:
                self._failure = f"`camera` {self.name}: {error}"
                return False
            small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)
            with self._changed:
                self._held.append((stamp, small))
                # The frame that is shown at the beginning may be older.
                while self._seconds and len(self._held) > 1:
                    if self._held[1][0] > stamp - self._seconds:
                        break
                    self._held.popleft()
                self._number, self._time, self._stamp = self._number + 1, time.monotonic(), stamp
                self._changed.notify_all()
        return not self._stop.is_set() and self._stream.duration is None

    def _seen_at(self) -> float | None:
        """The time stamp of the grabbed frame, or the time now if the stream has none."""
        return self._stream.seconds if self._stream.has_times else time.monotonic()

    def _next_stamp(self) -> float:
        """Seconds of the grabbed frame, which go on after a stream was lost."""
        if self._clock is None:
            if self._number:
                self._base = self._stamp + time.monotonic() - self._time
            self._clock = Clock(1 / (plausible_rate(self._stream.told_rate, ()) or ASSUMED_RATE))
        return self._base + self._clock.time(self._seen_at())

    def _measure(self) -> None:
        """Keeps the time stamps of the first frames: later ones wait for a slow network."""
        stamp = self._seen_at()
        if not self._stream.has_times and time.monotonic() < self._opened + BUFFERED:
            return
        if stamp is not None and len(self._stamps) < RATE_FRAMES:
            with self._changed:
                self._stamps.append(stamp)
                self._changed.notify_all()

    def _reconnect(self) -> bool:
        """Opens the stream again; False where it stays away."""
        self._stream.close()
        for attempt in range(self._retries):
            pause = self._pause * 2**attempt
            self._log(
                f"the camera {self.name} gives no more pictures: attempt {attempt + 1} of "
                f"{self._retries} to connect again in {pause:g} s"
            )
            if self._stop.wait(pause):
                return False
            try:
                self._stream = _open(self._source, self.name, self._threads)
            except UserError:
                continue
            self._clock = None
            self._log(f"the camera {self.name} is back")
            return True
        self._failure = (
            f"`camera` {self.name} gives no more pictures, and {self._retries} attempts to "
            "connect again failed: is it switched on, and can this machine reach it?"
        )
        return False


class _Stream(Protocol):
    """What a camera is read from: `decoders.Frames` with times."""

    duration: float | None
    has_times: bool

    @property
    def told_rate(self) -> float | None: ...

    @property
    def seconds(self) -> float | None: ...

    def grab(self) -> bool: ...

    def retrieve(self) -> np.ndarray: ...

    def close(self) -> None: ...


class _Device:
    """A camera of this machine, read by OpenCV, which knows the drivers of each system."""

    duration: float | None = None
    has_times = False

    def __init__(self, source: int | str):
        self._capture = load_cv2().VideoCapture(source)

    @property
    def told_rate(self) -> float | None:
        return self._capture.get(load_cv2().CAP_PROP_FPS)

    @property
    def seconds(self) -> float | None:
        return None

    def grab(self) -> bool:
        if not self._capture.isOpened():
            return False
        return any(self._capture.grab() for _ in range(FAILURES_IN_A_ROW))

    def retrieve(self) -> np.ndarray:
        ok, frame = self._capture.retrieve()
        if not ok:
            raise ReadError("a frame cannot be converted")
        return frame

    def close(self) -> None:
        self._capture.release()


def _open(source: str, name: str, threads: int) -> _Stream:
    """Opens a camera that gives a picture."""
    stream: _Stream
    if source.isdecimal() and len(source) < 10:  # OpenCV's numbers end at 2^31
        stream = _Device(int(source))
        hint = "list the cameras with `ls /dev/video*`, and close other programs that use it"
    elif "://" in source or source.startswith("/dev/"):
        hint = "is it switched on, and can this machine reach it?"
        try:
            stream = (
                PyAVFrames(source, threads, timeout=PATIENCE)
                if "://" in source
                else _Device(source)
            )
        except ReadError as error:
            raise UserError(f"`camera` {name} gives no picture ({error}): {hint}") from None
    else:
        raise UserError(
            f"`camera` {name} is not a camera: give a number (0 is the first), or an address such "
            "as rtsp://... or http://..., and a file as PATH"
        )
    if not stream.grab():
        stream.close()
        raise UserError(f"`camera` {name} gives no picture: {hint}")
    return stream
