"""From the windows of a long video to stretches: smoothing, hysteresis, a minimum length.

Nothing crosses a gap: windows with time between them, such as a pause of the recording, belong to
different pieces, and each piece is worked on alone.
"""

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from ar3d_keras.errors import UserError

# Containers round the time of a frame to a millisecond.
ROUNDING = 0.0005  # seconds
NOTHING = -1  # the class of a window without an action


@dataclass(frozen=True)
class BoutOptions:
    """How windows become stretches. The defaults join windows of the same likeliest class.

    Attributes:
        smooth_seconds: each window's probabilities become the mean over the windows whose centers
            are at most half as many seconds away.
        min_seconds: a shorter stretch becomes a part of its longer neighbor.
        high: hysteresis: a stretch of a class has at least one window of this probability; None: no
            hysteresis, each window has its likeliest class.
        low: hysteresis: and all its windows have at least this one. None: as `high`.

    Raises:
        UserError: from `validate`.
    """

    smooth_seconds: float = 0.0
    min_seconds: float = 0.0
    high: float | None = None
    low: float | None = None

    def validate(self) -> None:
        """Raises UserError if a value is out of range."""
        for name in ("smooth_seconds", "min_seconds"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise UserError(f"`{name}` must be at least 0, not {value:g}")
        for name in ("high", "low"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise UserError(f"`{name}_threshold` must be above 0 and at most 1, not {value:g}")
        if self.low is not None and (self.high is None or self.low > self.high):
            raise UserError("`low_threshold` needs a `high_threshold` that is at least as high")


@dataclass(frozen=True)
class Bout:
    """A stretch of a video with one class.

    Attributes:
        start: seconds.
        end: seconds.
        place: the class, or NOTHING.
        probability: the mean over its windows of the probability of the class, or for NOTHING of
            the likeliest class.
    """

    start: float
    end: float
    place: int
    probability: float


def find_bouts(
    times: np.ndarray,
    probabilities: np.ndarray,
    options: BoutOptions | None = None,
    accept: Callable[[np.ndarray], np.ndarray] | None = None,
) -> list[Bout]:
    """Turns the windows of a video into stretches that cover the same time, each moment once.

    Args:
        times: (windows, 2) start and end of each window in seconds, in order.
        probabilities: (windows, classes).
        options: see `BoutOptions`.
        accept: maps probabilities to bool (windows,); windows that it rejects have no class.
    """
    options = options or BoutOptions()
    options.validate()
    times = np.asarray(times, np.float64).reshape(-1, 2)
    if not len(times):
        return []
    spans, pieces = own_spans(times)
    shares = smooth(spans, pieces, np.asarray(probabilities), options.smooth_seconds)
    if options.high is None:
        places = shares.argmax(axis=1)
    else:
        low = options.high if options.low is None else options.low
        places = hysteresis(pieces, shares, options.high, low)
    if accept is not None:
        places = np.where(accept(shares), places, NOTHING)
    places = absorb_short(spans, pieces, places, options.min_seconds)
    shown = np.where(places == NOTHING, shares.argmax(axis=1), places)
    of_place = np.take_along_axis(shares, shown[:, None], axis=1)[:, 0]
    return [
        Bout(
            float(spans[first, 0]),
            float(spans[last - 1, 1]),
            int(places[first]),
            float(np.mean(of_place[first:last])),
        )
        for first, last in _groups(pieces, places)
    ]


def own_spans(times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gives each moment to one window: overlapping windows meet in the middle of their overlap.

    Args:
        times: (windows, 2) start and end of each window, in order.

    Returns:
        (windows, 2) spans without overlap, and the number of the piece of each window.
    """
    spans = times.copy()
    adjoins = times[1:, 0] <= times[:-1, 1] + ROUNDING
    meeting = (times[1:, 0] + times[:-1, 1]) / 2
    spans[1:, 0] = np.where(adjoins, meeting, times[1:, 0])
    spans[:-1, 1] = np.where(adjoins, meeting, times[:-1, 1])
    return spans, np.concatenate([[0], np.cumsum(~adjoins)])


def smooth(
    spans: np.ndarray, pieces: np.ndarray, probabilities: np.ndarray, seconds: float
) -> np.ndarray:
    """The mean of the probabilities over the windows around each window, weighted by their length.

    Args:
        spans: (windows, 2).
        pieces: (windows,).
        probabilities: (windows, classes).
        seconds: the width of what is averaged; 0 changes nothing.
    """
    if seconds <= 0:
        return probabilities
    centers, lengths = spans.mean(axis=1), spans[:, 1] - spans[:, 0]
    smoothed = np.empty_like(probabilities)
    for piece in range(pieces[-1] + 1):
        first, last = np.searchsorted(pieces, [piece, piece + 1])
        reach = seconds / 2 + ROUNDING
        lows = first + np.searchsorted(centers[first:last], centers[first:last] - reach)
        highs = first + np.searchsorted(centers[first:last], centers[first:last] + reach)
        for window, low, high in zip(range(first, last), lows, highs, strict=True):
            smoothed[window] = np.average(
                probabilities[low:high], axis=0, weights=lengths[low:high]
            )
    return smoothed


def hysteresis(
    pieces: np.ndarray, probabilities: np.ndarray, high: float, low: float
) -> np.ndarray:
    """The class of each window by two thresholds, as in Canny's edges (1986).

    A class is possible in an unbroken series of windows that have at least `low`, if one of them
    has at least `high`. Of several possible classes a window has the likeliest.

    Args:
        pieces: (windows,).
        probabilities: (windows, classes).
        high: starts a stretch.
        low: continues it; at most `high`.

    Returns:
        int (windows,); NOTHING where no class is possible.
    """
    possible = np.zeros(probabilities.shape, bool)
    for place in range(probabilities.shape[1]):
        kept = probabilities[:, place] >= low
        for first, last in _groups(pieces, kept):
            if kept[first] and (probabilities[first:last, place] >= high).any():
                possible[first:last, place] = True
    best = np.where(possible, probabilities, -1.0).argmax(axis=1)
    return np.where(possible.any(axis=1), best, NOTHING)


def absorb_short(
    spans: np.ndarray, pieces: np.ndarray, places: np.ndarray, min_seconds: float
) -> np.ndarray:
    """Gives short stretches to their longer neighbors, the shortest first.

    A short stretch that is a piece of its own has no neighbor and becomes NOTHING.

    Args:
        spans: (windows, 2).
        pieces: (windows,).
        places: (windows,) classes.
        min_seconds: the least length of a stretch with a neighbor.
    """
    if min_seconds <= 0:
        return places
    places = places.copy()
    stretches = dict(_groups(pieces, places))  # first window -> the window after its last
    begins = {last: first for first, last in stretches.items()}

    def length(first: int) -> float:
        return float(spans[stretches[first] - 1, 1] - spans[first, 0])

    heap = [(length(first), first) for first in stretches]
    heapq.heapify(heap)
    while heap and heap[0][0] < min_seconds - ROUNDING:
        seconds, first = heapq.heappop(heap)
        if first not in stretches or length(first) != seconds:
            continue  # it was joined with another
        last = stretches[first]
        before, after = begins.get(first), last if last in stretches else None
        if before is not None and pieces[before] != pieces[first]:
            before = None
        if after is not None and pieces[after] != pieces[first]:
            after = None
        if before is None and after is None:
            places[first:last] = NOTHING
            continue
        if after is None or (before is not None and length(before) >= length(after)):
            assert before is not None
            places[first:last] = places[before]
        else:
            places[first:last] = places[after]
        # Joined with each neighbor of its new class: both, where they are alike.
        start, end = first, last
        if before is not None and places[before] == places[first]:
            start = before
        if after is not None and places[after] == places[first]:
            end = stretches.pop(after)
        stretches.pop(first)
        stretches[start] = end
        begins.pop(first, None) if start != first else None
        begins.pop(last, None) if end != last else None
        begins[end] = start
        heapq.heappush(heap, (length(start), start))
    return places


def _groups(pieces: np.ndarray, values: np.ndarray) -> Sequence[tuple[int, int]]:
    """(first, after the last) of each series of windows of one piece with equal values."""
    changes = (pieces[1:] != pieces[:-1]) | (values[1:] != values[:-1])
    edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(values)]
    return list(pairwise(edges))
