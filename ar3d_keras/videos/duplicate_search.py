"""The first three stages of the search for near-duplicates, which compare descriptors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from ar3d_keras.videos.correlation import correlation, weighted
from ar3d_keras.videos.descriptor import FEWEST_STEPS, SIDE, Descriptor
from ar3d_keras.videos.duplicate_frames import CROP
from ar3d_keras.videos.opencv import load_cv2

NEIGHBORS = 24  # pairs of a video that the second stage compares, and as many mirrored ones

_COARSE = 4  # a side of the coarse motion: so many cosines
_LAG = 2  # steps between the pictures whose difference is motion
_OVERLAP = 0.5  # of the shorter video, at least
_WINDOW = 5  # steps that must agree for themselves
_BLOCK = 1024  # rows of the first stage, pairs of the second: bounds the memory

# Chosen on half of the clips of benchmarks/duplicates.py.
_SAME_BACKGROUND = 0.8
_COARSE_SCORE = 0.5
_SAME_PICTURE = 0.9
_WHOLE = 0.8
_EVERY_WINDOW = 0.5


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


class Level:
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
        """The near-duplicates with at least one video that is marked in `own`."""
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
    if not correlation(mean_a, mean_b) >= _SAME_PICTURE:
        return -1, -1
    a, b = a - mean_a, b - mean_b
    a, b = weighted(a, b, 3)
    product, mine, theirs = ((x * y).sum(axis=1) for x, y in ((a, b), (a, a), (b, b)))
    whole = product.sum() / np.sqrt(mine.sum() * theirs.sum() + 1e-6)
    window = np.ones(_WINDOW)
    product, mine, theirs = (np.convolve(x, window, "valid") for x in (product, mine, theirs))
    energy = np.sqrt(mine * theirs)
    moving = energy > 0.3 * energy.mean()  # in a still moment there is only noise
    return float(whole), float((product[moving] / (energy[moving] + 1e-6)).min())


def _without_border(pictures: np.ndarray) -> np.ndarray:
    """The pictures cropped by CROP on each side and enlarged to their size again."""
    cv2, side = load_cv2(), pictures.shape[1]
    scale, offset = 1 - 2 * CROP, CROP * side - CROP
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
