"""Accuracy against the number of training videos, and what twice as many would bring."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ar3d_keras.evaluation.metrics import INTERVAL_SEED, RESAMPLES, top1_interval

LEAST_SHARES = 3  # a curve through two points cannot be checked
LEAST_GROUPS = 5
LEAST_WRONG = 5  # with fewer wrong videos a change of the error is chance
NOTHING = 0.0005  # rounds to a gain of 0.000


@dataclass(frozen=True)
class DataCurve:
    """A learning curve of data.

    Attributes:
        videos: training videos of a fold, rising; the mean over the folds.
        top1: accuracy over all test videos, 0..1.
        intervals: the 95 % interval of each over groups; None where it cannot be estimated.
        gain: how much twice the videos of the last point would add to top-1; None where no curve
            could be fitted.
        gain_interval: its 95 % interval over groups.
        justified: whether the points support an extrapolation.
        sentence: the expected gain of twice the videos, or why it cannot be estimated.
    """

    videos: tuple[float, ...]
    top1: tuple[float, ...]
    intervals: tuple[list[float] | None, ...]
    gain: float | None
    gain_interval: list[float] | None
    justified: bool
    sentence: str


def data_curve(
    videos: Sequence[float], correct: np.ndarray, groups: Sequence[str | None]
) -> DataCurve:
    """Fits a falling power of the number of videos to the error, and extrapolates it once.

    The error of a network falls roughly as a power of the training set (Hestness et al. 2017,
    arXiv:1712.00409). The interval resamples the groups of the test videos, the same at each point.
    It does not contain the draw of the training videos or the seed.

    Args:
        videos: training videos at each point, rising.
        correct: (points, test videos) bool: the same test videos at each point.
        groups: the group of each test video; None: a group of its own.
    """
    top1 = tuple(float(row.mean()) for row in correct)
    intervals = tuple(top1_interval(row, tuple(groups))[0] for row in correct)
    sizes, wrong = _by_group(~correct, groups)
    known = tuple(map(float, videos)), top1, intervals
    if len(videos) < LEAST_SHARES:
        return DataCurve(
            *known, None, None, False,
            f"{len(videos)} points are too few for a curve: give at least {LEAST_SHARES} shares.",
        )  # fmt: skip
    weights = np.random.default_rng(INTERVAL_SEED).multinomial(
        len(sizes), np.full(len(sizes), 1 / len(sizes)), RESAMPLES
    )
    gain = float(_gain(videos, wrong.sum(1)[np.newaxis], sizes.sum(keepdims=True))[0])
    gains = _gain(videos, weights @ wrong.T, weights @ sizes)
    low, high = (float(value) for value in np.percentile(gains, [2.5, 97.5]))
    reason = _objection(len(sizes), int(wrong[-1].sum()), low)
    about = f"{gain:+.3f} [{low:+.3f}, {high:+.3f}] top-1"
    twice = f"twice the training videos ({2 * videos[-1]:.0f} instead of {videos[-1]:.0f})"
    if reason:
        sentence = f"An extrapolation to {twice} is not justified: {reason}."
    else:
        sentence = (
            f"If the curve continues, {twice} would bring {about}: "
            f"{top1[-1]:.3f} would become about {top1[-1] + gain:.3f}. The interval counts the test "
            "videos' groups, not the draw of the training videos."
        )
    return DataCurve(*known, gain, [low, high], not reason, sentence)


def _objection(groups: int, wrong: int, low: float) -> str:
    """Why the points do not support an extrapolation; empty if they do."""
    if groups < LEAST_GROUPS:
        return (
            f"the test videos are of {groups} groups, and an interval needs at least {LEAST_GROUPS}"
        )
    if wrong < LEAST_WRONG:
        return f"only {wrong} test videos are still wrong with all videos"
    if low < NOTHING:
        return "with these test videos more training videos may as well bring nothing"
    return ""


def _gain(videos: Sequence[float], wrong: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """How much the error falls when the last number of videos doubles.

    Args:
        videos: (points,).
        wrong: (resamples, points) wrong test videos.
        sizes: (resamples,) test videos.
    """
    error = (wrong + 0.5) / (sizes[:, np.newaxis] + 1)  # so that its logarithm is finite
    x, y = np.log(videos), np.log(error)
    x = x - x.mean()
    slope = (y @ x) / (x @ x)
    last = np.exp(y.mean(1) + slope * x[-1])
    return last * (1 - 2**slope)


def _by_group(values: np.ndarray, groups: Sequence[str | None]) -> tuple[np.ndarray, np.ndarray]:
    """The size of each group, (groups,), and the sum of its values, (points, groups)."""
    keys = [("", n) if group is None else (group, -1) for n, group in enumerate(groups)]
    ids = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    unit = np.array([ids[key] for key in keys])
    return np.bincount(unit), np.stack([np.bincount(unit, weights=row) for row in values])
