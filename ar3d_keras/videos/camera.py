"""A camera, or a stream on the network: its latest frames, and never a queue of old ones."""

import re
import threading
import time
from collections import deque
from typing import NamedTuple

import numpy as np

from ar3d_keras.errors import UserError
from ar3d_keras.videos.reader import ASSUMED_RATE, load_cv2, told_rate

PATIENCE = 5.0  # seconds that a stream may keep us waiting


class Latest(NamedTuple):
    """The last frames of a camera.

    Attributes:
        frames: at least one, uint8 (height, width, 3), BGR; the last is the newest.
        number: of the newest, counted from 1 since they are held.
        time: of the newest, by time.monotonic().
    """

    frames: tuple[np.ndarray, ...]
    number: int
    time: float


class Camera:
    """Reads a camera in a thread of its own, from the moment that it is opened.

    Args:
        source: the number of a camera, the address of a stream (rtsp://, http://...), or a device
            (/dev/video0).
        threads: that decode a stream.

    Attributes:
        rate: frames a second that it says it gives; 25 where it says nothing.

    Raises:
        UserError: there is no such camera, or it gives no picture.
    """

    def __init__(self, source: str, *, threads: int = 1):
        self.name = re.sub(r"//[^/]*@", "//", source)  # without a password, even one with an @
        self._capture = _open(source, self.name, threads)
        self.rate = told_rate(self._capture) or ASSUMED_RATE
        self._size: tuple[int, int] | None = None
        self._held: deque[np.ndarray] = deque(maxlen=1)
        self._number, self._time, self._stopped, self._ended = 0, 0.0, False, False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def __enter__(self) -> "Camera":
        return self

    def __exit__(self, *error) -> None:
        self._stopped = True
        self._thread.join(PATIENCE + 1)

    def hold(self, frames: int, size: tuple[int, int]) -> None:
        """From now on keeps the last `frames`, resized to (height, width); until then, none."""
        with self._changed:
            self._held = deque(maxlen=frames)
            self._size = size

    def latest(self, number: int, *, seen: int) -> Latest | None:
        """Waits until frame `number` was held, counted from 1, or the stream has ended.

        Returns:
            None where it has ended and no frame came after frame `seen`.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._number >= number or self._ended)
            if self._number <= seen:
                return None
            return Latest(tuple(self._held), self._number, self._time)

    def _read(self) -> None:
        cv2 = load_cv2()
        try:
            while not self._stopped and self._capture.grab():
                size = self._size
                if size is None:
                    continue  # so that what is held later is new
                ok, frame = self._capture.retrieve()
                if not ok:
                    continue
                small = cv2.resize(frame, size[::-1], interpolation=cv2.INTER_LINEAR)
                with self._changed:
                    self._held.append(small)
                    self._number, self._time = self._number + 1, time.monotonic()
                    self._changed.notify_all()
        finally:
            self._capture.release()
            with self._changed:
                self._ended = True
                self._changed.notify_all()


def _open(source: str, name: str, threads: int):
    cv2 = load_cv2()
    milliseconds = int(PATIENCE * 1000)
    if source.isdecimal() and len(source) < 10:  # OpenCV's numbers end at 2^31
        capture = cv2.VideoCapture(int(source))
        hint = "look at which there are with `ls /dev/video*`, and whether another program has it"
    elif "://" in source or source.startswith("/dev/"):
        options = [
            *(cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, milliseconds),
            *(cv2.CAP_PROP_READ_TIMEOUT_MSEC, milliseconds),
            *(cv2.CAP_PROP_N_THREADS, threads),
        ]
        capture = (
            cv2.VideoCapture(source, cv2.CAP_FFMPEG, options)
            if "://" in source
            else cv2.VideoCapture(source)
        )
        hint = "is it switched on, and can this machine reach it?"
    else:
        raise UserError(
            f"--camera {name} is no camera: give a number (0 is the first), or an address such as "
            "rtsp://... or http://..., and a file as PATH"
        )
    if not capture.isOpened() or not capture.grab():
        capture.release()
        raise UserError(f"--camera {name} gives no picture: {hint}")
    return capture
