"""The similarity of two pictures or two motions."""

import numpy as np


def correlation(one: np.ndarray, other: np.ndarray, noise: float = 0.0) -> float:
    """The correlation of two pictures; pictures of less contrast than `noise` count as equal."""
    one, other = one - one.mean(), other - other.mean()
    floor = noise**2 * one.size + 1e-6
    return float(
        ((one * other).sum() + floor) / (np.sqrt((one**2).sum() * (other**2).sum()) + floor)
    )


def weighted(one: np.ndarray, other: np.ndarray, strength: float) -> tuple[np.ndarray, np.ndarray]:
    """Lowers the weight of pixels where nothing moves: there is only the noise of the codec."""
    energy = np.sqrt((one * one).mean(axis=0) * (other * other).mean(axis=0))
    weights = energy / (energy + strength * energy.mean() + 1e-6)
    return one * weights, other * weights
