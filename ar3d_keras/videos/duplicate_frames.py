"""The last stage of the search for near-duplicates: every frame, at exactly the same moments."""

from dataclasses import dataclass

import numpy as np

from ar3d_keras.videos.correlation import correlation, weighted
from ar3d_keras.videos.descriptor import INNER
from ar3d_keras.videos.opencv import load_cv2

MOST_FRAMES = 1500  # that are compared
CROP = 0.05  # of each side

_CHANGE = 1 / 15  # seconds between the frames whose difference is compared

# Chosen on half of the clips of benchmarks/duplicates.py.
SAME_FRAMES = 0.885
_SAME_STILL = 0.96


@dataclass(frozen=True)
class Frames:
    """Every frame of a video, reduced.

    Attributes:
        times: float64 (frames,), seconds since the first frame, rising.
        pictures: uint8 (frames, 32, 32).
        inner: uint8 (frames, 32, 32), the frames without CROP of each side: what `pictures` is of a
            copy that was cropped so. It is reduced from the whole frame, because a crop of
            `pictures` would be less sharp.
    """

    times: np.ndarray
    pictures: np.ndarray
    inner: np.ndarray


class FrameCollector:
    """Collects the first frames of a video; a `Viewer`, as a `Describer` is."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._pictures: list[np.ndarray] = []
        self._inner: list[np.ndarray] = []

    def add(self, seconds: float, gray: np.ndarray) -> None:
        """Adds a frame; see `Describer.add`."""
        if len(self._times) < MOST_FRAMES:
            top, left = (round(CROP * side) for side in gray.shape)
            inner = gray[top : len(gray) - top, left : gray.shape[1] - left]
            self._times.append(seconds)
            self._pictures.append(_reduced(gray))
            self._inner.append(_reduced(inner))

    def frames(self) -> Frames:
        """The frames, after the last one; at least one was added."""
        times = np.array(self._times)
        # Stamps of a constant rate may be a few frames off (B-frames in AVI files).
        step = np.median(np.diff(times)) if len(times) > 1 else 0.0
        even = np.arange(len(times)) * step
        if np.abs(times - even).max() < 3.5 * step:
            times = even
        return Frames(times, np.stack(self._pictures), np.stack(self._inner))


def _reduced(gray: np.ndarray) -> np.ndarray:
    cv2 = load_cv2()
    return cv2.resize(gray, (INNER, INNER), interpolation=cv2.INTER_AREA)


def compare_frames(
    one: Frames, other: Frames, shift: float, *, tolerance: float, mirrored: bool = False
) -> tuple[float, float]:
    """Correlates the changes from frame to frame of two videos.

    Args:
        one: the first video.
        other: the second video.
        shift: seconds by which the second video begins before the first one, about.
        tolerance: seconds that `shift` may be off.
        mirrored: whether left and right of the second video are exchanged.

    Returns:
        The correlation, up to 1, and the shift at which it is highest.
    """
    side = slice(None, None, -1 if mirrored else 1)
    best = -1.0, shift
    # The whole pictures, then a video against the inner pictures of the other, both ways.
    for mine, theirs in (
        (one.pictures, other.pictures),
        (one.inner, other.pictures),
        (one.pictures, other.inner),
    ):
        a, b = _blurred(mine), _blurred(theirs[:, :, side])
        best = max(best, _compare_frames(one.times, a, other.times, b, shift, tolerance))
        if best[0] >= SAME_FRAMES:
            break
    return round(best[0], 4), round(best[1], 3)


def _blurred(pictures: np.ndarray) -> np.ndarray:
    cv2 = load_cv2()
    return np.stack([cv2.GaussianBlur(p.astype(np.float32), (0, 0), 0.7) for p in pictures])


def _compare_frames(
    times: np.ndarray,
    mine: np.ndarray,
    other_times: np.ndarray,
    theirs: np.ndarray,
    shift: float,
    tolerance: float,
) -> tuple[float, float]:
    if len(times) < 3 or len(other_times) < 3:
        return -1.0, shift
    if np.diff(times).mean() < 0.99 * np.diff(other_times).mean():  # compared at the lower rate
        score, back = _compare_frames(other_times, theirs, times, mine, -shift, tolerance)
        return score, -back
    # At these shifts a frame in the middle of the overlap meets a frame of the other video.
    begin, end = max(times[0], other_times[0] - shift), min(times[-1], other_times[-1] - shift)
    middle = times[np.abs(times - (begin + end) / 2).argmin()]
    shifts = other_times - middle
    slack = 1e-3
    mine_too = (times >= begin - slack) & (times <= end + slack)
    theirs_too = (other_times >= begin + shift - slack) & (other_times <= end + shift + slack)
    if mine_too.sum() < 5 or theirs_too.sum() < 5:
        return -1.0, shift
    still = np.median(mine[mine_too], axis=0), np.median(theirs[theirs_too], axis=0)
    if correlation(*still, noise=1.0) < _SAME_STILL:
        return -1.0, shift
    # From frame to frame a video at a high rate changes less than its codec does.
    lag = min(max(1, round(_CHANGE / np.diff(times).mean())), 4)
    best = -1.0, shift
    for exact in shifts[np.abs(shifts - shift) <= 1.5 * tolerance].tolist():
        within = (times + exact >= other_times[0] - slack) & (
            times + exact <= other_times[-1] + slack
        )
        if within.sum() < 5:
            continue
        a = mine[within].reshape(within.sum(), -1)
        b = _at(other_times, theirs, times[within] + exact)
        best = max(best, (_correlate_changes(a, b, lag), exact))
    return best


def _at(times: np.ndarray, pictures: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Pictures at other times, between two frames interpolated: (len(wanted), pixels)."""
    after = np.searchsorted(times, wanted).clip(1, len(times) - 1)
    share = ((wanted - times[after - 1]) / (times[after] - times[after - 1])).clip(0, 1)
    share = share[:, None].astype(np.float32)
    flat = pictures.reshape(len(pictures), -1)
    return (1 - share) * flat[after - 1] + share * flat[after]


def _correlate_changes(one: np.ndarray, other: np.ndarray, lag: int) -> float:
    a, b = weighted(one[lag:] - one[:-lag], other[lag:] - other[:-lag], 1)
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))
