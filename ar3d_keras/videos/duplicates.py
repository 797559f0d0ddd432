"""Finds near-duplicates: videos that show the same recording, whatever their bytes.

A copy may be encoded again, scaled, cropped by a few per cent, cut at the ends, or mirrored. Videos
of one fixed camera have the same background, so pictures alone do not tell copies from other
recordings. What tells them apart is motion. A video is described by small gray pictures at equal
steps in time. A search for pairs has four stages, each for the pairs that the one before has left:

1. Mean picture and map of motion: each video keeps its most similar ones (a matrix product).
2. The coarse motion of both videos, correlated at every shift in time (Fourier transform).
3. The finer pictures at the best shift, also between two steps and with one of them cropped. Their
   mean pictures are compared, and then what differs from the mean, all over and in each half second.
4. Every frame, decoded again and reduced, at exactly the same moments. A person who repeats a gesture
   passes stage 3, but not at the same speed from frame to frame.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from ar3d_keras.videos.opencv import load_cv2

VERSION = 2  # of descriptors and thresholds; raise it when a result may change
STEP = 0.1  # seconds; doubled until a video has at most MOST_STEPS
MOST_STEPS = 128
SIDE = 16  # pixels of a small picture's side
FEWEST_STEPS = 6  # a shorter video is not compared
NEIGHBORS = 24  # pairs of a video that the second stage compares, and as many mirrored ones

_LEVELS = 256
_INNER = 32  # pixels of the side that a frame is reduced to before it is blurred
_COARSE = 4  # a side of the coarse motion: so many cosines
_LAG = 2  # steps between the pictures whose difference is motion
_OVERLAP = 0.5  # of the shorter video, at least
_CROP = 0.05  # of each side
_WINDOW = 5  # steps that must agree for themselves
_CHANGE = 1 / 15  # seconds between the frames whose difference the fourth stage compares
MOST_FRAMES = 1500  # that the fourth stage compares
_BLOCK = 1024  # rows of the first stage, pairs of the second: bounds the memory

# Chosen on half of the clips of benchmarks/duplicates.py.
LEAST_MOTION = 0.15  # gray levels; below, motion cannot be told from the noise of a codec
_SAME_BACKGROUND = 0.8
_COARSE_SCORE = 0.5
_SAME_PICTURE = 0.9
_WHOLE = 0.8
_EVERY_WINDOW = 0.5
_SAME_STILL = 0.96
_SAME_FRAMES = 0.885


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


@dataclass(frozen=True, order=True)
class Pair:
    """Two videos that show the same recording.

    Attributes:
        one: index of the first video.
        other: index of the second video, above `one`.
        kind: "copy", or "mirrored" where left and right are exchanged.
        score: correlation of the two, to 1.
        shift: seconds by which the second video begins before the first one.
    """

    one: int
    other: int
    kind: str
    score: float
    shift: float


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
        small = cv2.resize(gray, (_INNER, _INNER), interpolation=cv2.INTER_AREA)
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


@dataclass(frozen=True)
class Frames:
    """Every frame of a video, reduced.

    Attributes:
        times: float64 (frames,), seconds since the first frame, rising.
        pictures: uint8 (frames, 32, 32).
    """

    times: np.ndarray
    pictures: np.ndarray


class FrameCollector:
    """Collects the first frames of a video; used in place of a `Describer`."""

    def __init__(self) -> None:
        self._times: list[float] = []
        self._pictures: list[np.ndarray] = []

    def add(self, seconds: float, gray: np.ndarray) -> None:
        """Adds a frame; see `Describer.add`."""
        if len(self._times) < MOST_FRAMES:
            cv2 = load_cv2()
            small = cv2.resize(gray, (_INNER, _INNER), interpolation=cv2.INTER_AREA)
            self._times.append(seconds)
            self._pictures.append(small)

    def frames(self) -> Frames:
        """The frames, after the last one; at least one was added."""
        times = np.array(self._times)
        # Stamps of a constant rate may be a few frames off (B-frames in AVI files).
        step = np.median(np.diff(times)) if len(times) > 1 else 0.0
        even = np.arange(len(times)) * step
        if np.abs(times - even).max() < 3.5 * step:
            times = even
        return Frames(times, np.stack(self._pictures))


def moves(descriptor: Descriptor) -> bool:
    """Whether a video is long enough, and has enough motion, to be compared."""
    if len(descriptor.pictures) < FEWEST_STEPS:
        return False
    pictures = descriptor.gray()
    return float(np.sqrt(((pictures - pictures.mean(axis=0)) ** 2).mean())) >= LEAST_MOTION


def find_pairs(
    descriptors: Sequence[Descriptor],
    frames_of: Callable[[int], Frames] | None = None,
    progress: Callable[[int], None] = lambda done: None,
) -> list[Pair]:
    """Finds the near-duplicates among videos; those that do not move are not compared.

    Args:
        descriptors: one for each video.
        frames_of: gives every frame of a video by its index; called for the few pairs that the
            descriptors do not tell from copies. None: the fourth stage is left out, so repeated
            actions in front of one camera may be taken for copies.
        progress: called with the number of videos whose neighbors are known.

    Returns:
        The pairs, sorted.
    """
    moving = [index for index, descriptor in enumerate(descriptors) if moves(descriptor)]
    found: list[Pair] = []
    for step in sorted({descriptors[index].step for index in moving}):
        # Videos of another length may have another step; a pair is compared at the longer one.
        members = [
            index
            for index in moving
            if descriptors[index].step <= step
            and len(descriptors[index].pictures) * descriptors[index].step >= FEWEST_STEPS * step
        ]
        level = _Level([descriptors[index].coarser(step) for index in members], step)
        own = np.array([descriptors[index].step == step for index in members])
        for pair in level.pairs(own, progress):
            one, other = members[pair.one], members[pair.other]
            found.append(Pair(one, other, pair.kind, pair.score, pair.shift))
    if frames_of is None:
        return sorted(found)
    recent = lru_cache(maxsize=64)(frames_of)
    verified = []
    for pair in sorted(found):
        score, shift = compare_frames(
            recent(pair.one),
            recent(pair.other),
            pair.shift,
            tolerance=max(descriptors[pair.one].step, descriptors[pair.other].step),
            mirrored=pair.kind == "mirrored",
        )
        if score >= _SAME_FRAMES:
            verified.append(Pair(pair.one, pair.other, pair.kind, score, shift))
    return verified


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
    mine, theirs = _blurred(one.pictures), _blurred(other.pictures[:, :, :: -1 if mirrored else 1])
    best = _compare_frames(one.times, mine, other.times, theirs, shift, tolerance)
    if best[0] < _SAME_FRAMES:
        best = max(
            best,
            _compare_frames(
                one.times, _without_border(mine), other.times, theirs, shift, tolerance
            ),
            _compare_frames(
                one.times, mine, other.times, _without_border(theirs), shift, tolerance
            ),
        )
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
    if _correlation(*still, noise=1.0) < _SAME_STILL:
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
    a, b = _weighted(one[lag:] - one[:-lag], other[lag:] - other[:-lag], 1)
    return float((a * b).sum() / (np.sqrt((a * a).sum() * (b * b).sum()) + 1e-6))


def _weighted(one: np.ndarray, other: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowers the weight of pixels where nothing moves: there is only the noise of the codec."""
    energy = np.sqrt((one * one).mean(axis=0) * (other * other).mean(axis=0))
    weights = energy / (energy + strength * energy.mean() + 1e-6)
    return one * weights, other * weights


class _Level:
    """The comparison of descriptors that have the same step."""

    def __init__(self, descriptors: Sequence[Descriptor], step: float):
        self.descriptors, self.step = descriptors, step
        self.lengths = np.array([len(d.pictures) - _LAG for d in descriptors])
        self.size = 1 << int(2 * self.lengths.max() - 1).bit_length()
        count, cosines = len(descriptors), _cosines()
        self.means = np.empty((count, 8, 8), np.float32)
        self.maps = np.empty((count, 8, 8), np.float32)
        self.spectra = np.empty((count, _COARSE**2, self.size // 2 + 1), np.complex64)
        self.energy = np.zeros((count, self.lengths.max() + 1), np.float32)
        for place, descriptor in enumerate(descriptors):
            pictures = descriptor.gray()
            small = pictures.reshape(-1, 8, 2, 8, 2).mean(axis=(2, 4))
            self.means[place], self.maps[place] = small.mean(axis=0), small.std(axis=0)
            motion = (pictures[_LAG:] - pictures[:-_LAG]).reshape(len(pictures) - _LAG, -1)
            coarse = motion @ cosines
            self.spectra[place] = np.fft.rfft(coarse.T, self.size)
            length = len(coarse)
            self.energy[place, 1 : length + 1] = np.cumsum((coarse**2).sum(axis=1))
            self.energy[place, length + 1 :] = self.energy[place, length]
        self.means -= self.means.mean(axis=(1, 2), keepdims=True)
        for maps in (self.means, self.maps):
            maps /= np.sqrt((maps**2).sum(axis=(1, 2), keepdims=True)) + 1e-6

    def pairs(self, own: np.ndarray, progress: Callable[[int], None]) -> Iterator[Pair]:
        """The near-duplicates of which at least one video is among those marked in `own`."""
        for mirrored in (False, True):
            candidates = self._candidates(mirrored, progress)
            candidates = candidates[own[candidates].any(axis=1)]
            for begin in range(0, len(candidates), _BLOCK):
                block = candidates[begin : begin + _BLOCK]
                scores, shifts = self._correlate(block, mirrored)
                for place in np.flatnonzero(scores >= _COARSE_SCORE):
                    one, other = map(int, block[place])
                    if match := self._compare(one, other, int(shifts[place]), mirrored):
                        kind = "mirrored" if mirrored else "copy"
                        yield Pair(one, other, kind, round(match[0], 4), round(match[1], 3))

    def _candidates(self, mirrored: bool, progress: Callable[[int], None]) -> np.ndarray:
        """(pairs, 2), the indices of videos whose means and maps of motion are most similar."""
        count = len(self.descriptors)
        means, maps = self.means.reshape(count, -1), self.maps.reshape(count, -1)
        turned = (part[:, :, ::-1].reshape(count, -1) for part in (self.means, self.maps))
        other_means, other_maps = turned if mirrored else (means, maps)
        found = []
        for begin in range(0, count, _BLOCK):
            rows = slice(begin, begin + _BLOCK)
            background = means[rows] @ other_means.T
            likeness = maps[rows] @ other_maps.T + background
            likeness[background < _SAME_BACKGROUND] = -1
            places = np.arange(len(likeness))
            likeness[places, begin + places] = -1
            if not (kept := min(NEIGHBORS, count - 1)):
                break
            nearest = np.argpartition(-likeness, kept - 1, axis=1)[:, :kept]
            for place, others in enumerate(nearest):
                others = others[likeness[place, others] > 0]
                found.append(np.stack([np.full(len(others), begin + place), others], axis=1))
            if not mirrored:
                progress(min(count, begin + _BLOCK))
        pairs = np.sort(np.concatenate([*found, np.empty((0, 2), int)]), axis=1)
        return np.unique(pairs, axis=0)

    def _correlate(self, pairs: np.ndarray, mirrored: bool) -> tuple[np.ndarray, np.ndarray]:
        """The best normalized correlation of coarse motion over all shifts, and that shift."""
        one, other = pairs.T
        signs = _mirror_signs() if mirrored else np.ones(_COARSE**2, np.float32)
        product = np.einsum(
            "pcf,pcf,c->pf", self.spectra[one].conj(), self.spectra[other], signs, optimize=False
        )
        correlation = np.fft.irfft(product, self.size)
        n, m = self.lengths[one, None], self.lengths[other, None]
        shifts = np.arange(self.size)[None]
        shifts = np.where(shifts < self.size // 2, shifts, shifts - self.size)
        begin, end = np.maximum(0, -shifts), np.minimum(n, m - shifts)
        valid = end - begin >= np.maximum(3, _OVERLAP * np.minimum(n, m))
        begin, end = np.where(valid, begin, 0), np.where(valid, end, 0)
        mine = self._energy(one, begin, end)
        theirs = self._energy(
            other, begin + np.where(valid, shifts, 0), end + np.where(valid, shifts, 0)
        )
        score = np.where(valid, correlation / (np.sqrt(mine * theirs) + 1e-6), -1)
        best = score.argmax(axis=1)
        return score[np.arange(len(pairs)), best], shifts[0, best]

    def _energy(self, videos: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
        energy = self.energy[videos]
        return np.take_along_axis(energy, end, 1) - np.take_along_axis(energy, begin, 1)

    def _compare(
        self, one: int, other: int, shift: int, mirrored: bool
    ) -> tuple[float, float] | None:
        """(score, shift in seconds) of two videos that show the same, else None."""
        mine = self.descriptors[one].gray()
        theirs = self.descriptors[other].gray()
        if mirrored:
            theirs = theirs[:, :, ::-1]
        best = _best_match(mine, theirs, shift)
        if not _is_match(best):
            best = max(
                best,
                _best_match(_without_border(mine), theirs, shift),
                _best_match(mine, _without_border(theirs), shift),
            )
        return (best[0], best[2] * self.step) if _is_match(best) else None


def _is_match(match: tuple[float, float, float]) -> bool:
    return match[0] >= _WHOLE and match[1] >= _EVERY_WINDOW


def _best_match(one: np.ndarray, other: np.ndarray, shift: int) -> tuple[float, float, float]:
    """(correlation, the lowest one of a window, shift in steps) near a shift."""
    matches = []
    for fraction in (0.0, 1 / 3, 2 / 3):
        moved = other if not fraction else (1 - fraction) * other[:-1] + fraction * other[1:]
        for whole in (shift - 1, shift, shift + 1) if not fraction else (shift - 1, shift):
            matches.append((*_match(one, moved, whole), whole + fraction))
    return max(matches)


def _match(one: np.ndarray, other: np.ndarray, shift: int) -> tuple[float, float]:
    """The correlation of what differs from the mean picture, and the lowest one of a window.

    Both are -1 where the videos do not overlap enough or the mean pictures differ.
    """
    begin, end = max(0, -shift), min(len(one), len(other) - shift)
    if end - begin < max(FEWEST_STEPS, _OVERLAP * min(len(one), len(other))):
        return -1, -1
    a = one[begin:end].reshape(end - begin, -1)
    b = other[begin + shift : end + shift].reshape(end - begin, -1)
    mean_a, mean_b = a.mean(axis=0), b.mean(axis=0)
    if not _correlation(mean_a, mean_b) >= _SAME_PICTURE:
        return -1, -1
    a, b = a - mean_a, b - mean_b
    a, b = _weighted(a, b, 3)
    product, mine, theirs = ((x * y).sum(axis=1) for x, y in ((a, b), (a, a), (b, b)))
    whole = product.sum() / np.sqrt(mine.sum() * theirs.sum() + 1e-6)
    window = np.ones(_WINDOW)
    product, mine, theirs = (np.convolve(x, window, "valid") for x in (product, mine, theirs))
    energy = np.sqrt(mine * theirs)
    moving = energy > 0.3 * energy.mean()  # in a still moment there is only noise
    return float(whole), float((product[moving] / (energy[moving] + 1e-6)).min())


def _correlation(one: np.ndarray, other: np.ndarray, noise: float = 0.0) -> float:
    """The correlation of two pictures; pictures of less contrast than `noise` count as equal."""
    one, other = one - one.mean(), other - other.mean()
    floor = noise**2 * one.size + 1e-6
    return float(
        ((one * other).sum() + floor) / (np.sqrt((one**2).sum() * (other**2).sum()) + floor)
    )


def _without_border(pictures: np.ndarray) -> np.ndarray:
    """The pictures cropped by _CROP on each side and enlarged to their size again."""
    cv2, side = load_cv2(), pictures.shape[1]
    scale, offset = 1 - 2 * _CROP, _CROP * side - _CROP
    matrix = np.array([[scale, 0, offset], [0, scale, offset]], np.float32)
    how = {"flags": cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, "borderMode": cv2.BORDER_REPLICATE}
    return np.stack([cv2.warpAffine(each, matrix, (side, side), **how) for each in pictures])


@cache
def _cosines() -> np.ndarray:
    """(SIDE * SIDE, _COARSE**2), the lowest cosines of a small picture."""
    places = (np.arange(SIDE) + 0.5) * np.pi / SIDE
    rows = np.cos(np.arange(_COARSE)[:, None] * places)
    waves = rows[:, None, :, None] * rows[None, :, None, :]
    return waves.reshape(_COARSE**2, -1).T.astype(np.float32)


@cache
def _mirror_signs() -> np.ndarray:
    """(_COARSE**2,), what each coefficient is multiplied with in a mirrored picture."""
    return np.tile((-1.0) ** np.arange(_COARSE), _COARSE).astype(np.float32)
