"""A video as small gray pictures at equal steps in time: what the search for near-duplicates compares."""

from dataclasses import dataclass

import numpy as np

from ar3d_keras.videos.opencv import load_cv2

STEP = 0.1  # seconds; doubled until a video has at most MOST_STEPS
MOST_STEPS = 128
SIDE = 16  # pixels of a small picture's side
FEWEST_STEPS = 6  # a shorter video is not compared
INNER = 32  # pixels of the side that a frame is reduced to before it is blurred
# Gray levels; below, motion cannot be told from the noise of a codec. Chosen on half of the clips of
# benchmarks/duplicates.py.
LEAST_MOTION = 0.15

_LEVELS = 256


@dataclass(frozen=True)
class Descriptor:
    """A video as small gray pictures at equal steps in time.

    Attributes:
        pictures: uint16 (steps, SIDE, SIDE), the mean of the frames shown during each step, in
            256ths of a gray level: rounding to gray levels would hide small motion.
        step: seconds.
    """

    pictures: np.ndarray
    step: float

    def coarser(self, step: float) -> "Descriptor":
        """The descriptor at a longer step, `step` = 2, 4, ... times its own."""
        times = round(step / self.step)
        steps = len(self.pictures) // times
        whole = self.pictures[: steps * times].reshape(steps, times, SIDE, SIDE)
        return Descriptor(whole.mean(axis=1).round().astype(np.uint16), step)

    def gray(self) -> np.ndarray:
        """float32 (steps, SIDE, SIDE), gray levels from 0 to 255."""
        return self.pictures.astype(np.float32) / _LEVELS


class Describer:
    """Makes the descriptor of a video from its frames, in one pass and in bounded memory."""

    def __init__(self) -> None:
        self._sums = np.zeros((MOST_STEPS, SIDE, SIDE), np.float32)
        self._step = STEP
        self._shown: np.ndarray | None = None  # the last frame, and since when it is shown
        self._since = self._typical = 0.0

    @property
    def has_frames(self) -> bool:
        """Whether a frame was added."""
        return self._shown is not None

    def add(self, seconds: float, gray: np.ndarray) -> None:
        """Adds a frame.

        Args:
            seconds: since the first frame, rising.
            gray: uint8 (height, width), upright.
        """
        self._show_until(seconds)
        cv2 = load_cv2()
        small = cv2.resize(gray, (INNER, INNER), interpolation=cv2.INTER_AREA)
        blurred = cv2.GaussianBlur(small.astype(np.float32), (0, 0), 1)
        self._shown = cv2.resize(blurred, (SIDE, SIDE), interpolation=cv2.INTER_AREA)

    def descriptor(self) -> Descriptor:
        """The descriptor, after the last frame, which is shown as long as the one before it."""
        self._show_until(self._since + (self._typical or STEP))
        steps = max(1, int(self._since / self._step + 1e-6))
        pictures = self._sums[:steps] / self._step
        return Descriptor((pictures.clip(0, 255) * _LEVELS).round().astype(np.uint16), self._step)

    def _show_until(self, end: float) -> None:
        if self._shown is None:
            return
        while end > MOST_STEPS * self._step:
            half = MOST_STEPS // 2
            self._sums[:half] = self._sums[::2] + self._sums[1::2]
            self._sums[half:] = 0
            self._step *= 2
        for step in range(int(self._since / self._step), int(end / self._step) + 1):
            begin = max(self._since, step * self._step)
            time = min(end, (step + 1) * self._step) - begin
            if time > 0 and step < MOST_STEPS:
                self._sums[step] += time * self._shown
        self._typical, self._since = end - self._since, end


def moves(descriptor: Descriptor) -> bool:
    """Whether a video is long enough, and has enough motion, to be compared."""
    if len(descriptor.pictures) < FEWEST_STEPS:
        return False
    pictures = descriptor.gray()
    return float(np.sqrt(((pictures - pictures.mean(axis=0)) ** 2).mean())) >= LEAST_MOTION
